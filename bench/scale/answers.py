"""What is asked about a world, and the answer, known by construction."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from heapq import merge
from typing import NamedTuple

from authz_service.api.v1 import vocabulary_pb2 as words
from bench.scale import traits
from bench.scale.traits import has
from bench.scale.world import Person, World, clinician_id, patient_id, recording_id


class Page(NamedTuple):
    """The first page of a list: whose, which recordings in which order, and whether it is all."""

    subject: str
    recordings: tuple[str, ...]
    is_last: bool


class Bond(Enum):
    """What somebody is to a recording."""

    OWN = "own"
    ATTENDED = "attended"
    GUARDIAN = "guardian"
    NONE = "none"


class Asked(NamedTuple):
    """One question, by ids, and its answer.

    Attributes:
        subject: Who.
        number: Which recording, by number.
        purpose: What for.
        reason: The one right reason; the effect is ALLOW for RULE_ALLOWED alone.
        only_denied: Whether any denial is right, as where the recording may not be known yet.
    """

    subject: str
    number: int
    purpose: words.PurposeOfUse.ValueType
    reason: words.Reason.ValueType
    only_denied: bool = False

    @property
    def recording(self) -> str:
        """The id of the recording."""
        return recording_id(self.number)


_CLOSED = (
    (traits.CONFLICTING, words.REASON_FACTS_CONFLICT),
    (traits.UNATTENDED, words.REASON_FACTS_INCOMPLETE),
    (traits.QUARANTINED, words.REASON_RECORDING_QUARANTINED),
    (traits.FROZEN, words.REASON_LEGAL_HOLD_FROZEN),
)


def reason_of(number: int, bond: Bond) -> words.Reason.ValueType:
    """Return the reason of the answer to who has *bond* to recording *number*, with two factors."""
    for trait, reason in _CLOSED:
        if has(number, trait):
            return reason
    if bond is not Bond.OWN and has(number, traits.SEALED):
        return words.REASON_SEALED
    if bond is Bond.GUARDIAN and has(number, traits.CONFIDENTIAL):
        return words.REASON_CONFIDENTIAL_FROM_PROXY
    return words.REASON_NO_RULE_MATCHED if bond is Bond.NONE else words.REASON_RULE_ALLOWED


def own(world: World, number: int) -> Asked:
    """Return the question of a patient about their own recording."""
    subject = patient_id(world.patient_of(number))
    return Asked(subject, number, words.PURPOSE_OF_USE_PATRQT, reason_of(number, Bond.OWN))


def other(stranger: Person, number: int) -> Asked:
    """Return the question of a patient who has nothing to do with the recording, of one tenant."""
    subject = patient_id(stranger)
    return Asked(subject, number, words.PURPOSE_OF_USE_PATRQT, reason_of(number, Bond.NONE))


def attended(world: World, number: int) -> Asked:
    """Return the question of the clinician who held the consultation."""
    subject = world.clinician_of(number)
    return Asked(subject, number, words.PURPOSE_OF_USE_TREAT, reason_of(number, Bond.ATTENDED))


def guardian(world: World, number: int) -> Asked | None:
    """Return the question of a child's parent; None where there is no parent who may ask."""
    person = world.patient_of(number)
    if not has(person.patient, traits.CHILD) or has(person.patient, traits.BLOCKED):
        return None
    parent = Person(person.tenant, traits.neighbour(person.patient))
    return Asked(
        patient_id(parent),
        number,
        words.PURPOSE_OF_USE_FAMRQT,
        reason_of(number, Bond.GUARDIAN),
    )


def carers(world: World, number: int) -> tuple[str, ...]:
    """Return the ids of the staff who may view a recording to treat its patient, in order."""
    if reason_of(number, Bond.ATTENDED) != words.REASON_RULE_ALLOWED:
        return ()
    person = world.patient_of(number)
    treating = traits.treating(person.patient, world.practices[person.tenant].clinicians)
    found = {world.clinician_of(number)}
    if treating is not None:
        found.add(clinician_id(person.tenant, treating))
    return tuple(sorted(found))


def newest(world: World, tenant: int, clinician: int, most: int) -> Page:
    """Return the first page of a clinician's list for treatment.

    It holds the recordings whose call they held, and those of the patients whom they treat.
    """
    found: list[str] = []
    for number in _reached(world, tenant, clinician):
        if reason_of(number, Bond.ATTENDED) == words.REASON_RULE_ALLOWED:
            if len(found) == most:
                return Page(clinician_id(tenant, clinician), tuple(found), is_last=False)
            found.append(recording_id(number))
    return Page(clinician_id(tenant, clinician), tuple(found), is_last=True)


def _reached(world: World, tenant: int, clinician: int) -> Iterator[int]:
    """Yield the recordings that a clinician held or whose patient they treat, newest first."""
    practice = world.practices[tenant]
    treated = sorted(
        number
        for patient in traits.treated_by(clinician, practice.clinicians, practice.patients)
        for number in world.recordings_of(Person(tenant, patient))
    )
    before = None
    for number in merge(world.recordings_by(tenant, clinician), reversed(treated), reverse=True):
        if number != before:
            yield number
        before = number
