"""Imports for tests, and all that they leave, to be held against what others leave."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

from authz_service.facts.database import Access, Database
from authz_service.facts.import_progress import ImportSummary
from authz_service.facts.importer import FactsImporter
from authz_service.facts.schema import FACT_TABLES
from authz_service.pdp.entities import (
    Attendance,
    Consultation,
    Entity,
    Participant,
    Recording,
    Relationship,
)
from authz_service.pdp.entity_plain import fact_to_plain
from authz_service.pdp.entity_words import ParticipantKind, RecordingState, RelationshipKind
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    YEAR,
    SteppingClock,
    fact,
    subject,
    tenant,
)


def lines_of_patients(count: int) -> Iterator[bytes]:
    """Yield the facts of so many patients: five each, with one recording that is theirs."""
    yield line_of(tenant(), 0)
    for number in range(count):
        who, staff, call = f"p{number}", f"s{number % 97}", f"{number * 7919 % 1_000_003}"
        made_at = STARTED + timedelta(minutes=number)
        yield from (
            line_of(entity, 0)
            for entity in (
                subject(who),
                Relationship(f"t{number}", RelationshipKind.REFERRAL, who, staff),
                Consultation(f"c{call}", "uk", who, started_at=made_at),
                Recording(
                    f"r{call}", "uk", RecordingState.ACTIVE, f"c{call}", who, created_at=made_at
                ),
                Attendance(
                    f"r{call}",
                    (
                        Participant(who, ParticipantKind.PATIENT),
                        Participant(staff, ParticipantKind.CLINICIAN),
                    ),
                ),
            )
        )


def line_of(entity: Entity, day: int) -> bytes:
    """Return the line of a fact as it was seen on a day."""
    return json.dumps(fact_to_plain(fact(entity, day=500 + day))).encode() + b"\n"


def imported(url: str, lines: Sequence[bytes]) -> ImportSummary:
    """Import *lines*; return what became of it."""
    with closing(FactsImporter(url, SteppingClock(YEAR + timedelta(days=700)))) as made:
        return made.import_lines(lines, "f", actor=ACTOR, progress=lambda _summary: None)


def stored(url: str) -> dict[str, Any]:
    """Return all that is stored, but for the revisions, which depend on how much is one write."""
    found: dict[str, Any] = {}
    tables = {
        table.name: [one.name for one in table.columns if one.name != "revision"]
        for table in FACT_TABLES.values()
    } | {
        "attendance_participants": ["recording_id", "subject_id", "kind"],
        "subject_links": ["subject_id", "kind", "other_id"],
        "recording_reach": ["subject_id", "way", "created_at", "recording_id"],
        "attributions": ["recording_id", "patient_id", "CAST(disputed AS INTEGER)"],
        "fact_changes": ["kind", "id", "source", "observed_at"],
    }
    with (
        closing(Database(url, lock_seconds=2, pool=1)) as database,
        database.transaction(Access.READ) as session,
    ):
        for name, columns in tables.items():
            rows = session.rows(f"SELECT {', '.join(columns)} FROM {name}")  # noqa: S608  # names of ours
            if name == "fact_changes":  # a dispute is observed when it is written
                rows = [row for row in rows if row[0] != "attribution"]
            found[name] = Counter(rows)
    return found


def faults(url: str) -> list[tuple[Any, ...]]:
    """Return writes that miscount what they wrote, and changes in place without a row."""
    values = " UNION ALL ".join(
        f"SELECT '{kind}' AS kind, id, revision FROM {table.name}"  # noqa: S608  # names of ours
        for kind, table in FACT_TABLES.items()
    )
    with (
        closing(Database(url, lock_seconds=2, pool=1)) as database,
        database.transaction(Access.READ) as session,
    ):
        return session.rows(
            "SELECT w.revision, w.facts FROM facts_writes w WHERE w.revision > 0 AND w.facts <>"
            " (SELECT count(*) FROM fact_changes c"
            " WHERE c.revision = w.revision AND c.kind <> 'attribution')",
        ) + session.rows(
            f"SELECT c.kind, c.id FROM fact_changes c LEFT JOIN ({values}) f"  # noqa: S608  # as above
            " ON f.kind = c.kind AND f.id = c.id AND f.revision = c.revision"
            " WHERE c.in_place AND f.id IS NULL AND NOT EXISTS (SELECT FROM fact_changes d"
            " WHERE d.kind = c.kind AND d.id = c.id AND d.revision > c.revision)",
        )
