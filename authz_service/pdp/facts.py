"""What a check rests on: facts with who said so, and what they come to for one question."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from authz_service.pdp.entities import (
    ENTITY_TYPES,
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
)
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.model import Evidence, Instant

_KINDS: dict[type, FactKind] = {entity: kind for kind, entity in ENTITY_TYPES.items()}
_KIND_NAMES: dict[type, str] = {entity: kind.value for kind, entity in ENTITY_TYPES.items()}

E_co = TypeVar("E_co", bound=Entity, covariant=True)


@dataclass(frozen=True, slots=True)
class Fact(Generic[E_co]):
    """An entity, with who said so and when they saw it.

    Attributes:
        entity: What is said.
        source: The system that says it.
        observed_at: When that system saw it.
        revision: The registry's revision that wrote it; 0 before it is stored.
    """

    entity: E_co
    source: str
    observed_at: Instant
    revision: int = 0

    @property
    def kind(self) -> FactKind:
        """The kind of the entity."""
        return _KINDS[type(self.entity)]

    @property
    def evidence(self) -> Evidence:
        """This fact, as a record names it."""
        return Evidence(_KIND_NAMES[type(self.entity)], self.entity.id, self.revision)


@dataclass(frozen=True, slots=True)
class FactReference:
    """Names one fact."""

    kind: FactKind
    id: str


class Standing(StrEnum):
    """What the facts say together of whose recording it is."""

    AGREED = "AGREED"
    INCOMPLETE = "INCOMPLETE"
    CONFLICT = "CONFLICT"


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose recording it is by the recording's own facts, before the patient is looked at.

    Attributes:
        standing: Whether booking, owner and attendance agree.
        patient_id: The one patient whom all those that speak name; None where none or several.
        disagreements: What disagrees or is missing, in words without personal data.
    """

    standing: Standing
    patient_id: str | None
    disagreements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """What is known of who asks.

    Attributes:
        subject: The subject.
        person_ids: Every id of the same person, the subject's own included.
    """

    subject: Subject
    person_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """What is known of a recording.

    Attributes:
        recording: The recording.
        consultation: The consultation it is of, if known.
        attendance: Who was in the call, if known.
        grants: Grants on this one recording.
        attribution: Whose it is by these facts.
        ownership: The facts that name the patient. Made once, because most checks that are
            allowed are allowed to the owner.
        attended: The attendance, as a record names it, if known. Made once too, for those who
            attended and list what they attended.
    """

    recording: Fact[Recording]
    consultation: Fact[Consultation] | None
    attendance: Fact[Attendance] | None
    grants: tuple[Fact[Grant], ...]
    attribution: Attribution
    ownership: tuple[Evidence, ...] = field(init=False, repr=False, compare=False)
    attended: Evidence | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Name the facts that name the patient."""
        witnesses = (self.recording, self.consultation, self.attendance)
        ownership = tuple(fact.evidence for fact in witnesses if fact is not None)
        object.__setattr__(self, "ownership", ownership)
        object.__setattr__(self, "attended", ownership[-1] if self.attendance else None)


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """What is known of the person whom a recording is about.

    Attributes:
        subject: The patient.
        restricted_from: From when proxies are restricted; None where not known.
        suspended_from: From when parental delegations are suspended; None where not known.
        person_ids: Every id of the same person, the patient's own included.
        family_ids: Every id of every declared relative.
        delegations: Delegations by or for the patient.
        blocks: Safeguarding blocks that protect the patient.
        relationships: Relationships of care.
        grants: Grants on all recordings of the patient.
        consents: Consents, given and withdrawn.
    """

    subject: Subject
    restricted_from: Instant | None
    suspended_from: Instant | None
    person_ids: frozenset[str]
    family_ids: frozenset[str] = frozenset()
    delegations: tuple[Fact[Delegation], ...] = ()
    blocks: tuple[Fact[Block], ...] = ()
    relationships: tuple[Fact[Relationship], ...] = ()
    grants: tuple[Fact[Grant], ...] = ()
    consents: tuple[Fact[Consent], ...] = ()


class Facts(NamedTuple):
    """All that one question rests on, at one revision of the registry.

    A tuple, because one is made for every check.

    Attributes:
        subject: Who asks; None where no fact knows them.
        recording: The recording; None where no fact knows it.
        patient: The person whom the recording's attribution names; None where nobody is known.
        containments: The containments, lifted ones included.
        revision: The registry's revision at which all of this is true.
    """

    subject: SubjectFacts | None
    recording: RecordingFacts | None
    patient: PatientFacts | None
    containments: tuple[Containment, ...] = ()
    revision: int = 0
