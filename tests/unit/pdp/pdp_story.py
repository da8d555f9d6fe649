"""A sound little world: Ana, her recording with Dr Bok, and the values that tests vary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from authz_service.pdp.assembly import World
from authz_service.pdp.decide import decide
from authz_service.pdp.entities import (
    Attendance,
    Block,
    Consultation,
    Delegation,
    Entity,
    Grant,
    Participant,
    Recording,
    Relationship,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    DelegationKind,
    FactKind,
    GrantKind,
    ParticipantKind,
    RecordingState,
    RelationshipKind,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Condition,
    Decision,
    Effect,
    PurposeOfUse,
    Relation,
    Situation,
)
from authz_service.pdp.ruleset import PolicyReading, RuleMatch, RuleReading

ALL_ACTIONS = tuple(Action)
NOON = datetime(2022, 6, 15, 12, tzinfo=UTC)
BEFORE = datetime(2022, 6, 1, tzinfo=UTC)
AFTER = datetime(2022, 7, 1, tzinfo=UTC)

SOURCES = {
    FactKind.CONSULTATION: "booking",
    FactKind.RECORDING: "pipeline",
    FactKind.ATTENDANCE: "media",
}
TENANT = Tenant("clinic", "Europe/Oslo", 12, 16)
ANA = Subject(
    "ana", "clinic", SubjectKind.PATIENT, SubjectStatus.ACTIVE, birth_date=date(1980, 1, 1)
)
BEA = Subject("bea", "clinic", SubjectKind.PATIENT, SubjectStatus.ACTIVE)
BOK = Subject("bok", "clinic", SubjectKind.STAFF, SubjectStatus.ACTIVE)
CONSULTATION = Consultation(
    "con", "clinic", patient_id="ana", started_at=datetime(2022, 5, 1, 9, tzinfo=UTC)
)
RECORDING = Recording(
    "rec",
    "clinic",
    RecordingState.ACTIVE,
    consultation_id="con",
    owner_id="ana",
    created_at=datetime(2022, 5, 1, 9, 30, tzinfo=UTC),
)
ATTENDANCE = Attendance(
    "rec",
    (Participant("ana", ParticipantKind.PATIENT), Participant("bok", ParticipantKind.CLINICIAN)),
)
SOUND: tuple[Entity, ...] = (TENANT, ANA, BEA, BOK, CONSULTATION, RECORDING, ATTENDANCE)
REQUEST = AccessRequest("ana", "rec", Action.VIEW, PurposeOfUse.PATRQT)


class RulesetOf:
    """Allows what a predicate allows, and denies what another denies."""

    revision = "0" * 64

    def __init__(
        self,
        allows: Callable[[Situation], bool],
        denies: Callable[[Situation], bool] = lambda _situation: False,
    ) -> None:
        self._allows = allows
        self._denies = denies

    def match(self, situation: Situation) -> RuleMatch | None:
        if self._denies(situation):
            return RuleMatch(Effect.DENY, "closed")
        return RuleMatch(Effect.ALLOW, "open") if self._allows(situation) else None

    def open_relations(
        self, action: Action, purpose_of_use: PurposeOfUse, impossible: frozenset[Condition]
    ) -> frozenset[Relation]:
        return frozenset(Relation)

    def explain(self, situation: Situation) -> PolicyReading:
        match = self.match(situation)
        unmet = () if match else ("relation",)
        return PolicyReading(situation.roles, [RuleReading("open", Effect.ALLOW, unmet)])


EVERYTHING = RulesetOf(lambda situation: bool(situation.relations))
NOTHING = RulesetOf(lambda _situation: False)


def by(*relations: Relation) -> RulesetOf:
    """Return the ruleset that allows everything through *relations*."""
    return RulesetOf(lambda situation: bool(situation.relations & set(relations)))


def fact(entity: Any, source: str | None = None) -> Fact[Any]:
    """Return *entity* as a fact from the source of its kind."""
    made = Fact(entity, "", BEFORE, 7)
    return replace(made, source=SOURCES.get(made.kind, "desk") if source is None else source)


def world(*changes: Entity, disputed: Iterable[str] = ()) -> World:
    """Return the sound world with *changes* in place of what has their kind and id."""
    return World([fact(one) for one in (*SOUND, *changes)], disputed)


def asked(*changes: Entity, ruleset: RulesetOf = EVERYTHING, **asking: Any) -> Decision:
    """Return the answer to `REQUEST` with *asking* replaced, in the sound world with *changes*."""
    request = REQUEST._replace(**asking)
    facts = world(*changes).facts_for(request.subject_id, request.recording_id)
    return decide(request, facts, ruleset, NOON)


def delegation(**changes: Any) -> Delegation:
    """Return a lasting power of Bea for Ana, in force for everything, with *changes*."""
    sound = Delegation(
        "del", DelegationKind.LASTING_POWER, "ana", "bea", ALL_ACTIONS, valid_from=BEFORE
    )
    return replace(sound, **changes)


def grant(kind: GrantKind = GrantKind.SHARE, **changes: Any) -> Grant:
    """Return a grant of Ana's recordings to Bea, in force for everything, with *changes*."""
    sound = Grant(
        "gra",
        kind,
        "bea",
        patient_id="ana",
        actions=ALL_ACTIONS,
        valid_from=BEFORE,
        approved_by="ana",
    )
    return replace(sound, **changes)


def care(**changes: Any) -> Relationship:
    """Return Dr Bok's place in Ana's team, with *changes*."""
    sound = Relationship("rel", RelationshipKind.TREATING_TEAM, "ana", "bok", valid_from=BEFORE)
    return replace(sound, **changes)


def block(**changes: Any) -> Block:
    """Return a block between Ana and Bea, with *changes*."""
    return replace(Block("blk", "ana", "bea"), **changes)


def attended(*others: tuple[str, ParticipantKind]) -> Attendance:
    """Return the attendance of Ana, Dr Bok and *others*."""
    return replace(
        ATTENDANCE,
        participants=ATTENDANCE.participants + tuple(Participant(*other) for other in others),
    )


ASSURED: dict[str, Any] = {"assurance": Assurance.MULTI_FACTOR, "authenticated_at": NOON}
