"""Random small worlds: a few people, three recordings, and facts that fit or do not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp import facts as f
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Condition,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import PolicyReading, RuleMatch, RuleReading

NOW = datetime(2022, 6, 15, 12, tzinfo=UTC)
INSTANTS = (
    datetime(2020, 1, 1, tzinfo=UTC),
    datetime(2022, 6, 15, 11, 58, tzinfo=UTC),
    NOW,
    datetime(2023, 1, 1, tzinfo=UTC),
)
_PEOPLE = ("p1", "p2", "p3", "s1", "s2", "v1")
_RECORDINGS = ("r1", "r2", "r3")
_TENANTS = ("t1", "t1", "t1", "t2")
_SOURCES = ("desk", "desk-2")
_AN_ID = st.sampled_from(("p3", "p3", "p3", "p3", *_PEOPLE))
_PATIENT = st.sampled_from(("p1", "p1", "p2"))
_MAYBE = st.sampled_from(INSTANTS) | st.none()
_FROM = st.sampled_from((INSTANTS[0], INSTANTS[0], INSTANTS[0], NOW, INSTANTS[3], None))
_TO = st.sampled_from((None, None, None, *INSTANTS))
_ACTIONS = st.sampled_from(
    (tuple(Action), tuple(Action), (Action.VIEW, Action.SHARE), (Action.LIST,), ())
)
_MATTER = st.sampled_from((None, "m1", "m2"))
_FEW = st.lists(_AN_ID, max_size=2).map(tuple)
_BORN = st.sampled_from(
    (None, date(1980, 1, 1), date(2006, 6, 16), date(2008, 2, 29), date(2015, 1, 1))
)
_ROLES = st.sampled_from(("clinician", "emergency_clinician", "legal_reviewer", "support"))


class Open:
    """Allows everybody everything through every relation: the worst policy that there may be."""

    revision = "0" * 64

    def match(self, situation: Situation) -> RuleMatch | None:
        return RuleMatch(Effect.ALLOW, "open") if situation.relations else None

    def open_relations(
        self, action: Action, purpose_of_use: PurposeOfUse, impossible: frozenset[Condition]
    ) -> frozenset[Relation]:
        return frozenset(Relation)

    def explain(self, situation: Situation) -> PolicyReading:
        match = self.match(situation)
        unmet = () if match else ("relation",)
        return PolicyReading(situation.roles, [RuleReading("open", Effect.ALLOW, unmet)])


OPEN = Open()

ROLE = st.builds(e.RoleAssignment, _ROLES, _FROM, _TO)
SUBJECTS = st.builds(
    e.Subject,
    _AN_ID,
    st.sampled_from(_TENANTS),
    st.sampled_from((w.SubjectKind.PATIENT, w.SubjectKind.PATIENT, *w.SubjectKind)),
    st.sampled_from((w.SubjectStatus.ACTIVE,) * 5 + tuple(w.SubjectStatus)),
    _BORN,
    st.lists(ROLE, max_size=2).map(tuple),
    st.just(()),
    st.just(()) | _FEW,
    st.just(()) | _FEW,
)
CONSULTATIONS = st.builds(
    e.Consultation,
    st.sampled_from(("c1", "c2")),
    st.sampled_from(_TENANTS),
    _PATIENT | st.none(),
    st.none(),
    st.sampled_from((INSTANTS[0], INSTANTS[0], None)),
)
_HOLDS = st.builds(e.Hold, st.sampled_from(("m1", "m2")), st.sampled_from(w.HoldKind), _FEW)
RECORDINGS = st.builds(
    e.Recording,
    st.sampled_from(_RECORDINGS),
    st.sampled_from(_TENANTS),
    st.sampled_from((w.RecordingState.ACTIVE,) * 6 + tuple(w.RecordingState)),
    consultation_id=st.sampled_from(("c1", "c1", "c2", None)),
    owner_id=_PATIENT | st.none(),
    sealed=st.sampled_from((False, False, True)),
    named_viewers=st.just(()) | _FEW,
    confidential_from_proxy=st.booleans(),
    created_at=st.sampled_from((INSTANTS[0], INSTANTS[1], None)),
    retention_until=_TO,
    holds=st.just(()) | st.lists(_HOLDS, max_size=2).map(tuple),
)
_PARTICIPANTS = st.builds(
    e.Participant, _AN_ID, st.sampled_from([k for k in w.ParticipantKind if k != "PATIENT"])
)
ATTENDANCES = st.builds(
    lambda rid, patients, others: e.Attendance(
        rid,
        tuple(e.Participant(one, w.ParticipantKind.PATIENT) for one in patients) + tuple(others),
    ),
    st.sampled_from(_RECORDINGS),
    st.lists(_PATIENT, min_size=1, max_size=1) | st.lists(_PATIENT, max_size=2),
    st.lists(_PARTICIPANTS, max_size=3),
)
_REVIEWS = st.none() | st.builds(
    e.CompetenceReview, st.sampled_from(INSTANTS), st.sampled_from(w.CompetenceOutcome)
)
DELEGATIONS = st.builds(
    e.Delegation,
    st.sampled_from(("d1", "d2", "d3")),
    st.sampled_from(w.DelegationKind),
    _PATIENT | st.none(),
    _AN_ID | st.none(),
    _ACTIONS,
    _FROM,
    _TO,
    st.sampled_from((None, None, None, None, *INSTANTS)),
    _MAYBE,
    _REVIEWS,
)
BLOCKS = st.builds(
    e.Block, st.sampled_from(("b1", "b2")), _PATIENT, _AN_ID, st.none() | _MAYBE, _TO
)
RELATIONSHIPS = st.builds(
    e.Relationship,
    st.sampled_from(("l1", "l2")),
    st.sampled_from(w.RelationshipKind),
    _PATIENT | st.none(),
    _AN_ID | st.none(),
    _FROM,
    _TO,
)
GRANTS = st.builds(
    e.Grant,
    st.sampled_from(("g1", "g2", "g3")),
    st.sampled_from(w.GrantKind),
    _AN_ID | st.none(),
    st.none() | st.sampled_from(_RECORDINGS),
    _PATIENT | st.none(),
    _ACTIONS,
    _FROM,
    _TO,
    st.sampled_from((None, None, None, None, *INSTANTS)),
    _MATTER,
    approved_by=st.sampled_from(("p1", "p1", "p2", "p3", "s1", "s2", "emergency-access", None, "")),
)
CONSENTS = st.builds(
    e.Consent,
    st.sampled_from(("n1", "n2")),
    _PATIENT,
    st.sampled_from(w.ConsentScope),
    st.sampled_from(w.ConsentStatus),
    _MAYBE,
)
CONTAINMENTS = st.builds(
    e.Containment,
    st.sampled_from(("x1", "x2")),
    st.builds(
        e.ContainmentScope,
        st.none() | st.sampled_from(w.Audience),
        st.none() | st.sampled_from(("t1", "t2")),
        st.none() | st.sampled_from(Action),
        st.none(),
        st.just(()) | st.lists(st.sampled_from(_RECORDINGS), max_size=2).map(tuple),
        st.none() | st.sampled_from(INSTANTS),
        st.none() | st.sampled_from(INSTANTS),
    ),
    set_by=st.just("eve"),
    lifted_by=st.just("zed"),
    lifted_at=_MAYBE,
)
ENTITIES: st.SearchStrategy[e.Entity] = st.one_of(
    SUBJECTS,
    CONSULTATIONS,
    RECORDINGS,
    ATTENDANCES,
    DELEGATIONS,
    BLOCKS,
    RELATIONSHIPS,
    GRANTS,
    CONSENTS,
)
_FITTING: st.SearchStrategy[e.Entity] = st.one_of(
    st.builds(
        e.Delegation,
        st.sampled_from(("d1", "d4")),
        st.sampled_from(w.DelegationKind),
        st.sampled_from(("p1", "p2")),
        st.just("p3"),
        st.just(tuple(Action)),
        st.just(INSTANTS[0]),
        patient_consented_at=st.just(INSTANTS[0]),
    ),
    st.builds(
        e.Grant,
        st.sampled_from(("g1", "g4")),
        st.sampled_from(w.GrantKind),
        st.sampled_from(("p3", "s2")),
        patient_id=st.just("p1"),
        actions=st.just(tuple(Action)),
        valid_from=st.just(INSTANTS[0]),
        matter_id=st.just("m1"),
        approved_by=st.just("p1"),
    ),
    st.just(e.Relationship("l3", w.RelationshipKind.REFERRAL, "p1", "s2", INSTANTS[0])),
)
"""What gives p3 or s2 a relation to recordings of p1 and p2, unless something is in the way."""
_T1 = e.Tenant("t1", "Europe/Oslo", 12, 16)


def as_fact(entity: Any, source: str = "") -> f.Fact[Any]:
    """Return *entity* as a fact; the three witnesses are three sources unless told otherwise."""
    kinds = {e.Recording: "pipeline", e.Consultation: "booking", e.Attendance: "media"}
    return f.Fact(entity, source or kinds.get(type(entity), "desk"), INSTANTS[0], 1)


def _sound() -> list[e.Entity]:
    """Return the frame on which the random facts are hung: r1 is p1's, with s1."""
    patient, staff = w.SubjectKind.PATIENT, w.SubjectKind.STAFF
    active = w.SubjectStatus.ACTIVE
    role = (e.RoleAssignment("clinician", INSTANTS[0]),)
    return [
        _T1,
        e.Subject("p1", "t1", patient, active, date(1980, 1, 1)),
        e.Subject("p2", "t1", patient, active, date(2012, 1, 1)),
        e.Subject("p3", "t1", patient, active, date(1990, 1, 1)),
        e.Subject("s1", "t1", staff, active, roles=role),
        e.Subject("s2", "t1", staff, active, roles=role),
        e.Subject("v1", "t1", w.SubjectKind.SERVICE, active),
        *_recorded("r1", "c1", "p1"),
        *_recorded("r2", "c2", "p2"),
    ]


def _recorded(recording_id: str, consultation_id: str, patient_id: str) -> list[e.Entity]:
    attended = (
        e.Participant(patient_id, w.ParticipantKind.PATIENT),
        e.Participant("s1", w.ParticipantKind.CLINICIAN),
    )
    return [
        e.Consultation(consultation_id, "t1", patient_id, None, INSTANTS[0]),
        e.Recording(
            recording_id,
            "t1",
            w.RecordingState.ACTIVE,
            consultation_id,
            patient_id,
            created_at=INSTANTS[1],
        ),
        e.Attendance(recording_id, attended),
    ]


SOUND = tuple(_sound())
"""The frame, for whoever hangs facts of their own on it."""
WORLDS = st.builds(
    lambda changes: [as_fact(one) for one in (*_sound(), *changes)],
    st.tuples(st.lists(_FITTING, max_size=3), st.lists(ENTITIES, max_size=7)).map(
        lambda both: both[0] + both[1]
    ),
)
"""Facts of a world that is sound but for up to ten facts, any of which may be odd."""

ODD_WORLDS = st.lists(
    st.builds(as_fact, ENTITIES | CONTAINMENTS | st.just(_T1), st.sampled_from(("", *_SOURCES))),
    max_size=25,
)
"""Facts that nobody has put in order."""

REQUESTS = st.builds(
    AccessRequest,
    st.sampled_from((*_PEOPLE, "nobody")),
    st.sampled_from((*_RECORDINGS, "nothing")),
    st.sampled_from((Action.VIEW, Action.VIEW, *Action)),
    st.sampled_from(PurposeOfUse),
    st.sampled_from((None, None, "t1", "t2")),
    st.sampled_from((None, *Assurance)),
    st.sampled_from((None, *INSTANTS)),
    _MATTER,
)
SUPPORTED_REQUESTS = st.builds(
    AccessRequest,
    st.sampled_from(("p1", "p2", "p3", "p3", "p3", "p3", "s1", "s2", "v1")),
    st.sampled_from(("r1", "r1", "r2")),
    st.sampled_from((Action.VIEW, Action.VIEW, Action.LIST, Action.DOWNLOAD)),
    st.sampled_from(PurposeOfUse),
    st.none(),
    st.just(Assurance.MULTI_FACTOR),
    st.just(NOW),
    st.sampled_from((None, "m1")),
)
