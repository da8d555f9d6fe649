"""What gives a relation, what does not, and what lifting one obstacle changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from authz_service.pdp.delegations import in_force
from authz_service.pdp.entities import CompetenceReview, Entity, Hold
from authz_service.pdp.entity_words import (
    CompetenceOutcome,
    DelegationKind,
    GrantKind,
    HoldKind,
    ParticipantKind,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import Action, Evidence, Instant, Relation
from authz_service.pdp.reasons import Obstacle
from authz_service.pdp.relations import relations_of
from tests.unit.pdp.pdp_story import (
    AFTER,
    ANA,
    BEA,
    BEFORE,
    BOK,
    NOON,
    RECORDING,
    REQUEST,
    attended,
    block,
    care,
    delegation,
    fact,
    grant,
    world,
)

_LATER = NOON + timedelta.resolution
_CHILD = replace(ANA, birth_date=date(2012, 1, 1))
_AT_16 = replace(ANA, birth_date=date(2006, 6, 15))
_TURNED_16 = NOON.replace(month=6, day=14, hour=22)  # midnight in Oslo
_PARENT = delegation(kind=DelegationKind.PARENTAL)
_ENDS = CompetenceReview(BEFORE, CompetenceOutcome.PROXY_ENDS)
_SHARE_ONLY = delegation(id="sharer", delegate_id="cid", actions=(Action.SHARE,))
_BY_CID = grant(approved_by="cid")


def _relations(*changes: Entity, who: str = "bea", lifted: Obstacle | None = None) -> set[Relation]:
    facts = world(*changes).facts_for(who, "rec")
    return set(relations_of(REQUEST._replace(subject_id=who), facts, NOON, lifted).evidence)


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "expected"),
    [
        pytest.param(None, None, False, id="no-beginning"),
        pytest.param(None, AFTER, False, id="no-beginning-but-an-end"),
        pytest.param(BEFORE, None, True, id="open"),
        pytest.param(NOON, None, True, id="begins-now"),
        pytest.param(_LATER, None, False, id="begins-in-a-moment"),
        pytest.param(BEFORE, NOON, False, id="ends-now"),
        pytest.param(BEFORE, _LATER, True, id="ends-in-a-moment"),
        pytest.param(NOON, NOON, False, id="empty"),
    ],
)
def test_an_interval_holds_its_beginning_and_not_its_end(
    valid_from: Instant | None, valid_to: Instant | None, *, expected: bool
) -> None:
    assert in_force(valid_from, valid_to, NOON) is expected


@pytest.mark.parametrize(
    ("who", "changes", "expected"),
    [
        pytest.param("ana", [], {Relation.OWNER}, id="patient"),
        pytest.param("bok", [], {Relation.ATTENDING}, id="clinician-in-the-room"),
        pytest.param("bea", [], set(), id="stranger"),
        pytest.param(
            "bea",
            [attended(("bea", ParticipantKind.OBSERVER))],
            {Relation.OTHER_PARTICIPANT},
            id="observer",
        ),
        pytest.param(
            "bea",
            [attended(("bea", ParticipantKind.CHAPERONE), ("bea", ParticipantKind.CLINICIAN))],
            {Relation.OTHER_PARTICIPANT, Relation.ATTENDING},
            id="chaperone-and-clinician",
        ),
        pytest.param("bok", [care()], {Relation.ATTENDING, Relation.TREATING}, id="team"),
        pytest.param("bok", [care(valid_to=NOON)], {Relation.ATTENDING}, id="team-of-yesterday"),
        pytest.param("bok", [care(staff_id=None)], {Relation.ATTENDING}, id="team-of-nobody"),
        pytest.param(
            "bea", [replace(BEA, kind=SubjectKind.SERVICE)], {Relation.CUSTODIAN}, id="service"
        ),
        pytest.param(
            "bea",
            [replace(BEA, kind=SubjectKind.SERVICE, tenant_id="other")],
            set(),
            id="service-of-another-tenant",
        ),
        pytest.param(
            "bea",
            [replace(RECORDING, holds=(Hold("m", HoldKind.PRESERVE, ("bea",)),))],
            {Relation.LEGAL},
            id="viewer-of-a-hold",
        ),
    ],
)
def test_relations_of_taking_part_care_and_custody(
    who: str, changes: list[Entity], expected: set[Relation]
) -> None:
    assert _relations(*changes, who=who) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([delegation()], Relation.DELEGATE, id="in-force"),
        pytest.param([delegation(delegate_id="cid")], None, id="of-somebody-else"),
        pytest.param([delegation(patient_id="bea")], None, id="for-somebody-else"),
        pytest.param([delegation(valid_to=NOON)], None, id="ended"),
        pytest.param([delegation(valid_from=None)], None, id="never-begun"),
        pytest.param([delegation(revoked_at=AFTER)], None, id="revoked-as-of-later"),
        pytest.param([delegation(actions=())], None, id="of-no-actions"),
        pytest.param([delegation(actions=(Action.LIST,))], None, id="of-another-action"),
        pytest.param(
            [delegation(), replace(ANA, status=SubjectStatus.DECEASED)], None, id="deceased"
        ),
        pytest.param(
            [delegation(), replace(ANA, status=SubjectStatus.SUSPENDED)],
            Relation.DELEGATE,
            id="patient-suspended",
        ),
        pytest.param([delegation(kind=DelegationKind.DEPUTY)], Relation.DELEGATE, id="deputy"),
        pytest.param([delegation(kind=DelegationKind.CARER)], None, id="carer-without-consent"),
        pytest.param(
            [delegation(kind=DelegationKind.CARER, patient_consented_at=NOON)],
            Relation.DELEGATE,
            id="carer-with-consent",
        ),
        pytest.param(
            [delegation(kind=DelegationKind.CONSENTED, patient_consented_at=_LATER)],
            None,
            id="consent-to-come",
        ),
        pytest.param([delegation(), block()], None, id="blocked"),
        pytest.param([delegation(), block(valid_from=NOON)], None, id="blocked-as-of-now"),
        pytest.param([delegation(), block(valid_from=_LATER)], Relation.DELEGATE, id="block-later"),
        pytest.param([delegation(), block(valid_to=NOON)], Relation.DELEGATE, id="block-over"),
        pytest.param([delegation(), block(delegate_id="cid")], Relation.DELEGATE, id="block-other"),
        pytest.param([delegation(), block(patient_id="bok")], Relation.DELEGATE, id="block-else"),
        pytest.param([_PARENT, _CHILD], Relation.GUARDIAN, id="parent-of-a-child"),
        pytest.param([_PARENT], None, id="parent-of-an-adult"),
        pytest.param([_PARENT, _AT_16], None, id="parent-on-the-16th-birthday"),
        pytest.param(
            [_PARENT, replace(_AT_16, birth_date=date(2006, 6, 16))],
            Relation.GUARDIAN,
            id="parent-on-the-day-before",
        ),
        pytest.param(
            [replace(_PARENT, patient_consented_at=_TURNED_16), _AT_16],
            Relation.DELEGATE,
            id="parent-with-consent-from-16-on",
        ),
        pytest.param(
            [replace(_PARENT, patient_consented_at=_TURNED_16 - timedelta.resolution), _AT_16],
            None,
            id="parent-with-consent-a-moment-too-early",
        ),
        pytest.param(
            [replace(_PARENT, patient_consented_at=_LATER), _AT_16], None, id="parent-consent-later"
        ),
        pytest.param([_PARENT, replace(ANA, birth_date=None)], None, id="no-birth-date"),
        pytest.param(
            [replace(_PARENT, competence_review=_ENDS), _CHILD], None, id="review-ended-it"
        ),
        pytest.param(
            [replace(_PARENT, competence_review=replace(_ENDS, at=NOON)), _CHILD],
            None,
            id="review-ends-it-now",
        ),
        pytest.param(
            [replace(_PARENT, competence_review=replace(_ENDS, at=_LATER)), _CHILD],
            Relation.GUARDIAN,
            id="review-will-end-it",
        ),
        pytest.param(
            [_PARENT, _CHILD, delegation(id="old", valid_to=BEFORE, competence_review=_ENDS)],
            None,
            id="review-on-their-other-delegation",
        ),
        pytest.param(
            [_PARENT, _CHILD, delegation(id="x", delegate_id="cid", competence_review=_ENDS)],
            Relation.GUARDIAN,
            id="review-of-somebody-else",
        ),
        pytest.param(
            [delegation(competence_review=_ENDS)], Relation.DELEGATE, id="review-of-an-attorney"
        ),
    ],
)
def test_what_a_delegation_gives(changes: list[Entity], expected: Relation | None) -> None:
    assert _relations(*changes) == ({expected} if expected else set())


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (_TURNED_16 - timedelta.resolution, {Relation.GUARDIAN}),
        (_TURNED_16, set()),
    ],
)
def test_a_guardian_is_none_from_the_16th_birthday_on(
    now: Instant, expected: set[Relation]
) -> None:
    facts = world(_PARENT, _AT_16).facts_for("bea", "rec")

    assert set(relations_of(REQUEST._replace(subject_id="bea"), facts, now).evidence) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([grant()], Relation.GRANTEE, id="share"),
        pytest.param(
            [grant(patient_id=None, recording_id="rec")], Relation.GRANTEE, id="of-a-recording"
        ),
        pytest.param([grant(recording_id="rec")], Relation.GRANTEE, id="of-both"),
        pytest.param([grant(patient_id="bok", recording_id="rec")], None, id="of-two-that-differ"),
        pytest.param([grant(patient_id=None)], None, id="of-nothing"),
        pytest.param([grant(subject_id=None)], None, id="to-nobody"),
        pytest.param([grant(actions=())], None, id="of-no-actions"),
        pytest.param([grant(valid_to=NOON)], None, id="ended"),
        pytest.param([grant(revoked_at=AFTER)], None, id="revoked"),
        pytest.param([grant(approved_by=None)], None, id="unapproved"),
        pytest.param([grant(approved_by="")], None, id="approved-by-an-empty-name"),
        pytest.param([grant(approved_by="bea")], None, id="approved-by-its-holder"),
        pytest.param([grant(approved_by="bok")], None, id="approved-by-staff"),
        pytest.param([grant(), block()], None, id="blocked"),
        pytest.param([_BY_CID], None, id="approved-by-a-stranger"),
        pytest.param([_BY_CID, _SHARE_ONLY], Relation.GRANTEE, id="approved-by-a-delegate"),
        pytest.param(
            [_BY_CID, replace(_SHARE_ONLY, actions=(Action.VIEW,))],
            None,
            id="approved-by-a-delegate-without-share",
        ),
        pytest.param(
            [_BY_CID, _SHARE_ONLY, block(delegate_id="cid")],
            None,
            id="approved-by-a-delegate-who-is-blocked",
        ),
        pytest.param(
            [_BY_CID, replace(_SHARE_ONLY, valid_to=NOON)],
            None,
            id="approved-by-a-delegate-of-yesterday",
        ),
        pytest.param([grant(GrantKind.LEGAL, approved_by="bok")], Relation.LEGAL, id="legal"),
        pytest.param([grant(GrantKind.QUALITY, approved_by="bok")], Relation.QUALITY, id="quality"),
        pytest.param(
            [grant(GrantKind.EMERGENCY, approved_by="emergency-access")],
            Relation.EMERGENCY,
            id="emergency",
        ),
        pytest.param([grant(GrantKind.LEGAL, approved_by="bea")], None, id="legal-by-oneself"),
        pytest.param(
            [
                grant(GrantKind.QUALITY, approved_by="bok"),
                replace(BOK, same_person_as=("bea",)),
            ],
            None,
            id="quality-by-oneself-under-another-id",
        ),
        pytest.param([grant(GrantKind.LEGAL, approved_by=None)], None, id="legal-by-nobody"),
        pytest.param(
            [grant(GrantKind.LEGAL, approved_by="bok"), block()],
            Relation.LEGAL,
            id="a-block-is-for-shares",
        ),
    ],
)
def test_what_a_grant_gives(changes: list[Entity], expected: Relation | None) -> None:
    assert _relations(*changes) == ({expected} if expected else set())


@pytest.mark.parametrize(
    ("lifted", "changes", "expected"),
    [
        (Obstacle.DELEGATION_ENDED, [delegation(valid_to=NOON)], Relation.DELEGATE),
        (Obstacle.DELEGATION_ENDED, [delegation(valid_from=AFTER, valid_to=AFTER)], None),
        (Obstacle.DELEGATION_ENDED, [delegation(valid_to=NOON, revoked_at=BEFORE)], None),
        (Obstacle.DELEGATION_REVOKED, [delegation(revoked_at=BEFORE)], Relation.DELEGATE),
        (Obstacle.DELEGATION_SCOPE, [delegation(actions=())], Relation.DELEGATE),
        (
            Obstacle.PATIENT_DECEASED,
            [delegation(), replace(ANA, status=SubjectStatus.DECEASED)],
            Relation.DELEGATE,
        ),
        (Obstacle.BLOCK, [delegation(), block()], Relation.DELEGATE),
        (Obstacle.BLOCK, [grant(), block()], Relation.GRANTEE),
        (Obstacle.BLOCK, [_BY_CID, _SHARE_ONLY, block(delegate_id="cid")], None),
        (Obstacle.SUSPENDED_BY_AGE, [_PARENT], Relation.GUARDIAN),
        (Obstacle.SUSPENDED_BY_AGE, [replace(_PARENT, competence_review=_ENDS)], None),
        (Obstacle.SUSPENDED_BY_AGE, [_PARENT, replace(ANA, birth_date=None)], None),
        (
            Obstacle.SUSPENDED_BY_REVIEW,
            [replace(_PARENT, competence_review=_ENDS), _CHILD],
            Relation.GUARDIAN,
        ),
        (Obstacle.SUSPENDED_BY_REVIEW, [replace(_PARENT, competence_review=_ENDS)], None),
        (Obstacle.GRANT_ENDED, [grant(valid_to=NOON)], Relation.GRANTEE),
        (Obstacle.GRANT_ENDED, [grant(valid_to=NOON, approved_by="bok")], None),
        (Obstacle.GRANT_REVOKED, [grant(revoked_at=BEFORE)], Relation.GRANTEE),
        (Obstacle.GRANT_REVOKED, [grant(revoked_at=BEFORE, actions=())], None),
        (Obstacle.RELATIONSHIP_ENDED, [care(staff_id="bea", valid_to=NOON)], Relation.TREATING),
        (Obstacle.RELATIONSHIP_ENDED, [care(staff_id="bea", valid_from=AFTER)], None),
    ],
)
def test_lifting_takes_one_thing_out_of_the_way(
    lifted: Obstacle, changes: list[Entity], expected: Relation | None
) -> None:
    """Without lifting there is no relation; with it there is one unless something else is there."""
    assert _relations(*changes) == set()
    assert _relations(*changes, lifted=lifted) == ({expected} if expected else set())


def test_evidence_names_every_fact_that_gave_a_relation() -> None:
    facts = world(delegation(), delegation(id="del-2")).facts_for("bea", "rec")
    owner = world().facts_for("ana", "rec")

    found = relations_of(REQUEST._replace(subject_id="bea"), facts, NOON)
    own = relations_of(REQUEST, owner, NOON)

    assert found.evidence == {
        Relation.DELEGATE: (Evidence("delegation", "del", 7), Evidence("delegation", "del-2", 7))
    }
    assert own.evidence == {
        Relation.OWNER: (
            Evidence("recording", "rec", 7),
            Evidence("consultation", "con", 7),
            Evidence("attendance", "rec", 7),
        )
    }


@pytest.mark.parametrize(
    ("entity", "by_right"),
    [
        pytest.param(delegation(), True, id="delegation"),
        pytest.param(grant(), True, id="share"),
        pytest.param(grant(GrantKind.LEGAL, approved_by="bok"), True, id="legal"),
        pytest.param(grant(GrantKind.EMERGENCY, approved_by="bok"), False, id="emergency"),
        pytest.param(care(staff_id="bea"), False, id="care"),
        pytest.param(attended(("bea", ParticipantKind.CLINICIAN)), False, id="attendance"),
        pytest.param(
            replace(RECORDING, holds=(Hold("m", HoldKind.FREEZE, ("bea",)),)), False, id="hold"
        ),
    ],
)
def test_only_delegations_and_grants_give_a_right(entity: Entity, *, by_right: bool) -> None:
    facts = world(entity).facts_for("bea", "rec")

    assert relations_of(REQUEST._replace(subject_id="bea"), facts, NOON).by_right is by_right


def test_nothing_known_gives_no_relation() -> None:
    assert relations_of(REQUEST, Facts(None, None, None), NOON).evidence == {}


def test_a_fact_is_named_by_kind_id_and_revision() -> None:
    assert fact(delegation()).evidence == Evidence("delegation", "del", 7)
