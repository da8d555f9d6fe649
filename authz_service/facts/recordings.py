"""Recordings with the facts that witness whose they are, read and judged in bulk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from authz_service.facts.rows import made_fact
from authz_service.facts.sessions import Query, Row, Session
from authz_service.pdp.assembly import recording_facts
from authz_service.pdp.corroboration import standing
from authz_service.pdp.entities import Grant, Subject
from authz_service.pdp.entity_words import FactKind, SubjectKind, SubjectStatus
from authz_service.pdp.facts import Fact, PatientFacts, RecordingFacts, Standing

COLUMNS: Final = (
    "r.id, r.value, r.source, r.observed_at, r.revision,"
    " c.value, c.source, c.observed_at, c.revision,"
    " a.value, a.source, a.observed_at, a.revision, x.disputed"
)
TABLES: Final = (
    "recordings r"
    " LEFT JOIN consultations c ON c.id = r.consultation_id AND c.value IS NOT NULL"
    " LEFT JOIN attendances a ON a.id = r.id AND a.value IS NOT NULL"
    " LEFT JOIN attributions x ON x.recording_id = r.id"
)
RECORDINGS: Final = Query(
    f"SELECT {COLUMNS} FROM {TABLES}"  # noqa: S608  # names of ours
    " WHERE r.id = ANY(:recordings) AND r.value IS NOT NULL",
    columns=14,
)
"""Some recordings with their witnesses and whether they are disputed."""
_TENANTS_OF: Final = "SELECT id, tenant_id FROM subjects WHERE id = ANY(:ids) AND value IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Judged:
    """A recording with what its facts say of whose it is.

    Attributes:
        facts: The recording and its witnesses.
        standing: What they say, with the patient's tenant taken into account.
        disputed: Whether its owner was changed, and nobody has resolved that.
    """

    facts: RecordingFacts
    standing: Standing
    disputed: bool

    @property
    def corroborated_patient_id(self) -> str | None:
        """The patient on whom all facts agree."""
        return self.facts.attribution.patient_id if self.standing is Standing.AGREED else None


def recording_of(
    row: Row, grants: Iterable[Fact[Grant]] = (), *, ignoring_disputes: bool = False
) -> RecordingFacts:
    """Return what a row of `COLUMNS` says of a recording."""
    return recording_facts(
        made_fact(FactKind.RECORDING, *row[1:5]),
        None if row[5] is None else made_fact(FactKind.CONSULTATION, *row[5:9]),
        None if row[9] is None else made_fact(FactKind.ATTENDANCE, *row[9:13]),
        grants,
        disputed=bool(row[13]) and not ignoring_disputes,
    )


def judged(
    session: Session, recording_ids: Collection[str], *, ignoring_disputes: bool = False
) -> dict[str, Judged]:
    """Return what the facts say of those of *recording_ids* that are stored."""
    if not recording_ids:
        return {}
    rows = session.gather((RECORDINGS,), {"recordings": recording_ids})[0]
    return judged_rows(session, rows, ignoring_disputes=ignoring_disputes)


def judged_rows(
    session: Session, rows: Iterable[Row], *, ignoring_disputes: bool = False
) -> dict[str, Judged]:
    """Return what the facts in *rows* of `COLUMNS` say, by recording."""
    rows = list(rows)
    found = {row[0]: recording_of(row, ignoring_disputes=ignoring_disputes) for row in rows}
    disputed = {row[0] for row in rows if row[13]}
    named = {who for facts in found.values() if (who := facts.attribution.patient_id)}
    patients = known_patients(session, named)
    return {
        recording_id: Judged(
            facts,
            standing(facts, patients.get(facts.attribution.patient_id)),
            recording_id in disputed,
        )
        for recording_id, facts in found.items()
    }


def known_patients(session: Session, ids: Collection[str]) -> Mapping[str | None, PatientFacts]:
    """Return as much of the patients of *ids* as their standing needs: that they are, and where."""
    if not ids:
        return {}
    return {
        patient_id: PatientFacts(
            Subject(patient_id, tenant_id, SubjectKind.PATIENT, SubjectStatus.ACTIVE),
            None,
            None,
            frozenset({patient_id}),
        )
        for patient_id, tenant_id in session.rows(_TENANTS_OF, {"ids": ids})
    }
