"""`authz facts verify` on each database: references, intervals, and what stands beside facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, get_type_hints

import pytest

from authz_service.facts import history_verification as history
from authz_service.facts import pages
from authz_service.facts.naming import persons_in, recordings_in, references_in
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.verification import verify_registry
from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from tests.contract.facts.registry_cases import (
    ACTOR,
    YEAR,
    SteppingClock,
    fact,
    recording,
    run,
    subject,
    tenant,
    world,
)

DAY = timedelta(days=1)
_DISPUTED_AHEAD = (
    "INSERT INTO attributions (recording_id, patient_id, disputed, disputed_at_revision)"
    " VALUES ('r1', 'ana', (1 = 0), 9)"
)
NOT_NAMES = {
    "role", "issuer", "subject", "time_zone", "matter_id", "reason", "created_by_release",
}  # fmt: skip


def rules(url: str) -> list[tuple[str, int, tuple[str, ...]]]:
    """Return what a verification of a registry says."""
    return [(one.rule, one.count, one.examples) for one in verify_registry(url)]


def grant(grant_id: str = "g1", **more: Any) -> e.Grant:
    return e.Grant(grant_id, w.GrantKind.SHARE, subject_id="bob", patient_id="ana", **more)


@pytest.mark.parametrize(
    ("entity", "rule"),
    [
        pytest.param(subject("eve", "no"), "subject.tenant_id: no such tenant", id="tenant"),
        pytest.param(
            subject("eve", same_person_as=("no",)),
            "subject.same_person_as: no such subject",
            id="same-person",
        ),
        pytest.param(
            subject("eve", family=("ana", "no")), "subject.family: no such subject", id="family"
        ),
        pytest.param(
            recording("ana", named_viewers=("no",)),
            "recording.named_viewers: no such subject",
            id="named-viewer",
        ),
        pytest.param(
            recording("ana", holds=(e.Hold("m1", w.HoldKind.PRESERVE, ("no",)),)),
            "recording.holds.viewers: no such subject",
            id="hold-viewer",
        ),
        pytest.param(
            e.Attendance(
                "r1",
                (
                    e.Participant("ana", w.ParticipantKind.PATIENT),
                    e.Participant("no", w.ParticipantKind.CLINICIAN),
                ),
            ),
            "attendance.participants.subject_id: no such subject",
            id="participant",
        ),
        pytest.param(grant(approved_by="no"), "grant.approved_by: no such subject", id="approver"),
        pytest.param(
            e.Containment("k1", e.ContainmentScope(recording_ids=("r1", "no"))),
            "containment.scope.recording_ids: no such recording",
            id="contained",
        ),
        pytest.param(
            e.Containment("k1", e.ContainmentScope(tenant_id="no")),
            "containment.scope.tenant_id: no such tenant",
            id="contained-tenant",
        ),
        pytest.param(
            grant(valid_from=YEAR, revoked_at=YEAR - DAY),
            "grant: it was revoked before it began",
            id="revoked-early",
        ),
        pytest.param(
            grant(
                valid_from=YEAR, review=e.GrantReview(YEAR - DAY, "eve", w.ReviewVerdict.JUSTIFIED)
            ),
            "grant: it was reviewed before it began",
            id="reviewed-early",
        ),
        pytest.param(
            e.Containment(
                "k1",
                e.ContainmentScope(tenant_id="uk"),
                set_by="ann",
                set_at=YEAR,
                lifted_by="ben",
                lifted_at=YEAR - DAY,
            ),
            "containment: it was lifted before it was set",
            id="lifted-early",
        ),
        pytest.param(
            recording("ana", created_at=YEAR, retention_until=YEAR - DAY),
            "recording: its retention ended before it was made",
            id="kept-too-short",
        ),
        pytest.param(
            e.Attendance(
                "r1", (e.Participant("ana", w.ParticipantKind.PATIENT, YEAR, YEAR - DAY),)
            ),
            "attendance: somebody left before they joined",
            id="left-early",
        ),
        pytest.param(
            e.Subject(
                "eve",
                "uk",
                w.SubjectKind.STAFF,
                w.SubjectStatus.ACTIVE,
                roles=(e.RoleAssignment("clinician", YEAR, YEAR),),
            ),
            "subject: an interval ends before it begins",
            id="role",
        ),
    ],
)
async def test_what_cannot_be_right_is_found(
    registry: SqlRegistry, registry_url: str, entity: Any, rule: str
) -> None:
    """Beside a world in which everything is."""
    await registry.write([*world(), fact(subject("eve"))], actor=ACTOR)
    assert rules(registry_url) == []

    await registry.write([fact(entity, day=1)], actor=ACTOR)

    assert rules(registry_url) == [(rule, 1, (entity.id,))]


@pytest.mark.parametrize(
    ("damage", "rule", "example"),
    [
        pytest.param(
            ["UPDATE facts_revision SET nonce = 'x'"], history.LAST, "2", id="another-state"
        ),
        pytest.param(
            ["DELETE FROM facts_writes WHERE revision = 1"], history.GAP, None, id="missing-write"
        ),
        pytest.param(
            [
                (
                    "UPDATE fact_changes SET in_place = (1 = 1), value = NULL"
                    " WHERE id = 'ana' AND revision = 1"
                )
            ],
            history.IN_PLACE,
            "subject/ana",
            id="value-is-nowhere",
        ),
        pytest.param(
            ["UPDATE fact_changes SET value = '{}' WHERE id = 'bob'"],
            history.TWICE,
            "subject/bob",
            id="value-is-twice",
        ),
        pytest.param(
            ["INSERT INTO past_mentions VALUES ('ana', 9, 'subject', 'bob')"],
            history.MENTION,
            "subject/bob",
            id="mention-ahead",
        ),
        pytest.param(
            ["INSERT INTO past_mentions VALUES ('ana', 1, 'grant', 'no')"],
            history.MENTION,
            "grant/no",
            id="mention-of-nothing",
        ),
        pytest.param(
            [_DISPUTED_AHEAD],
            history.DISPUTE,
            "r1",
            id="dispute-ahead",
        ),
        pytest.param(
            [
                (
                    "INSERT INTO attributions (recording_id, patient_id, disputed)"
                    " VALUES ('r1', 'no', (1 = 0))"
                )
            ],
            history.PATIENT,
            "r1",
            id="attributed-to-nobody",
        ),
    ],
)
async def test_what_disagrees_beside_the_facts_is_found(
    own_registry_url: str,
    clock: SteppingClock,
    damage: Sequence[str],
    rule: str,
    example: str | None,
) -> None:
    registry = SqlRegistry(own_registry_url, clock)
    await registry.write(world(), actor=ACTOR)
    await registry.write([fact(subject("ana", family=("bob",)), day=1)], actor=ACTOR)
    registry.close()
    assert rules(own_registry_url) == []

    run(own_registry_url, *damage)

    assert rules(own_registry_url) == [(rule, 1, (example,) if example else ())]


async def test_who_acted_need_be_no_subject(registry: SqlRegistry, registry_url: str) -> None:
    """The service opened it, somebody reviewed it whom the registry does not hold."""
    access = e.Grant(
        "em-1",
        w.GrantKind.EMERGENCY,
        subject_id="bob",
        patient_id="ana",
        approved_by="emergency-access",
        review=e.GrantReview(YEAR, "reviewer", w.ReviewVerdict.JUSTIFIED),
    )

    await registry.write([*world(), fact(access)], actor=ACTOR)

    assert rules(registry_url) == []


async def test_progress_tells_every_page_and_what_of(
    registry: SqlRegistry, registry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 1000)
    many = [fact(subject(f"s{number}")) for number in range(999)]
    await registry.write([fact(tenant()), *many], actor=ACTOR)
    await registry.write([fact(subject(f"t{number}")) for number in range(600)], actor=ACTOR)
    told: list[tuple[str, int]] = []

    found = list(
        verify_registry(registry_url, progress=lambda what, done, _total: told.append((what, done)))
    )

    assert found == []
    assert [one for one in told if one[0] == "subject"] == [("subject", 1000), ("subject", 1599)]
    assert ("tenant", 1) in told


def test_every_field_that_is_a_text_is_a_name_or_known_to_be_none() -> None:
    """A field that is added later is followed, or this fails."""
    for kind, made in e.ENTITY_TYPES.items():
        marked = _marked(made, "")
        entity = made(**marked)
        found = {*persons_in(entity), *recordings_in(entity)} | {
            one.id for one in references_in(entity)
        }

        assert found == _texts(entity), kind


def _marked(made: type, path: str) -> dict[str, Any]:
    """Return fields for *made*: each text that may be a name is its own path."""
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(made).items():
        place = f"{path}{name}"
        text = str(hint)
        inner = _inner(hint)
        if inner is not None:
            one = inner(**_marked(inner, f"{place}."))
            fields[name] = (one,) if "tuple" in text else one
        elif text.startswith("tuple[str"):
            fields[name] = (place,)
        elif hint is str or text == "str | None":
            fields[name] = None if name in NOT_NAMES else place
        else:
            fields[name] = None
    return fields


def _inner(hint: Any) -> Any:
    for each in (hint, *getattr(hint, "__args__", ())):
        if dataclasses.is_dataclass(each):
            return each
    return None


def _texts(value: Any) -> set[str]:
    """Return every text in *value* that is a name; most ids are not."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, tuple):
        return set().union(*map(_texts, value))
    if dataclasses.is_dataclass(value):
        own = isinstance(value, e.Subject | e.Recording | e.Attendance)
        return set().union(
            *(
                _texts(getattr(value, field.name))
                for field in dataclasses.fields(value)
                if field.name != "id" or own
            )
        )
    return set()
