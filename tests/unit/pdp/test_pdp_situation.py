"""What a policy may see: roles and conditions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from authz_service.pdp.entities import (
    CompetenceReview,
    Consent,
    Entity,
    Hold,
    RoleAssignment,
    Subject,
)
from authz_service.pdp.entity_words import (
    CompetenceOutcome,
    ConsentScope,
    ConsentStatus,
    DelegationKind,
    GrantKind,
    HoldKind,
    SubjectKind,
)
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import Assurance, Condition, Instant
from authz_service.pdp.reasons import CONDITION_OBSTACLES, Obstacle
from authz_service.pdp.relations import Relations, relations_of
from authz_service.pdp.situation import (
    is_proxy_restricted,
    is_recent,
    roles_of,
    situation_of,
    with_lifted,
)
from tests.unit.pdp.pdp_story import (
    AFTER,
    ANA,
    BEFORE,
    BOK,
    NOON,
    RECORDING,
    REQUEST,
    delegation,
    grant,
    world,
)

_MOMENT = timedelta.resolution
_AGED_12 = replace(ANA, birth_date=date(2010, 6, 15))
_TURNED_12 = NOON.replace(day=14, hour=22)
_CONTINUES = CompetenceReview(BEFORE, CompetenceOutcome.PROXY_CONTINUES)
_TEEN = replace(ANA, birth_date=date(2008, 1, 1))


def _conditions(*changes: Entity, **asking: Any) -> set[Condition]:
    request = REQUEST._replace(**asking)
    facts = world(*changes).facts_for(request.subject_id, "rec")
    relations = relations_of(request, facts, NOON)
    return set(situation_of(request, facts, relations, NOON).conditions)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(ANA, {"patient"}, id="patient"),
        pytest.param(BOK, set(), id="staff-without-role"),
        pytest.param(replace(BOK, kind=SubjectKind.SERVICE), {"service"}, id="service"),
        pytest.param(
            replace(
                BOK,
                roles=(
                    RoleAssignment("clinician", BEFORE),
                    RoleAssignment("support", BEFORE, NOON),
                    RoleAssignment("auditor", None, AFTER),
                    RoleAssignment("legal_reviewer", AFTER),
                ),
            ),
            {"clinician"},
            id="roles-in-force-alone",
        ),
        pytest.param(
            replace(ANA, roles=(RoleAssignment("clinician", NOON),)),
            {"patient", "clinician"},
            id="patient-with-a-role",
        ),
    ],
)
def test_roles_are_those_valid_now_and_that_of_the_kind(
    subject: Subject, expected: set[str]
) -> None:
    assert roles_of(subject, NOON) == expected


@pytest.mark.parametrize(
    ("authenticated_at", "expected"),
    [
        (None, False),
        (NOON, True),
        (NOON - timedelta(minutes=5), True),
        (NOON - timedelta(minutes=5) - _MOMENT, False),
        (NOON + timedelta(seconds=5), True),
        (NOON + timedelta(seconds=5) + _MOMENT, False),
    ],
)
def test_recent_is_five_minutes_with_clocks_five_seconds_apart(
    authenticated_at: Instant | None, *, expected: bool
) -> None:
    assert is_recent(authenticated_at, NOON) is expected


@pytest.mark.parametrize(
    ("changes", "asking", "expected"),
    [
        pytest.param([], {}, set(), id="nothing"),
        pytest.param([], {"assurance": Assurance.SINGLE_FACTOR}, set(), id="one-factor"),
        pytest.param([], {"assurance": Assurance.MULTI_FACTOR}, {Condition.MFA}, id="two-factors"),
        pytest.param(
            [], {"authenticated_at": NOON}, {Condition.RECENT_AUTHENTICATION}, id="just-now"
        ),
        pytest.param([replace(RECORDING, sealed=True)], {}, {Condition.SEALED}, id="sealed"),
        pytest.param(
            [replace(RECORDING, confidential_from_proxy=True)],
            {},
            {Condition.CONFIDENTIAL_FROM_PROXY},
            id="confidential",
        ),
        pytest.param(
            [replace(ANA, birth_date=None)], {}, {Condition.PROXY_RESTRICTED}, id="age-unknown"
        ),
        pytest.param([_AGED_12], {}, {Condition.PROXY_RESTRICTED}, id="twelve-today"),
        pytest.param([replace(ANA, birth_date=date(2010, 6, 16))], {}, set(), id="eleven-still"),
        pytest.param([replace(ANA, birth_date=date(2006, 6, 15))], {}, set(), id="sixteen-today"),
        pytest.param(
            [replace(ANA, birth_date=date(2006, 6, 16))],
            {},
            {Condition.PROXY_RESTRICTED},
            id="fifteen-still",
        ),
    ],
)
def test_conditions(
    changes: list[Entity], asking: dict[str, Any], expected: set[Condition]
) -> None:
    assert _conditions(*changes, **asking) == expected


@pytest.mark.parametrize(
    ("patient", "review", "who", "restricted"),
    [
        pytest.param(_TEEN, _CONTINUES, "bea", False, id="reviewed"),
        pytest.param(_TEEN, _CONTINUES, "bok", True, id="reviewed-for-somebody-else"),
        pytest.param(_TEEN, replace(_CONTINUES, at=NOON), "bea", False, id="reviewed-now"),
        pytest.param(_TEEN, replace(_CONTINUES, at=AFTER), "bea", True, id="review-to-come"),
        pytest.param(
            _TEEN,
            CompetenceReview(BEFORE, CompetenceOutcome.PROXY_ENDS),
            "bea",
            True,
            id="review-that-ended-it",
        ),
        pytest.param(
            _AGED_12, replace(_CONTINUES, at=_TURNED_12), "bea", False, id="on-the-birthday"
        ),
        pytest.param(
            _AGED_12, replace(_CONTINUES, at=_TURNED_12 - _MOMENT), "bea", True, id="a-moment-early"
        ),
    ],
)
def test_a_review_lifts_the_restriction_of_a_teenagers_proxy(
    patient: Subject, review: CompetenceReview, who: str, *, restricted: bool
) -> None:
    parent = delegation(kind=DelegationKind.PARENTAL, competence_review=review)

    found = _conditions(patient, parent, subject_id=who)

    assert (Condition.PROXY_RESTRICTED in found) is restricted


@pytest.mark.parametrize(
    ("born", "now", "expected"),
    [
        pytest.param(date(2010, 6, 15), _TURNED_12 - _MOMENT, False, id="not-yet-twelve"),
        pytest.param(date(2010, 6, 15), _TURNED_12, True, id="twelve"),
        pytest.param(date(2006, 6, 15), _TURNED_12 - _MOMENT, True, id="not-yet-sixteen"),
        pytest.param(date(2006, 6, 15), _TURNED_12, False, id="sixteen"),
    ],
)
def test_proxies_are_restricted_from_one_birthday_to_the_other(
    born: date, now: Instant, *, expected: bool
) -> None:
    patient = world(replace(ANA, birth_date=born)).facts_for("bea", "rec").patient

    assert patient is not None
    assert is_proxy_restricted("bea", patient, now) is expected


def _consent(number: int, status: ConsentStatus, at: Instant | None) -> Consent:
    return Consent(f"c{number}", "ana", ConsentScope.RESEARCH, status, at)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([], False, id="none"),
        pytest.param([(ConsentStatus.ACTIVE, NOON)], True, id="as-of-now"),
        pytest.param([(ConsentStatus.ACTIVE, NOON + _MOMENT)], False, id="to-come"),
        pytest.param([(ConsentStatus.ACTIVE, None)], False, id="without-instant"),
        pytest.param(
            [(ConsentStatus.ACTIVE, BEFORE), (ConsentStatus.WITHDRAWN, NOON)], False, id="withdrawn"
        ),
        pytest.param(
            [(ConsentStatus.ACTIVE, BEFORE), (ConsentStatus.WITHDRAWN, AFTER)],
            True,
            id="withdrawal-to-come",
        ),
        pytest.param(
            [(ConsentStatus.WITHDRAWN, BEFORE), (ConsentStatus.ACTIVE, NOON)], True, id="given-anew"
        ),
        pytest.param(
            [(ConsentStatus.WITHDRAWN, NOON), (ConsentStatus.ACTIVE, NOON)],
            False,
            id="both-at-once",
        ),
    ],
)
def test_the_latest_consent_that_is_effective_counts(
    given: list[tuple[ConsentStatus, Instant | None]], *, expected: bool
) -> None:
    found = _conditions(*(_consent(n, *one) for n, one in enumerate(given)))

    assert (Condition.RESEARCH_CONSENT in found) is expected
    assert Condition.TRAINING_CONSENT not in found


@pytest.mark.parametrize(
    ("entity", "matter_id", "expected"),
    [
        pytest.param(
            grant(GrantKind.LEGAL, approved_by="bok", matter_id="m1"), "m1", True, id="grant"
        ),
        pytest.param(
            grant(GrantKind.LEGAL, approved_by="bok", matter_id="m1"), "m2", False, id="other"
        ),
        pytest.param(
            grant(GrantKind.LEGAL, approved_by="bok", matter_id="m1"), None, False, id="not-named"
        ),
        pytest.param(grant(GrantKind.LEGAL, approved_by="bok"), None, False, id="none-and-none"),
        pytest.param(
            grant(GrantKind.LEGAL, approved_by="bea", matter_id="m1"), "m1", False, id="unapproved"
        ),
        pytest.param(grant(matter_id="m1"), "m1", False, id="a-share-is-no-matter"),
        pytest.param(
            replace(RECORDING, holds=(Hold("m1", HoldKind.PRESERVE, ("bea",)),)),
            "m1",
            True,
            id="hold",
        ),
        pytest.param(
            replace(RECORDING, holds=(Hold("m1", HoldKind.PRESERVE, ()),)),
            "m1",
            False,
            id="hold-of-others",
        ),
    ],
)
def test_a_matter_matches_that_of_a_legal_grant_or_hold_in_force(
    entity: Entity, matter_id: str | None, *, expected: bool
) -> None:
    found = _conditions(entity, subject_id="bea", matter_id=matter_id)

    assert (Condition.MATTER_MATCHES in found) is expected


def test_lifting_a_condition_changes_that_condition_alone() -> None:
    """More assurance is two factors, now; the others take one condition away."""
    facts = world(_TEEN, replace(RECORDING, confidential_from_proxy=True, sealed=True)).facts_for(
        "bea", "rec"
    )
    situation = situation_of(REQUEST._replace(subject_id="bea"), facts, Relations(), NOON)

    changes = {one: with_lifted(situation, one).conditions for one in CONDITION_OBSTACLES}

    teen = {Condition.SEALED, Condition.CONFIDENTIAL_FROM_PROXY, Condition.PROXY_RESTRICTED}
    assert situation.conditions == teen
    assert changes == {
        Obstacle.ASSURANCE: teen | {Condition.MFA, Condition.RECENT_AUTHENTICATION},
        Obstacle.PROXY_RESTRICTED: {Condition.SEALED, Condition.CONFIDENTIAL_FROM_PROXY},
        Obstacle.CONFIDENTIAL_FROM_PROXY: {Condition.SEALED, Condition.PROXY_RESTRICTED},
    }


def test_a_situation_can_be_made_of_nothing_known() -> None:
    found = situation_of(REQUEST, Facts(None, None, None), Relations(), NOON)

    assert not found.roles | found.relations | found.conditions
