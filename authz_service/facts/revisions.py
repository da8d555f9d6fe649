"""The registry's revision: one row that every write changes first, and the list of what it did."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from authz_service.facts.changes import Change
from authz_service.facts.compatibility import VERSIONS, check_version
from authz_service.facts.key_text import keys_text
from authz_service.facts.reader import Key
from authz_service.facts.sessions import Query, Row, Session

_BEGIN: Final = (
    "UPDATE facts_revision SET revision = revision + 1, nonce = :nonce"  # noqa: S608  # names of ours
    f" RETURNING revision, {VERSIONS}"
)
STATE: Final = Query(
    f"SELECT revision, nonce, {VERSIONS} FROM facts_revision",  # noqa: S608  # names of ours
    columns=3,
)
"""The state of the registry, and of which versions its schema is."""
_WRITE: Final = (
    "INSERT INTO facts_writes (revision, nonce, actor, recorded_at, facts, latest_at)"
    " VALUES (:revision, :nonce, :actor, :recorded_at, :facts, coalesce("
    "(SELECT CASE WHEN latest_at > :recorded_at THEN latest_at END FROM facts_writes"
    " WHERE revision = :before), :recorded_at))"
)
_CHANGE: Final = (
    "INSERT INTO fact_changes"
    " (revision, kind, id, keys, value, source, observed_at, recorded_at, in_place)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ATTRIBUTION_KIND: Final = "attribution"
"""The kind under which disputes stand among the changes."""
UNDISPUTED: Final = '{"disputed":false}'
"""What stands there for a recording whose dispute was resolved."""
_DISPUTED: Final = '{"disputed":true}'
FILL_KIND: Final = "registry"
"""The kind under which stands that facts were written without a change of their own."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write that has begun and that no other write overtakes.

    Attributes:
        revision: The revision that it makes.
        nonce: Drawn for it.
        actor: Who is answerable for it.
        recorded_at: When it is recorded; microseconds since 1970.
    """

    revision: int
    nonce: str
    actor: str
    recorded_at: int


def begin_write(session: Session, actor: str, recorded_at: int) -> Write:
    """Take the next revision. The first statement of every write: others wait here for their turn.

    Raises:
        FactsUnavailableError: The schema is none that this program works on.
    """
    nonce = secrets.token_hex(16)
    row = session.one(_BEGIN, {"nonce": nonce})
    revision, versions = row or (0, None)
    check_version(versions)
    return Write(revision, nonce, actor, recorded_at)


def state(session: Session) -> tuple[int, str]:
    """Return the revision and its nonce.

    Raises:
        FactsUnavailableError: The schema is none that this program works on.
    """
    return checked_state(session.one(STATE.text))


def checked_state(row: Row | None) -> tuple[int, str]:
    """Return the revision and its nonce from a row of `STATE`.

    Raises:
        FactsUnavailableError: The schema is none that this program works on.
    """
    revision, nonce, versions = row or (0, "", None)
    check_version(versions)
    return revision, nonce


def record_changes(
    session: Session, write: Write, changes: Sequence[tuple[Change, frozenset[Key]]]
) -> None:
    """Record what *write* changed, with the keys that each change touches.

    Values are not repeated; `keep_replaced` puts them there once their rows say something else.
    """
    session.run_many(
        _CHANGE,
        [
            (
                write.revision,
                change.kind.value,
                change.id,
                keys_text(keys),
                None,
                change.row.source,
                change.row.observed_at,
                write.recorded_at,
                change.row.value is not None,
            )
            for change, keys in changes
        ],
    )


def record_attributions(session: Session, write: Write, disputed: dict[str, bool]) -> None:
    """Record which recordings *write* marked as disputed, and of which it lifted the mark."""
    session.run_many(
        _CHANGE,
        [
            (
                write.revision,
                ATTRIBUTION_KIND,
                recording_id,
                keys_text([Key("recording", recording_id)]),
                _DISPUTED if is_disputed else UNDISPUTED,
                ATTRIBUTION_KIND,
                write.recorded_at,
                write.recorded_at,
                False,
            )
            for recording_id, is_disputed in sorted(disputed.items())
        ],
    )


def record_write(session: Session, write: Write, facts: int) -> None:
    """Record *write* itself, which wrote so many *facts*."""
    session.run(
        _WRITE,
        {
            "revision": write.revision,
            "nonce": write.nonce,
            "actor": write.actor,
            "recorded_at": write.recorded_at,
            "facts": facts,
            "before": write.revision - 1,
        },
    )
