"""Whatever is written, revoked and asked, and however clocks jump: replicas answer as they should.

A replica's answer rests on one state of the registry, is the answer that reading all of that state
would give, and the state is no older than the staleness bound, or than the revision that the
question carries.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp.entities import Entity
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import AccessRequest, Action, Assurance, PurposeOfUse
from authz_service.pdp.ruleset import Ruleset
from authz_service.policy.source import BundleSource
from tests.contract.facts.registry_cases import reset
from tests.contract.facts.replicas_under_model import Model
from tests.postgres import new_registry
from tests.property.pdp_worlds import (
    CONTAINMENTS,
    ENTITIES,
    INSTANTS,
    NOW,
    OPEN,
    REQUESTS,
    SUPPORTED_REQUESTS,
    WORLDS,
)

POLICIES = Path(__file__).resolve().parents[3] / "policies"
STALENESSES = (0.0, 0.05)
EXAMPLES = 400 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 12
STEPS = 40
STEP = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES < 100,
)
replicas = st.integers(0, len(STALENESSES) - 1)
deletions = st.builds(
    FactReference,
    st.sampled_from(w.FactKind),
    st.sampled_from(("r1", "r2", "c1", "c2", "d1", "d4", "g1", "g4", "l1", "l3", "n1", "p1", "x1")),
)
revocations: st.SearchStrategy[Entity] = st.one_of(
    st.builds(
        e.Grant,
        st.sampled_from(("g1", "g4")),
        st.just(w.GrantKind.SHARE),
        st.just("p3"),
        patient_id=st.just("p1"),
        valid_from=st.just(INSTANTS[0]),
        revoked_at=st.just(NOW),
        approved_by=st.just("p1"),
    ),
    st.builds(
        e.Delegation,
        st.sampled_from(("d1", "d4")),
        st.just(w.DelegationKind.CONSENTED),
        st.sampled_from(("p1", "p2")),
        st.just("p3"),
        valid_from=st.just(INSTANTS[0]),
        revoked_at=st.just(NOW),
    ),
    st.builds(
        e.Recording,
        st.sampled_from(("r1", "r2")),
        st.just("t1"),
        st.sampled_from(w.RecordingState),
        st.sampled_from(("c1", "c2")),
        st.sampled_from(("p1", "p2")),
        created_at=st.just(INSTANTS[1]),
    ),
    st.builds(
        e.Subject,
        st.sampled_from(("p1", "p3", "s1")),
        st.just("t1"),
        st.just(w.SubjectKind.PATIENT),
        st.sampled_from(w.SubjectStatus),
    ),
)


blocks: st.SearchStrategy[Entity] = st.builds(
    e.Block,
    st.sampled_from(("b1", "b2")),
    st.sampled_from(("p1", "p2")),
    st.sampled_from(("p3", "s2")),
    valid_to=st.sampled_from((None, INSTANTS[1], INSTANTS[3])),
)
BOOKED = {"r1": ("c1", "p1"), "r2": ("c2", "p2")}
proxies = st.builds(
    AccessRequest,
    st.sampled_from(("p3", "p3", "p1", "p2", "s1", "s2")),
    st.sampled_from(tuple(BOOKED)),
    st.sampled_from((Action.VIEW, Action.LIST)),
    st.sampled_from((PurposeOfUse.FAMRQT, PurposeOfUse.PATRQT, PurposeOfUse.TREAT)),
    assurance=st.just(Assurance.MULTI_FACTOR),
    authenticated_at=st.just(NOW),
)
"""Questions that the people of the world have some chance to be allowed."""


def in_order(recording_id: str, owner_id: str) -> e.Recording:
    """Return a recording with nothing odd about it but, perhaps, its owner."""
    consultation_id, _ = BOOKED[recording_id]
    active = w.RecordingState.ACTIVE
    return e.Recording(
        recording_id, "t1", active, consultation_id, owner_id, created_at=INSTANTS[1]
    )


def witnessed(recording_id: str) -> list[Entity]:
    """Return a recording that is its patient's, by all three facts."""
    consultation_id, patient_id = BOOKED[recording_id]
    people = (
        e.Participant(patient_id, w.ParticipantKind.PATIENT),
        e.Participant("s1", w.ParticipantKind.CLINICIAN),
    )
    return [
        e.Consultation(consultation_id, "t1", patient_id, None, INSTANTS[0]),
        in_order(recording_id, patient_id),
        e.Attendance(recording_id, people),
    ]


class Replicas(RuleBasedStateMachine):
    """What may happen to a registry and the two replicas on it."""

    url_of_a_new_registry: Callable[[], str]
    ruleset: Ruleset

    @initialize(world=WORLDS)
    def open(self, world: list[Fact[Entity]]) -> None:
        self.model = Model(type(self).url_of_a_new_registry(), self.ruleset, STALENESSES)
        self.model.write(0, [fact.entity for fact in world], "ada")

    @rule(through=replicas, entities=st.lists(ENTITIES | CONTAINMENTS, min_size=1, max_size=4))
    def write(self, through: int, entities: list[Entity]) -> None:
        self.model.write(through, entities, "ada")

    @rule(through=replicas, entity=revocations, actor=st.sampled_from(("ada", "zed")))
    def revoke(self, through: int, entity: Entity, actor: str) -> None:
        self.model.write(through, [entity], actor)

    @rule(
        through=replicas,
        request=proxies,
        taken=blocks | revocations | CONTAINMENTS | ENTITIES,
    )
    def take_away(self, through: int, request: AccessRequest, taken: Entity) -> None:
        """What was known on every replica changes under it."""
        self.check_everywhere([request])
        self.model.write(through, [taken], "ada")
        self.check_everywhere([request])

    @rule(through=replicas, recording_id=st.sampled_from(tuple(BOOKED)))
    def put_in_order(self, through: int, recording_id: str) -> None:
        self.model.write(through, witnessed(recording_id), "ada")

    @rule(
        through=replicas,
        recording_id=st.sampled_from(tuple(BOOKED)),
        owners=st.sampled_from((("p1",), ("p2",), ("p1", "p2"), ("p2", "p1"))),
        request=proxies,
    )
    def attribute(
        self, through: int, recording_id: str, owners: tuple[str, ...], request: AccessRequest
    ) -> None:
        """A release names an owner, perhaps a wrong one, and perhaps corrects itself."""
        for owner_id in owners:
            self.model.write(through, [in_order(recording_id, owner_id)], "ada")
            self.check_everywhere([request._replace(recording_id=recording_id)])

    @rule(through=replicas, containment=CONTAINMENTS)
    def contain_or_lift(self, through: int, containment: e.Containment) -> None:
        self.model.write(through, [containment], "zed")

    @rule(through=replicas, reference=deletions)
    def delete(self, through: int, reference: FactReference) -> None:
        self.model.delete(through, reference)

    @rule(through=replicas, recording_id=st.sampled_from(("r1", "r2")))
    def resolve(self, through: int, recording_id: str) -> None:
        self.model.resolve(through, recording_id)

    @rule(days=st.sampled_from((-400, -1, 0, 1, 200, 700)), microseconds=st.integers(-1, 1))
    def jump(self, days: int, microseconds: int) -> None:
        at = NOW + timedelta(days=days, microseconds=microseconds)
        self.model.clock.at = at

    @rule(through=replicas, request=SUPPORTED_REQUESTS | REQUESTS, carries=st.booleans())
    def check(self, through: int, request: AccessRequest, *, carries: bool) -> None:
        self.model.check(through, request, carries=carries)

    @rule(requests=st.lists(SUPPORTED_REQUESTS, min_size=2, max_size=4))
    def check_everywhere(self, requests: list[AccessRequest]) -> None:
        for request in requests:
            for through in range(len(STALENESSES)):
                self.model.check(through, request, carries=False)

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.close()


@cache
def shipped() -> Ruleset:
    return BundleSource(POLICIES).load().ruleset


def run(new_url: Callable[[], str], rules: Ruleset) -> None:
    """Try many histories on registries at *new_url*, judged by *rules*."""

    class OnThese(Replicas):
        url_of_a_new_registry = staticmethod(new_url)
        ruleset = rules

    run_state_machine_as_test(OnThese, settings=STEP)


@pytest.mark.slow
@pytest.mark.parametrize("rules", ["open", "shipped"])
def test_replicas_on_sqlite_answer_as_reading_everything_would(
    rules: str, sqlite_template: Path
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.db"

        def new_url() -> str:
            for remains in Path(folder).iterdir():
                remains.unlink()
            shutil.copy(sqlite_template, path)
            return f"sqlite:///{path}"

        run(new_url, OPEN if rules == "open" else shipped())


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("rules", ["open", "shipped"])
def test_replicas_on_postgresql_answer_as_reading_everything_would(rules: str) -> None:
    url = new_registry()

    def new_url() -> str:
        reset(url)
        return url

    run(new_url, OPEN if rules == "open" else shipped())
