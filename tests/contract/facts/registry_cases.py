"""Small worlds for the registry's contract: one corroborated recording, and facts around it."""

from __future__ import annotations

import secrets
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from authz_service.facts.access_keys import INDEXES_BY_EXPRESSION
from authz_service.facts.database import Access, Database, parsed
from authz_service.facts.schema import VERSION_TABLE, metadata
from authz_service.pdp.entities import (
    Attendance,
    Block,
    Consultation,
    Entity,
    Participant,
    Recording,
    Subject,
    Tenant,
)
from authz_service.pdp.entity_words import (
    FactKind,
    ParticipantKind,
    RecordingState,
    SubjectKind,
    SubjectStatus,
)
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import Instant

ACTOR = "ada"
TABLES = tuple(
    table.name
    for table in metadata.sorted_tables
    if table.name not in {"facts_revision", "facts_writes"}
)
YEAR = datetime(2020, 1, 1, tzinfo=UTC)
STARTED = datetime(2019, 6, 1, 10, tzinfo=UTC)


class SteppingClock:
    """A clock that moves on by a second whenever it is asked."""

    def __init__(self, start: Instant = datetime(2021, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> Instant:
        self._now += timedelta(seconds=1)
        return self._now


class SystemClock:
    """This machine's own time."""

    def now(self) -> Instant:
        return datetime.now(UTC)


def fact(entity: Entity, *, day: int = 0, source: str | None = None) -> Fact[Any]:
    """Return what the system for facts of that kind saw on a day of 2020."""
    made: Fact[Any] = Fact(entity, "", YEAR + timedelta(days=day))
    return Fact(entity, source or f"{made.kind}-source", made.observed_at)


def reference(kind: FactKind, fact_id: str) -> FactReference:
    """Return what names a fact."""
    return FactReference(kind, fact_id)


def tenant(tenant_id: str = "uk") -> Tenant:
    return Tenant(tenant_id, "Europe/London")


def subject(subject_id: str, tenant_id: str = "uk", **more: Any) -> Subject:
    return Subject(subject_id, tenant_id, SubjectKind.PATIENT, SubjectStatus.ACTIVE, **more)


def consultation(patient_id: str | None, consultation_id: str = "c1") -> Consultation:
    return Consultation(consultation_id, "uk", patient_id, started_at=STARTED)


def recording(owner_id: str | None, recording_id: str = "r1", **more: Any) -> Recording:
    fields: dict[str, Any] = {
        "consultation_id": "c1",
        "created_at": STARTED + timedelta(hours=1),
    } | more
    return Recording(recording_id, "uk", RecordingState.ACTIVE, owner_id=owner_id, **fields)


def attendance(patient_id: str, recording_id: str = "r1") -> Attendance:
    return Attendance(recording_id, (Participant(patient_id, ParticipantKind.PATIENT),))


def block(patient_id: str = "ana", block_id: str = "b1") -> Block:
    return Block(block_id, patient_id, "bob")


def world() -> list[Fact[Any]]:
    """Return a tenant, two patients, and Ana's recording, on which all facts agree."""
    entities = (
        tenant(),
        subject("ana"),
        subject("bob"),
        consultation("ana"),
        recording("ana"),
        attendance("ana"),
    )
    return [fact(entity) for entity in entities]


def empty(url: str) -> None:
    """Take everything out of a registry but its revision."""
    run(url, *(f"DELETE FROM {name}" for name in TABLES))  # noqa: S608  # names of ours


def reset(url: str) -> None:
    """Make a registry as good as new, in a state that it was never in."""
    nonce = secrets.token_hex(16)
    run(
        url,
        *(f"DELETE FROM {name}" for name in (*TABLES, "facts_writes")),  # noqa: S608  # names of ours
        "UPDATE facts_revision"  # noqa: S608  # hexadecimal
        f" SET revision = 0, nonce = '{nonce}', history_from = 0",
        f"INSERT INTO facts_writes VALUES (0, '{nonce}', 'test', 0, 0, 0)",  # noqa: S608  # hexadecimal
    )


def differences(url: str) -> list[Any]:
    """Return how the tables of a registry are not those that the program expects.

    Indexes by expression cannot be read back: of these it is the names that have to be there.
    """
    engine = create_engine(parsed(url))
    with warnings.catch_warnings(), engine.connect() as connection:
        warnings.filterwarnings("ignore", message="Skipped unsupported reflection")
        names = {
            name
            for (name,) in connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'index'"
                if engine.dialect.name == "sqlite"
                else "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
            )
        }
        options = {
            "version_table": VERSION_TABLE,
            "include_object": lambda _, name, *_more: name not in INDEXES_BY_EXPRESSION,
        }
        context = MigrationContext.configure(connection, opts=options)
        found = list(compare_metadata(context, metadata))
    engine.dispose()
    return [*found, *sorted(INDEXES_BY_EXPRESSION.keys() - names)]


def run(url: str, *statements: str) -> None:
    """Run statements that no writer of ours would run, in one transaction."""
    database = Database(url, lock_seconds=2, pool=1)
    with database.transaction(Access.WRITE) as session:
        for statement in statements:
            session.run(statement)
    database.close()
