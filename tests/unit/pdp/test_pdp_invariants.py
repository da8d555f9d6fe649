"""What binds every policy, in its order: one obstacle after the other is cleared away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from authz_service.pdp.assembly import World
from authz_service.pdp.decide import decide
from authz_service.pdp.entities import Containment, ContainmentScope, Entity, Hold
from authz_service.pdp.entity_words import (
    Audience,
    GrantKind,
    HoldKind,
    ParticipantKind,
    RecordingState,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Facts
from authz_service.pdp.invariants import before_policy
from authz_service.pdp.model import Action, Effect, Instant, Reason
from tests.unit.pdp.pdp_story import (
    AFTER,
    ANA,
    ATTENDANCE,
    BEFORE,
    BOK,
    CONSULTATION,
    EVERYTHING,
    NOON,
    RECORDING,
    REQUEST,
    SOUND,
    asked,
    attended,
    fact,
    grant,
    world,
)

_FREEZE = Hold("m1", HoldKind.FREEZE)
_PRESERVE = Hold("m2", HoldKind.PRESERVE)
_CREATED = RECORDING.created_at

# Each step breaks one rule more than the step after it; the reason is that of the first.
_STEPS: tuple[tuple[Reason, str], ...] = (
    (Reason.CONTAINED, "containment"),
    (Reason.SUBJECT_SUSPENDED, "subject"),
    (Reason.TENANT_MISMATCH, "tenant"),
    (Reason.FACTS_CONFLICT, "conflict"),
    (Reason.FACTS_INCOMPLETE, "gap"),
    (Reason.RECORDING_QUARANTINED, "state"),
    (Reason.RETENTION_EXPIRED, "retention"),
    (Reason.LEGAL_HOLD_FROZEN, "freeze"),
    (Reason.SEALED, "seal"),
    (Reason.STAFF_OWN_RECORD, "own"),
    (Reason.STAFF_FAMILY_RECORD, "family"),
)


def _broken(parts: set[str]) -> list[Entity]:
    """Return the changes that break the rules named in *parts*, for Dr Bok."""
    recording = replace(
        RECORDING,
        state=RecordingState.QUARANTINED if "state" in parts else RecordingState.ACTIVE,
        retention_until=BEFORE if "retention" in parts else None,
        holds=(_FREEZE,) if "freeze" in parts else (),
        sealed="seal" in parts,
        created_at=None if "gap" in parts else _CREATED,
        owner_id="bea" if "conflict" in parts else "ana",
    )
    subject = replace(
        BOK,
        status=SubjectStatus.SUSPENDED if "subject" in parts else SubjectStatus.ACTIVE,
        tenant_id="other" if "tenant" in parts else "clinic",
        same_person_as=("ana",) if "own" in parts else (),
        family=("ana",) if "family" in parts else (),
    )
    contained = [Containment("stop", ContainmentScope(Audience.EVERYONE))]
    return [recording, subject, *(contained if "containment" in parts else [])]


@pytest.mark.parametrize("step", range(len(_STEPS) + 1))
def test_the_first_rule_that_is_broken_is_the_reason(step: int) -> None:
    """All rules broken, then one after the other mended; in the end the policy is asked."""
    parts = {part for _, part in _STEPS[step:]}
    expected = [reason for reason, _ in _STEPS] + [Reason.RULE_ALLOWED]

    decision = asked(*_broken(parts), subject_id="bok")

    assert decision.reason is expected[step]
    assert (decision.situation is None) == (step < len(_STEPS))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param((None, None), Reason.SUBJECT_UNKNOWN, id="nobody-and-nothing"),
        pytest.param((BOK, None), Reason.RECORDING_UNKNOWN, id="nothing"),
        pytest.param((None, RECORDING), Reason.SUBJECT_UNKNOWN, id="nobody"),
        pytest.param(
            (replace(BOK, status=SubjectStatus.DECEASED), None),
            Reason.SUBJECT_DECEASED,
            id="dead-and-nothing",
        ),
        pytest.param(
            (replace(BOK, status=SubjectStatus.SUSPENDED), None),
            Reason.SUBJECT_SUSPENDED,
            id="suspended-and-nothing",
        ),
    ],
)
def test_who_asks_comes_before_what_is_asked(
    facts: tuple[Entity | None, Entity | None], expected: Reason
) -> None:
    known = World([fact(one) for one in facts if one is not None])

    decision = decide(
        REQUEST._replace(subject_id="bok"), known.facts_for("bok", "rec"), EVERYTHING, NOON
    )

    assert (decision.effect, decision.reason) == (Effect.DENY, expected)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RecordingState.ACTIVE, Reason.RULE_ALLOWED),
        (RecordingState.QUARANTINED, Reason.RECORDING_QUARANTINED),
        (RecordingState.DELETED, Reason.RECORDING_DELETED),
        (RecordingState.PROCESSING, Reason.RECORDING_PROCESSING),
        (RecordingState.RESTRICTED, Reason.RECORDING_RESTRICTED),
    ],
)
def test_a_recording_is_open_in_one_state_only(state: RecordingState, expected: Reason) -> None:
    assert asked(replace(RECORDING, state=state)).reason is expected


@pytest.mark.parametrize(
    ("tenant_id", "expected"),
    [
        (None, Reason.RULE_ALLOWED),
        ("clinic", Reason.RULE_ALLOWED),
        ("other", Reason.TENANT_MISMATCH),
    ],
)
def test_the_tenant_of_the_request_is_the_recordings(
    tenant_id: str | None, expected: Reason
) -> None:
    assert asked(tenant_id=tenant_id).reason is expected


@pytest.mark.parametrize(
    ("until", "holds", "asking", "expected"),
    [
        pytest.param(None, (), {}, Reason.RULE_ALLOWED, id="forever"),
        pytest.param(AFTER, (), {}, Reason.RULE_ALLOWED, id="not-yet"),
        pytest.param(NOON, (), {}, Reason.RETENTION_EXPIRED, id="this-second"),
        pytest.param(NOON, (), {"action": Action.DELETE}, Reason.RULE_ALLOWED, id="deletion"),
        pytest.param(
            NOON,
            (Hold("m2", HoldKind.PRESERVE, ("ana",)),),
            {"matter_id": "m2"},
            Reason.RULE_ALLOWED,
            id="viewer-with-its-matter",
        ),
        pytest.param(
            NOON,
            (Hold("m2", HoldKind.PRESERVE, ("ana",)),),
            {"matter_id": "m1"},
            Reason.RETENTION_EXPIRED,
            id="viewer-with-another-matter",
        ),
        pytest.param(
            NOON,
            (Hold("m1", HoldKind.PRESERVE, ("ana",)), Hold("m2", HoldKind.PRESERVE, ("bok",))),
            {"matter_id": "m2"},
            Reason.RETENTION_EXPIRED,
            id="viewer-of-another-hold",
        ),
        pytest.param(None, (_FREEZE,), {}, Reason.LEGAL_HOLD_FROZEN, id="frozen-for-the-patient"),
        pytest.param(None, (_PRESERVE,), {}, Reason.RULE_ALLOWED, id="preserved"),
        pytest.param(
            None, (_PRESERVE,), {"action": Action.DELETE}, Reason.LEGAL_HOLD, id="preserved-delete"
        ),
        pytest.param(
            None, (_FREEZE,), {"action": Action.DELETE}, Reason.LEGAL_HOLD_FROZEN, id="frozen-del"
        ),
        pytest.param(
            None,
            (replace(_FREEZE, viewers=("ana",)),),
            {"action": Action.DELETE},
            Reason.LEGAL_HOLD,
            id="viewer-delete",
        ),
        pytest.param(
            None, (replace(_FREEZE, viewers=("ana",)),), {}, Reason.RULE_ALLOWED, id="viewer"
        ),
        pytest.param(
            None,
            (replace(_FREEZE, viewers=("ana",)), Hold("m2", HoldKind.FREEZE, ("bok",))),
            {},
            Reason.LEGAL_HOLD_FROZEN,
            id="viewer-of-one-of-two",
        ),
    ],
)
def test_retention_and_holds(
    until: Instant | None, holds: tuple[Hold, ...], asking: dict[str, Any], expected: Reason
) -> None:
    decision = asked(replace(RECORDING, retention_until=until, holds=holds), **asking)

    assert decision.reason is expected


@pytest.mark.parametrize(
    ("who", "named", "expected"),
    [
        ("ana", (), Reason.RULE_ALLOWED),
        ("bok", (), Reason.SEALED),
        ("bok", ("bok",), Reason.RULE_ALLOWED),
        ("bea", ("bok",), Reason.SEALED),
    ],
)
def test_a_seal_opens_to_the_patient_and_to_the_named(
    who: str, named: tuple[str, ...], expected: Reason
) -> None:
    decision = asked(replace(RECORDING, sealed=True, named_viewers=named), subject_id=who)

    assert decision.reason is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([replace(BOK, same_person_as=("ana",))], Reason.STAFF_OWN_RECORD, id="own"),
        pytest.param(
            [replace(ANA, same_person_as=("bok",))], Reason.STAFF_OWN_RECORD, id="own-other-side"
        ),
        pytest.param(
            [replace(ANA, id="ana-2", same_person_as=("ana", "bok"))],
            Reason.STAFF_OWN_RECORD,
            id="own-over-a-third-id",
        ),
        pytest.param([replace(BOK, family=("ana",))], Reason.STAFF_FAMILY_RECORD, id="family"),
        pytest.param(
            [replace(ANA, family=("bok",))], Reason.STAFF_FAMILY_RECORD, id="family-other-side"
        ),
        pytest.param(
            [replace(ANA, id="ana-2", same_person_as=("ana",), family=("bok",))],
            Reason.STAFF_FAMILY_RECORD,
            id="family-of-the-patients-other-id",
        ),
        pytest.param(
            [replace(ANA, family=("bo",)), replace(ANA, id="bo", same_person_as=("bok",))],
            Reason.STAFF_FAMILY_RECORD,
            id="family-through-the-clinicians-other-id",
        ),
        pytest.param([replace(BOK, family=("bea",))], Reason.RULE_ALLOWED, id="family-of-another"),
        pytest.param(
            [replace(BOK, kind=SubjectKind.SERVICE, family=("ana",))],
            Reason.RULE_ALLOWED,
            id="a-service-has-no-family",
        ),
    ],
)
def test_staff_keep_out_of_their_own_and_their_familys_records(
    changes: list[Entity], expected: Reason
) -> None:
    assert asked(*changes, subject_id="bok").reason is expected


@pytest.mark.parametrize(
    ("scope", "covers_ana", "covers_bok"),
    [
        pytest.param(ContainmentScope(Audience.EVERYONE), True, True, id="everyone"),
        pytest.param(ContainmentScope(Audience.PATIENTS), True, False, id="patients"),
        pytest.param(ContainmentScope(Audience.STAFF), False, True, id="staff"),
        pytest.param(ContainmentScope(tenant_id="clinic"), True, True, id="tenant"),
        pytest.param(ContainmentScope(tenant_id="other"), False, False, id="other-tenant"),
        pytest.param(ContainmentScope(action=Action.VIEW), True, True, id="action"),
        pytest.param(ContainmentScope(action=Action.LIST), False, False, id="other-action"),
        pytest.param(ContainmentScope(created_by_release="r1"), True, True, id="release"),
        pytest.param(ContainmentScope(created_by_release="r2"), False, False, id="other-release"),
        pytest.param(ContainmentScope(recording_ids=("x", "rec")), True, True, id="recording"),
        pytest.param(ContainmentScope(recording_ids=("x",)), False, False, id="other-recording"),
        pytest.param(ContainmentScope(created_from=_CREATED), True, True, id="made-since"),
        pytest.param(ContainmentScope(created_from=BEFORE), False, False, id="made-before-that"),
        pytest.param(ContainmentScope(created_to=BEFORE), True, True, id="made-until"),
        pytest.param(ContainmentScope(created_to=_CREATED), False, False, id="made-after-that"),
        pytest.param(
            ContainmentScope(Audience.PATIENTS, "clinic", Action.VIEW, "r1", ("rec",)),
            True,
            False,
            id="all-of-it",
        ),
        pytest.param(
            ContainmentScope(Audience.EVERYONE, "clinic", Action.VIEW, "r2", ("rec",)),
            False,
            False,
            id="all-but-one",
        ),
    ],
)
def test_a_containment_is_the_conjunction_of_what_it_sets(
    scope: ContainmentScope, *, covers_ana: bool, covers_bok: bool
) -> None:
    changes = (replace(RECORDING, created_by_release="r1"), Containment("stop", scope))

    reasons = [asked(*changes, subject_id=who).reason for who in ("ana", "bok")]

    assert [one is Reason.CONTAINED for one in reasons] == [covers_ana, covers_bok]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (ContainmentScope(recording_ids=("none",)), Reason.CONTAINED),
        (ContainmentScope(Audience.PATIENTS), Reason.CONTAINED),
        (ContainmentScope(tenant_id="clinic"), Reason.RECORDING_UNKNOWN),
        (ContainmentScope(created_by_release="r1"), Reason.RECORDING_UNKNOWN),
        (ContainmentScope(created_from=BEFORE), Reason.RECORDING_UNKNOWN),
        (ContainmentScope(created_to=AFTER), Reason.RECORDING_UNKNOWN),
    ],
)
def test_what_a_scope_needs_and_is_not_known_does_not_match(
    scope: ContainmentScope, expected: Reason
) -> None:
    assert asked(Containment("stop", scope), recording_id="none").reason is expected


@pytest.mark.parametrize(
    ("lifted_at", "expected"),
    [(None, Reason.CONTAINED), (AFTER, Reason.CONTAINED), (NOON, Reason.RULE_ALLOWED)],
)
def test_a_containment_holds_until_it_is_lifted(
    lifted_at: Instant | None, expected: Reason
) -> None:
    stop = Containment("stop", ContainmentScope(Audience.EVERYONE), lifted_at=lifted_at)

    assert asked(stop).reason is expected


def test_a_recording_of_unknown_age_is_within_no_dates() -> None:
    """It is denied all the same, as incomplete."""
    stop = Containment("stop", ContainmentScope(created_from=BEFORE, created_to=AFTER))

    assert asked(stop, replace(RECORDING, created_at=None)).reason is Reason.FACTS_INCOMPLETE


@pytest.mark.parametrize("who", ["ana", "bea", "bok", "vik"])
def test_a_conflict_denies_everybody(who: str) -> None:
    """The named owner, who attended, the clinician, and whoever broke the glass."""
    decision = asked(
        replace(BOK, id="vik"),
        replace(RECORDING, owner_id="bea"),
        grant(GrantKind.EMERGENCY, subject_id="vik", approved_by="emergency-access"),
        subject_id=who,
    )

    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.FACTS_CONFLICT)
    assert decision.patient_id is None


def test_the_patient_is_named_in_a_denial_only_where_all_facts_agree() -> None:
    agreed = asked(replace(RECORDING, state=RecordingState.DELETED))
    incomplete = asked(replace(ATTENDANCE, participants=()))
    other = asked(replace(CONSULTATION, patient_id="bea"))

    assert [agreed.patient_id, incomplete.patient_id, other.patient_id] == ["ana", None, None]


def test_facts_without_a_patient_never_pass() -> None:
    """Even where a careless source of facts left the patient out."""
    facts = world().facts_for("ana", "rec")
    careless = Facts(facts.subject, facts.recording, None)

    assert before_policy(REQUEST, careless, NOON) is Reason.FACTS_INCOMPLETE


def test_the_sound_world_is_sound() -> None:
    assert before_policy(REQUEST, world().facts_for("ana", "rec"), NOON) is None
    assert len(SOUND) == len({(type(one), one.id) for one in SOUND})
    assert asked(attended(("bea", ParticipantKind.OBSERVER))).effect is Effect.ALLOW
