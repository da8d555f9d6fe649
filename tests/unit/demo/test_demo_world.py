"""The demo world is what it claims to be, by the shipped policy, today and in years to come."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import authz_service.demo
from authz_service.demo.__main__ import load
from authz_service.facts.as_of import SqlHistory
from authz_service.facts.verification import conflicts_in, verify_registry
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.assembly import World
from authz_service.pdp.corroboration import standing
from authz_service.pdp.decide import decide
from authz_service.pdp.entities import Entity, Recording
from authz_service.pdp.entity_plain import fact_from_plain, fact_to_plain
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import Fact, Standing
from authz_service.pdp.model import AccessRequest, Action, Assurance, PurposeOfUse
from authz_service.pdp.ruleset import Ruleset
from authz_service.policy.source import BundleSource

_DEMO = Path(authz_service.demo.__file__).parent
_LINES = (_DEMO / "world.jsonl").read_text(encoding="utf-8").splitlines()
_OF_HARBOUR = {"rec-heather-1", "rec-ivy-1"}
_POLICIES = Path(__file__).resolve().parents[3] / "policies"
_RELEASE = "2020.06.09-audio-switch"
_MOMENTS = [
    pytest.param(datetime(2020, 6, 9, 15, tzinfo=UTC), id="on-the-day"),
    pytest.param(datetime.now(UTC), id="today"),
    pytest.param(datetime(2030, 6, 9, 12, tzinfo=UTC), id="in-2030"),
]


@pytest.fixture(scope="module")
def facts() -> list[Fact[Entity]]:
    return [fact_from_plain(json.loads(line)) for line in _LINES]


@pytest.fixture(scope="module")
def world(facts: list[Fact[Entity]]) -> World:
    return World(facts)


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    return BundleSource(_POLICIES).load().ruleset


def test_every_line_is_one_fact_in_the_import_format(facts: list[Fact[Entity]]) -> None:
    """Written back they are the same, and none takes the place of another."""
    assert [fact_from_plain(fact_to_plain(fact)) for fact in facts] == facts
    assert len({(fact.kind, fact.entity.id) for fact in facts}) == len(_LINES)


def test_two_tenants_and_every_kind_of_fact(facts: list[Fact[Entity]]) -> None:
    kinds = Counter(fact.kind for fact in facts)

    assert kinds[FactKind.TENANT] == 2
    assert set(kinds) == set(FactKind)


def test_fifty_are_in_conflict_two_are_nobodys_and_the_rest_is_sound(
    facts: list[Fact[Entity]], world: World
) -> None:
    """The fifty all name pat-river, and a release made all of them; not all that it made."""
    found: dict[Standing, list[Recording]] = {one: [] for one in Standing}
    for fact in facts:
        if isinstance(fact.entity, Recording):
            known = world.facts_for("pat-river", fact.entity.id)
            assert known.recording is not None
            found[standing(known.recording, known.patient)].append(fact.entity)

    wrong, nobodys = found[Standing.CONFLICT], found[Standing.INCOMPLETE]
    assert (len(wrong), len(nobodys)) == (50, 2)
    assert {one.owner_id for one in wrong} == {"pat-river"}
    assert {one.owner_id for one in nobodys} == {None}
    assert {one.created_by_release for one in (*wrong, *nobodys)} == {_RELEASE}
    assert sum(one.created_by_release == _RELEASE for one in found[Standing.AGREED]) == 3


def _ask(subject_id: str, recording_id: str, purpose: str, **asking: Any) -> AccessRequest:
    return AccessRequest(
        subject_id,
        recording_id,
        asking.get("action", Action.VIEW),
        PurposeOfUse(purpose),
        "harbour-clinic" if recording_id in _OF_HARBOUR else "north-practice",
        Assurance.MULTI_FACTOR if asking.get("mfa") else Assurance.SINGLE_FACTOR,
        matter_id=asking.get("matter_id"),
    )


@pytest.mark.parametrize("now", _MOMENTS)
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (_ask("pat-river", "rec-river-1", "PATRQT"), "RULE_ALLOWED"),
        (_ask("pat-stone", "rec-river-1", "PATRQT"), "NO_RULE_MATCHED"),
        (_ask("pat-river", "rec-mix-01", "PATRQT"), "FACTS_CONFLICT"),
        (_ask("pat-river", "rec-mix-50", "PATRQT"), "FACTS_CONFLICT"),
        (_ask("pat-acacia", "rec-mix-01", "PATRQT"), "FACTS_CONFLICT"),
        (_ask("dr-heron", "rec-mix-01", "TREAT", mfa=True), "FACTS_CONFLICT"),
        (_ask("pat-river", "rec-mix-51", "PATRQT"), "FACTS_INCOMPLETE"),
        (_ask("pat-river", "rec-river-3", "PATRQT"), "RULE_ALLOWED"),
        (_ask("dr-finch", "rec-river-1", "TREAT", mfa=True), "RULE_ALLOWED"),
        (_ask("dr-finch", "rec-river-1", "TREAT"), "STEP_UP_REQUIRED"),
        (_ask("pat-maple", "rec-river-1", "FAMRQT"), "RULE_ALLOWED"),
        (_ask("pat-stone", "rec-maple-1", "FAMRQT"), "RULE_ALLOWED"),
        (_ask("pat-willow", "rec-sapling-1", "FAMRQT"), "RULE_ALLOWED"),
        (_ask("pat-willow", "rec-sapling-2", "FAMRQT"), "CONFIDENTIAL_FROM_PROXY"),
        (_ask("pat-hazel", "rec-elm-1", "HLEGAL", matter_id="estate-elm"), "RULE_ALLOWED"),
        (_ask("pat-elm", "rec-elm-1", "PATRQT"), "SUBJECT_DECEASED"),
        (_ask("dr-finch", "rec-rowan-1", "TREAT", mfa=True), "SEALED"),
        (_ask("dr-heron", "rec-rowan-1", "TREAT", mfa=True), "RULE_ALLOWED"),
        (_ask("pat-oak", "rec-oak-1", "PATRQT"), "LEGAL_HOLD_FROZEN"),
        (
            _ask("legal-owl", "rec-oak-1", "HLEGAL", mfa=True, matter_id="inquest-8"),
            "RULE_ALLOWED",
        ),
        (_ask("svc-archive", "rec-cedar-1", "HOPERAT", action=Action.DELETE), "LEGAL_HOLD"),
        (_ask("quality-dove", "rec-cedar-2", "HQUALIMP", mfa=True), "RULE_ALLOWED"),
        (_ask("dr-finch", "rec-stone-1", "TREAT", mfa=True), "RELATIONSHIP_EXPIRED"),
        (_ask("dr-wren", "rec-wren-1", "TREAT", mfa=True), "STAFF_OWN_RECORD"),
        (_ask("pat-stone", "rec-stone-0", "PATRQT"), "RECORDING_DELETED"),
        (_ask("pat-heather", "rec-heather-1", "PATRQT"), "RULE_ALLOWED"),
        (_ask("pat-heather", "rec-river-1", "PATRQT"), "TENANT_MISMATCH"),
    ],
    ids=lambda one: (
        f"{one.subject_id}-{one.recording_id}-{one.action}"
        if isinstance(one, AccessRequest)
        else one
    ),
)
def test_what_the_demo_shows(
    request_: AccessRequest, expected: str, now: datetime, world: World, ruleset: Ruleset
) -> None:
    known = world.facts_for(request_.subject_id, request_.recording_id)

    assert decide(request_, known, ruleset, now).reason == expected


def test_the_parent_of_a_teenager_is_suspended_when_the_birthday_comes(
    world: World, ruleset: Ruleset
) -> None:
    """Facts stay as they are, and the answer changes with the clock."""
    request = _ask("pat-willow", "rec-sprig-1", "FAMRQT")
    known = world.facts_for(request.subject_id, request.recording_id)

    reasons = [
        decide(request, known, ruleset, datetime(*day, tzinfo=UTC)).reason
        for day in ((2020, 6, 9), (2021, 1, 29), (2021, 1, 30))
    ]

    assert reasons == ["RULE_ALLOWED", "RULE_ALLOWED", "PROXY_SUSPENDED"]


async def test_afterwards_there_is_a_dispute_an_unreviewed_access_and_a_past(
    tmp_path: Path, ruleset: Ruleset
) -> None:
    """What `--as-of`, `facts resolve` and `emergency review` have to show."""
    url = f"sqlite:///{tmp_path}/registry.db"
    question = _ask("pat-ivy", "rec-ivy-1", "PATRQT")

    load(url)

    [disputed] = [one for one in conflicts_in(url) if one.recording_id == "rec-ivy-1"]
    assert {patient for _who, patient, _source in disputed.witnesses} == {"pat-ivy"}
    history = SqlHistory(url)
    reasons = [
        decide(
            question,
            history.read(FactsQuestion("pat-ivy", "rec-ivy-1"), instant),
            ruleset,
            instant,
        ).reason
        for instant in (datetime(2020, 6, 10, 12, tzinfo=UTC), datetime(2020, 6, 13, tzinfo=UTC))
    ]
    history.close()
    assert reasons == ["RULE_ALLOWED", "FACTS_CONFLICT"]
    access = json.loads((_DEMO / "afterwards.jsonl").read_text().splitlines()[-1])["grant"]
    assert (access["id"], access["kind"]) == ("em-willow-swift", "EMERGENCY")
    assert not [one.rule for one in verify_registry(url) if "no such" in one.rule]
