"""The registry's tables, as they are at the present schema version.

Every fact has one row in the table of its kind: the columns that loads and lists look up, the
entity as canonical JSON, who said so and when they saw it. A deleted fact keeps its row without a
value and without lookups, observed at its deletion, so that an older observation stays out.
Instants are whole microseconds since 1970 in UTC.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
)

from authz_service.pdp.entity_words import FactKind

SCHEMA_VERSION: Final = "0004"
"""The last of the migrations that made the tables below."""

VERSION_TABLE: Final = "facts_schema"
"""Where Alembic keeps the registry's version; a name of its own, as a database may be shared."""

metadata = MetaData()

IdType = Text(collation="C").with_variant(Text(), "sqlite")
"""Ids compare byte by byte on either database."""

PLURALS: Final[dict[FactKind, str]] = {kind: f"{kind.value}s" for kind in FactKind}
"""The table of each kind of fact."""

LOOKUPS: Final[dict[FactKind, tuple[str, ...]]] = {
    FactKind.TENANT: (),
    FactKind.SUBJECT: ("tenant_id",),
    FactKind.CONSULTATION: ("tenant_id", "patient_id"),
    FactKind.RECORDING: ("tenant_id", "consultation_id", "owner_id", "created_at"),
    FactKind.ATTENDANCE: (),
    FactKind.DELEGATION: ("patient_id", "delegate_id"),
    FactKind.BLOCK: ("patient_id", "delegate_id"),
    FactKind.RELATIONSHIP: ("patient_id", "staff_id"),
    FactKind.GRANT: ("subject_id", "recording_id", "patient_id"),
    FactKind.CONSENT: ("patient_id",),
    FactKind.CONTAINMENT: ("lifted_at",),
}
"""The fields of each kind that are columns too, because something is found by them."""

_INDEXED: Final[dict[FactKind, tuple[tuple[str, ...], ...]]] = {
    FactKind.CONSULTATION: (("patient_id",),),
    FactKind.RECORDING: (
        ("consultation_id",),
        ("owner_id", "created_at", "id"),
        ("tenant_id", "created_at", "id"),
    ),
    FactKind.DELEGATION: (("patient_id",), ("delegate_id",)),
    FactKind.BLOCK: (("patient_id",), ("delegate_id",)),
    FactKind.RELATIONSHIP: (("patient_id",), ("staff_id",)),
    FactKind.GRANT: (("subject_id",), ("recording_id",), ("patient_id",)),
    FactKind.CONSENT: (("patient_id",),),
}


_FEW: Final[dict[FactKind, tuple[str, tuple[str, ...], str]]] = {
    FactKind.SUBJECT: ("services_by_tenant_id", ("tenant_id", "id"), "SERVICE"),
}
"""Indexes of the few facts of a kind that are of one kind again, as their value says."""


def _id(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """Return a column that holds an id."""
    return Column(name, IdType, primary_key=primary_key, nullable=nullable)


def _lookup(name: str) -> Column[str] | Column[int]:
    """Return a column by which facts are found; empty where the fact does not say or is deleted."""
    if name.endswith("_at"):
        return Column(name, BigInteger, nullable=True)
    return _id(name, nullable=True)


def _table_of(kind: FactKind) -> Table:
    """Return the table of the facts of *kind*."""
    table = PLURALS[kind]
    return Table(
        table,
        metadata,
        _id("id", primary_key=True),
        *(_lookup(name) for name in LOOKUPS[kind]),
        Column("value", Text, nullable=True),
        _id("source"),
        Column("observed_at", BigInteger, nullable=False),
        Column("revision", BigInteger, nullable=False),
        *(Index(f"{table}_by_{columns[0]}", *columns) for columns in _INDEXED.get(kind, ())),
        *(_few(*_FEW[kind]) if kind in _FEW else ()),
    )


def _few(name: str, columns: tuple[str, ...], word: str) -> tuple[Index]:
    """Return the index of those facts whose value says that they are of the kind *word*."""
    return (
        Index(
            name,
            *columns,
            sqlite_where=text(f"(value ->> 'kind') = '{word}'"),
            postgresql_where=text(f"(value::json ->> 'kind') = '{word}'"),
        ),
    )


FACT_TABLES: Final = {kind: _table_of(kind) for kind in FactKind}

attendance_participants = Table(
    "attendance_participants",
    metadata,
    _id("recording_id", primary_key=True),
    _id("subject_id", primary_key=True),
    _id("kind", primary_key=True),
    Index("attendance_participants_by_subject_id", "subject_id", "recording_id"),
    sqlite_with_rowid=False,
)
"""Who took part in which call, for whoever asks by person."""

subject_links = Table(
    "subject_links",
    metadata,
    _id("subject_id", primary_key=True),
    _id("kind", primary_key=True),
    _id("other_id", primary_key=True),
    Index("subject_links_by_other_id", "other_id", "kind", "subject_id"),
    sqlite_with_rowid=False,
)
"""Declared sameness (``same_person``) and kinship (``family``), as one side declares it."""

recording_reach = Table(
    "recording_reach",
    metadata,
    _id("subject_id", primary_key=True),
    _id("way", primary_key=True),
    Column("created_at", BigInteger, primary_key=True, autoincrement=False),
    _id("recording_id", primary_key=True),
    sqlite_with_rowid=False,
)
"""Who may have which relation to which recording, and when it was made: what lists read."""

facts_revision = Table(
    "facts_revision",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("works_from", Text, nullable=False, server_default="0004"),
    Column("history_from", BigInteger, nullable=False, server_default="0"),
)
"""One row, the state of the registry; every write changes it first and thereby waits its turn.

``works_from`` is the schema version of the oldest program that may still read and write here;
before ``history_from`` nothing is known of what facts said.
"""

facts_writes = Table(
    "facts_writes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("nonce", Text, nullable=False),
    _id("actor"),
    Column("recorded_at", BigInteger, nullable=False),
    Column("facts", BigInteger, nullable=False),
    Column("latest_at", BigInteger, nullable=False, server_default="0"),
    Index("facts_writes_by_latest_at", "latest_at", "revision"),
)
"""Every write: its nonce, who is answerable, when it was recorded, how many facts it wrote.

``latest_at`` is the latest instant at which it or any write before it was recorded: it never falls,
whatever the clocks did, so that an index finds the first write that was recorded after an instant.
"""

fact_changes = Table(
    "fact_changes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    _id("kind", primary_key=True),
    _id("id", primary_key=True),
    Column("keys", Text, nullable=False),
    Column("value", Text, nullable=True),
    _id("source"),
    Column("observed_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("in_place", Boolean, nullable=False, server_default=false()),
    Index(
        "fact_changes_by_fact",
        "kind",
        "id",
        "revision",
        sqlite_where=text("NOT in_place"),
        postgresql_where=text("NOT in_place"),
    ),
    Index(
        "fact_changes_of_containments",
        "id",
        "revision",
        sqlite_where=text("kind = 'containment'"),
        postgresql_where=text("kind = 'containment'"),
    ),
    sqlite_with_rowid=False,
)
"""Every change of a fact, with the cache keys that it touches, old and new.

Where a change is ``in_place`` its value is not repeated: it is that of the fact's own row, which is
of the same revision. Whatever replaces that row puts its value here first. A deletion has no value
and is not ``in_place``.
"""

past_mentions = Table(
    "past_mentions",
    metadata,
    _id("named_id", primary_key=True),
    Column("until_revision", BigInteger, primary_key=True, autoincrement=False),
    _id("kind", primary_key=True),
    _id("id", primary_key=True),
    Index("past_mentions_by_until_revision", "until_revision"),
    sqlite_with_rowid=False,
)
"""Which facts named an id, a person's or a recording's, until a revision put something else there.

Of those that name it still nothing stands here: they are found by their rows.
"""

fact_notes = Table(
    "fact_notes",
    metadata,
    _id("kind", primary_key=True),
    _id("id", primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)
"""What people typed about a fact, kept beside it and erasable; records have its digest alone."""

attributions = Table(
    "attributions",
    metadata,
    _id("recording_id", primary_key=True),
    _id("patient_id", nullable=True),
    Column("disputed", Boolean, nullable=False),
    Column("disputed_at_revision", BigInteger, nullable=True),
    _id("resolved_by", nullable=True),
    Column("resolved_reason", Text, nullable=True),
    Column("resolved_reason_digest", Text, nullable=True),
    Column("resolved_at_revision", BigInteger, nullable=True),
)
"""Whose a recording was once all facts agreed, and whether its owner was changed since."""

facts_imports = Table(
    "facts_imports",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("lines_done", BigInteger, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("written", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
)
"""How far each imported file is, by the SHA-256 of its bytes."""

service_keys = Table(
    "service_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
)
"""What all replicas sign with, in hex; made when it is first needed."""
