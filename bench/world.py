"""The benchmark's registry, as facts: patients with five sound recordings each, and clinicians.

Everything follows from the numbers alone, so that questions can be made without the registry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from authz_service.facts.schema import SCHEMA_VERSION
from authz_service.pdp.entities import (
    Attendance,
    Consultation,
    Entity,
    Participant,
    Recording,
    RoleAssignment,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    Modality,
    ParticipantKind,
    RecordingState,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Fact

RECORDINGS_EACH = 5
"""How many recordings a patient has."""
CLINICIANS = 2000
"""How many clinicians hold all consultations."""

_TENANT = "uk-nhs"
_BEGINNING = datetime(2021, 1, 4, 8, tzinfo=UTC)
_SAID_AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
_MINUTES_EACH = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class World:
    """A registry of so many patients, each with recordings that are spread over the years."""

    patients: int

    @property
    def recordings(self) -> int:
        """How many recordings there are."""
        return self.patients * RECORDINGS_EACH

    @property
    def facts(self) -> int:
        """How many facts there are."""
        return 1 + CLINICIANS + self.patients + 3 * self.recordings

    @property
    def name(self) -> str:
        """The name of the registry's file: changes with the schema and with what is said here."""
        digest = hashlib.sha256(SCHEMA_VERSION.encode())
        for fact in World(patients=2).entities():
            digest.update(repr(fact).encode())
        return f"registry-{self.recordings}-{digest.hexdigest()[:12]}.db"

    def owner_of(self, recording: int) -> int:
        """Return the patient of a recording, both by number."""
        return recording % self.patients

    def entities(self) -> Iterator[Fact[Entity]]:
        """Yield every fact, in the order in which a registry would come to know them."""
        yield _fact(Tenant(_TENANT, "Europe/London"), "directory")
        for number in range(CLINICIANS):
            yield _fact(_clinician(number), "directory")
        for number in range(self.patients):
            yield _fact(_patient(number), "directory")
        for number in range(self.recordings):
            yield from self._facts_of_call(number)

    def _facts_of_call(self, number: int) -> Iterator[Fact[Entity]]:
        """Yield the three facts that witness whose a recording is."""
        patient = patient_id(self.owner_of(number))
        began = _BEGINNING + number * timedelta(minutes=2)
        consultation = f"c{number:07}"
        yield _fact(
            Consultation(
                consultation, _TENANT, patient, Modality.VIDEO, began, began + _MINUTES_EACH
            ),
            "booking-system",
        )
        yield _fact(
            Recording(
                recording_id(number),
                _TENANT,
                RecordingState.ACTIVE,
                consultation,
                patient,
                created_at=began + _MINUTES_EACH,
                created_by_release="2026.1",
            ),
            "recording-pipeline",
        )
        participants = (
            Participant(patient, ParticipantKind.PATIENT, began, began + _MINUTES_EACH),
            Participant(
                f"s{number % CLINICIANS:04}",
                ParticipantKind.CLINICIAN,
                began,
                began + _MINUTES_EACH,
            ),
        )
        yield _fact(Attendance(recording_id(number), participants), "media-server")


def patient_id(number: int) -> str:
    """Return the id of a patient."""
    return f"p{number:06}"


def recording_id(number: int) -> str:
    """Return the id of a recording."""
    return f"r{number:07}"


def _patient(number: int) -> Subject:
    """Return an adult patient."""
    born = date(1940, 1, 1) + timedelta(days=number % 20_000)
    return Subject(
        patient_id(number), _TENANT, SubjectKind.PATIENT, SubjectStatus.ACTIVE, birth_date=born
    )


def _clinician(number: int) -> Subject:
    """Return a clinician."""
    roles = (RoleAssignment("clinician", _BEGINNING),)
    return Subject(f"s{number:04}", _TENANT, SubjectKind.STAFF, SubjectStatus.ACTIVE, roles=roles)


def _fact(entity: Any, source: str) -> Fact[Entity]:
    """Return what *source* says."""
    return Fact(entity, source, _SAID_AT)
