"""The benchmark's registry, as facts: patients with five sound recordings each, and clinicians.

Beside them one clinician and one patient with many more than others. Everything follows from the
numbers alone, so that questions can be made without the registry.
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

TENANT = "uk-nhs"
"""The tenant of everything."""
RECORDINGS_EACH = 5
"""How many recordings a patient has."""
BUSY_CLINICIAN = "s-busy"
"""The clinician with more recordings than anybody."""
FREQUENT_PATIENT = "p-frequent"
"""The patient with more recordings than any other."""

_RECORDINGS_OF_A_CLINICIAN = 500

_BEGINNING = datetime(2021, 1, 4, 8, tzinfo=UTC)
_SAID_AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
_MINUTES_EACH = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class World:
    """A registry of so many patients, each with recordings that are spread over the years.

    Attributes:
        patients: How many patients have `RECORDINGS_EACH`.
        busy: How many recordings the busy clinician has, of these patients in turn.
        frequent: How many the frequent patient has.
    """

    patients: int
    busy: int = 0
    frequent: int = 0

    @property
    def recordings(self) -> int:
        """How many recordings there are of patients who have `RECORDINGS_EACH` alone."""
        return self.patients * RECORDINGS_EACH

    @property
    def clinicians(self) -> int:
        """How many clinicians hold the consultations of these recordings."""
        return max(2, self.recordings // _RECORDINGS_OF_A_CLINICIAN)

    @property
    def all_recordings(self) -> range:
        """All recordings, by number, oldest first."""
        return range(self.recordings + self.busy + self.frequent)

    @property
    def frequent_recordings(self) -> range:
        """The frequent patient's, by number, oldest first."""
        return self.all_recordings[self.recordings + self.busy :]

    @property
    def facts(self) -> int:
        """How many facts there are."""
        return 3 + self.clinicians + self.patients + 3 * len(self.all_recordings)

    @property
    def name(self) -> str:
        """The name of the registry's file: changes with the schema and with what is said here."""
        digest = hashlib.sha256(SCHEMA_VERSION.encode())
        for fact in World(patients=2, busy=2, frequent=2).entities():
            digest.update(repr(fact).encode())
        return f"registry-{len(self.all_recordings)}-{digest.hexdigest()[:12]}.db"

    def patient_of(self, recording: int) -> str:
        """Return whose a recording is."""
        if recording >= self.recordings + self.busy:
            return FREQUENT_PATIENT
        return patient_id(recording % self.patients)

    def clinician_of(self, recording: int) -> str:
        """Return who attended beside the patient."""
        if self.recordings <= recording < self.recordings + self.busy:
            return BUSY_CLINICIAN
        return clinician_id(recording % self.clinicians)

    def entities(self) -> Iterator[Fact[Entity]]:
        """Yield every fact, in the order in which a registry would come to know them."""
        yield _fact(Tenant(TENANT, "Europe/London"), "directory")
        for clinician in (BUSY_CLINICIAN, *map(clinician_id, range(self.clinicians))):
            yield _fact(_clinician(clinician), "directory")
        yield _fact(_patient(FREQUENT_PATIENT, 0), "directory")
        for number in range(self.patients):
            yield _fact(_patient(patient_id(number), number), "directory")
        for number in self.all_recordings:
            yield from self._facts_of_call(number)

    def _facts_of_call(self, number: int) -> Iterator[Fact[Entity]]:
        """Yield the three facts that witness whose a recording is."""
        patient = self.patient_of(number)
        began = _BEGINNING + number * timedelta(minutes=2)
        ended = began + _MINUTES_EACH
        consultation = f"c{number:07}"
        yield _fact(
            Consultation(consultation, TENANT, patient, Modality.VIDEO, began, ended),
            "booking-system",
        )
        yield _fact(
            Recording(
                recording_id(number),
                TENANT,
                RecordingState.ACTIVE,
                consultation,
                patient,
                created_at=ended,
                created_by_release="2026.1",
            ),
            "recording-pipeline",
        )
        participants = (
            Participant(patient, ParticipantKind.PATIENT, began, ended),
            Participant(self.clinician_of(number), ParticipantKind.CLINICIAN, began, ended),
        )
        yield _fact(Attendance(recording_id(number), participants), "media-server")


def patient_id(number: int) -> str:
    """Return the id of a patient."""
    return f"p{number:06}"


def recording_id(number: int) -> str:
    """Return the id of a recording."""
    return f"r{number:07}"


def clinician_id(number: int) -> str:
    """Return the id of a clinician."""
    return f"s{number:04}"


def _patient(subject_id: str, number: int) -> Subject:
    """Return an adult patient."""
    born = date(1940, 1, 1) + timedelta(days=number % 20_000)
    return Subject(subject_id, TENANT, SubjectKind.PATIENT, SubjectStatus.ACTIVE, birth_date=born)


def _clinician(subject_id: str) -> Subject:
    """Return a clinician."""
    roles = (RoleAssignment("clinician", _BEGINNING),)
    return Subject(subject_id, TENANT, SubjectKind.STAFF, SubjectStatus.ACTIVE, roles=roles)


def _fact(entity: Any, source: str) -> Fact[Entity]:
    """Return what *source* says."""
    return Fact(entity, source, _SAID_AT)
