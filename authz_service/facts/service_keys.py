"""The keys that all replicas share: made once, by whichever needs one first."""

from __future__ import annotations

import secrets
from typing import Final

from authz_service.facts.database import Access, Database
from authz_service.facts.decoding import to_microseconds
from authz_service.facts.revisions import state
from authz_service.pdp.model import Instant

_BYTES: Final = 32
_KEY: Final = "SELECT value FROM service_keys WHERE name = :name"
_MAKE: Final = (
    "INSERT INTO service_keys (name, value, made_at) VALUES (:name, :value, :made_at)"
    " ON CONFLICT (name) DO NOTHING"
)


def shared_key(database: Database, name: str, now: Instant) -> bytes:
    """Return the key of *name*, 32 random bytes; the same ever after, for all who ask.

    Raises:
        FactsUnavailableError: The registry is silent, locked or gone, of another schema, or
            read-only when the key has to be made.
    """
    with database.transaction(Access.READ) as session:
        state(session)
        row = session.one(_KEY, {"name": name})
    made = secrets.token_hex(_BYTES)
    if row is None:
        with database.transaction(Access.WRITE) as session:
            session.run(_MAKE, {"name": name, "value": made, "made_at": to_microseconds(now)})
            row = session.one(_KEY, {"name": name})
    return bytes.fromhex(row[0] if row else made)
