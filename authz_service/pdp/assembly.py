"""Entities put together to the values that a check rests on.

Pure, so that SQL rows, policy cases and tests all reach a decision by the same path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from authz_service.pdp.corroboration import attribute
from authz_service.pdp.entities import (
    Attendance,
    Block,
    Consent,
    Consultation,
    Containment,
    Delegation,
    Entity,
    Grant,
    Recording,
    Relationship,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import (
    Fact,
    FactReference,
    Facts,
    PatientFacts,
    RecordingFacts,
    SubjectFacts,
)
from authz_service.pdp.model import Instant

E = TypeVar("E", bound=Entity)

Neighbours = Callable[[frozenset[str]], frozenset[str]]
"""From ids to the ids declared beside them, whichever side declares."""

_FEBRUARY, _LEAP_DAY = 2, 29


def birthday(birth_date: date, age: int, time_zone: str) -> Instant | None:
    """Return the instant at which somebody turns *age*: midnight in *time_zone*.

    Who is born on 29 February turns on 1 March in other years. None where the calendar ends
    before that day.
    """
    try:
        day = birth_date.replace(year=birth_date.year + age)
    except ValueError:
        if (birth_date.month, birth_date.day) != (_FEBRUARY, _LEAP_DAY):
            return None
        try:
            day = date(birth_date.year + age, 3, 1)
        except ValueError:
            return None
    try:
        return datetime.combine(day, time(), ZoneInfo(time_zone)).astimezone(UTC)
    except OverflowError:
        return None


def same_person(start: str, same: Neighbours) -> frozenset[str]:
    """Return every id of the person of id *start*, over chains of declarations."""
    return _closure(frozenset({start}), same)


def relatives(person_ids: frozenset[str], same: Neighbours, family: Neighbours) -> frozenset[str]:
    """Return every id of every declared relative of a person, through any id of either."""
    declared = family(person_ids)
    return _closure(declared, same) - person_ids if declared else declared


def _closure(start: frozenset[str], neighbours: Neighbours) -> frozenset[str]:
    """Return *start* and all that is reached from it."""
    reached, edge = start, start
    while edge:
        edge = neighbours(edge) - reached
        reached |= edge
    return reached


def subject_facts(subject: Subject, person_ids: frozenset[str]) -> SubjectFacts:
    """Return what is known of who asks."""
    return SubjectFacts(subject, person_ids | {subject.id})


def recording_facts(
    recording: Fact[Recording],
    consultation: Fact[Consultation] | None,
    attendance: Fact[Attendance] | None,
    grants: Iterable[Fact[Grant]],
    *,
    disputed: bool,
) -> RecordingFacts:
    """Return what is known of a recording, with whose it is by these facts."""
    return RecordingFacts(
        recording,
        consultation,
        attendance,
        tuple(grants),
        attribute(recording, consultation, attendance, disputed=disputed),
    )


def patient_facts(  # noqa: PLR0913  # one argument for each kind of fact about a patient
    subject: Subject,
    tenant: Tenant | None,
    *,
    person_ids: frozenset[str],
    family_ids: frozenset[str],
    delegations: Iterable[Fact[Delegation]],
    blocks: Iterable[Fact[Block]],
    relationships: Iterable[Fact[Relationship]],
    grants: Iterable[Fact[Grant]],
    consents: Iterable[Fact[Consent]],
) -> PatientFacts:
    """Return what is known of a patient, with the instants at which proxies change."""
    restricted_from = suspended_from = None
    if tenant is not None and subject.birth_date is not None:
        born, zone = subject.birth_date, tenant.time_zone
        restricted_from = birthday(born, tenant.proxy_restricted_from_age, zone)
        suspended_from = birthday(born, tenant.proxy_suspended_from_age, zone)
    return PatientFacts(
        subject,
        restricted_from,
        suspended_from,
        person_ids | {subject.id},
        family_ids,
        tuple(delegations),
        tuple(blocks),
        tuple(relationships),
        tuple(grants),
        tuple(consents),
    )


class World:
    """Facts held in memory, read whole for every question: slow, and plainly right.

    Serves policy cases, and as the oracle that every faster source of facts must agree with.
    """

    def __init__(self, facts: Iterable[Fact[Entity]] = (), disputed: Iterable[str] = ()) -> None:
        """Hold *facts*, a later one in place of an earlier one of its kind and id."""
        self._facts: dict[FactReference, Fact[Entity]] = {}
        self._disputed = frozenset(disputed)
        for fact in facts:
            self._facts[FactReference(fact.kind, fact.entity.id)] = fact

    def facts_for(self, subject_id: str, recording_id: str) -> Facts:
        """Return what a question about *subject_id* and *recording_id* rests on."""
        recording = self._recording(recording_id)
        patient_id = recording.attribution.patient_id if recording else None
        subject = self._one(FactKind.SUBJECT, subject_id, Subject)
        person_ids = same_person(subject_id, self._same)
        return Facts(
            subject_facts(subject.entity, person_ids) if subject else None,
            recording,
            self._patient(patient_id) if patient_id else None,
            tuple(fact.entity for fact in self._all(Containment)),
        )

    def _recording(self, recording_id: str) -> RecordingFacts | None:
        """Return what is known of a recording."""
        recording = self._one(FactKind.RECORDING, recording_id, Recording)
        if recording is None:
            return None
        booked = recording.entity.consultation_id
        return recording_facts(
            recording,
            self._one(FactKind.CONSULTATION, booked, Consultation) if booked else None,
            self._one(FactKind.ATTENDANCE, recording_id, Attendance),
            [fact for fact in self._all(Grant) if fact.entity.recording_id == recording_id],
            disputed=recording_id in self._disputed,
        )

    def _patient(self, patient_id: str) -> PatientFacts | None:
        """Return what is known of a patient."""
        subject = self._one(FactKind.SUBJECT, patient_id, Subject)
        if subject is None:
            return None
        tenant = self._one(FactKind.TENANT, subject.entity.tenant_id, Tenant)
        person_ids = same_person(patient_id, self._same)
        return patient_facts(
            subject.entity,
            tenant.entity if tenant else None,
            person_ids=person_ids,
            family_ids=relatives(person_ids, self._same, self._family),
            delegations=[x for x in self._all(Delegation) if x.entity.patient_id == patient_id],
            blocks=[x for x in self._all(Block) if x.entity.patient_id == patient_id],
            relationships=[x for x in self._all(Relationship) if x.entity.patient_id == patient_id],
            grants=[
                x
                for x in self._all(Grant)
                if x.entity.patient_id == patient_id and x.entity.recording_id is None
            ],
            consents=[x for x in self._all(Consent) if x.entity.patient_id == patient_id],
        )

    def _one(self, kind: FactKind, fact_id: str, made: type[E]) -> Fact[E] | None:
        """Return the fact of *kind* and *fact_id*."""
        fact = self._facts.get(FactReference(kind, fact_id))
        return cast("Fact[E]", fact) if fact and isinstance(fact.entity, made) else None

    def _all(self, made: type[E]) -> list[Fact[E]]:
        """Return every fact about a *made*."""
        return [cast("Fact[E]", x) for x in self._facts.values() if isinstance(x.entity, made)]

    def _same(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the ids declared to be the same persons."""
        return self._declared(ids, lambda subject: subject.same_person_as)

    def _family(self, ids: frozenset[str]) -> frozenset[str]:
        """Return the ids declared to be relatives."""
        return self._declared(ids, lambda subject: subject.family)

    def _declared(
        self, ids: frozenset[str], declares: Callable[[Subject], tuple[str, ...]]
    ) -> frozenset[str]:
        """Return the other ends of declarations that either side makes."""
        found: set[str] = set()
        for fact in self._all(Subject):
            subject = fact.entity
            if subject.id in ids:
                found.update(declares(subject))
            if ids.intersection(declares(subject)):
                found.add(subject.id)
        return frozenset(found)
