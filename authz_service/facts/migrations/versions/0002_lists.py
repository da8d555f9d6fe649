"""Lists: who may reach which recording, recordings by tenant, and the keys of the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
_PAGE = 1000

_PUT = "INSERT INTO recording_reach (subject_id, way, created_at, recording_id)"
_ROW = f"{_PUT} VALUES (:subject_id, :way, :created_at, :recording_id) ON CONFLICT DO NOTHING"
_ATTENDED = (
    "SELECT f.subject_id, CASE f.kind WHEN 'CLINICIAN' THEN 'attending' ELSE 'beside' END,"
    " r.created_at, r.id FROM attendance_participants f JOIN recordings r ON r.id = f.recording_id"
    " WHERE r.created_at IS NOT NULL AND f.kind <> 'PATIENT'"
)
_TREATED = (
    "SELECT f.staff_id, 'treating', r.created_at, r.id"
    " FROM relationships f JOIN recordings r ON r.owner_id = f.patient_id"
    " WHERE r.created_at IS NOT NULL AND f.staff_id IS NOT NULL"
)
_ACTED_FOR = (
    "SELECT f.delegate_id, 'proxy', r.created_at, r.id"
    " FROM delegations f JOIN recordings r ON r.owner_id = f.patient_id"
    " WHERE r.created_at IS NOT NULL AND f.delegate_id IS NOT NULL"
)
_GRANTED = (
    "SELECT f.subject_id, {kind}, r.created_at, r.id"
    " FROM grants f JOIN recordings r ON r.id = f.recording_id"
    " WHERE r.created_at IS NOT NULL AND f.subject_id IS NOT NULL"
)
_GRANTED_ON_ALL = (
    "SELECT f.subject_id, {kind}, r.created_at, r.id"
    " FROM grants f JOIN recordings r ON r.owner_id = f.patient_id"
    " WHERE r.created_at IS NOT NULL AND f.subject_id IS NOT NULL AND f.recording_id IS NULL"
)
_HELD = (
    "SELECT id, created_at, value FROM recordings"  # noqa: S608  # a number of ours
    " WHERE id > :after AND created_at IS NOT NULL AND value LIKE '%\"viewers\"%'"
    f" ORDER BY id LIMIT {_PAGE}"
)


def upgrade() -> None:
    """Make the tables, and note what the stored facts open; no write comes in between."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("LOCK TABLE facts_revision IN EXCLUSIVE MODE")
    _make_tables()
    kind = _kind_of_a_grant()
    for select in (_ATTENDED, _TREATED, _ACTED_FOR, _GRANTED, _GRANTED_ON_ALL):
        op.execute(f"{_PUT} {select.format(kind=kind)} ON CONFLICT DO NOTHING")
    connection = op.get_bind()
    for rows in _viewers(connection):
        connection.execute(sa.text(_ROW), rows)


def _make_tables() -> None:
    """Make the tables and the index."""
    op.create_table(
        "recording_reach",
        sa.Column("subject_id", _ID, nullable=False),
        sa.Column("way", _ID, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("recording_id", _ID, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "way", "created_at", "recording_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "service_keys",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("recordings_by_tenant_id", "recordings", ["tenant_id", "created_at", "id"])


def _kind_of_a_grant() -> str:
    """Return the words for the kind of a grant, which is told by its value alone."""
    if op.get_context().dialect.name == "postgresql":
        return "f.value::json ->> 'kind'"
    return "f.value ->> 'kind'"


def _viewers(connection: sa.Connection) -> Iterator[list[dict[str, Any]]]:
    """Yield, page by page, the rows of those who view recordings because a hold names them."""
    after = ""
    while page := connection.execute(sa.text(_HELD), {"after": after}).all():
        after = page[-1][0]
        rows = [
            {
                "subject_id": viewer,
                "way": "hold",
                "created_at": created_at,
                "recording_id": recording_id,
            }
            for recording_id, created_at, value in page
            for hold in orjson.loads(value).get("holds", ())
            for viewer in hold.get("viewers", ())
        ]
        if rows:
            yield rows
