"""What people typed about a fact, kept beside it: erasable, and in records by its digest alone."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from authz_service.facts.sessions import Session
from authz_service.pdp.facts import FactReference

_NOTE: Final = (
    "INSERT INTO fact_notes (kind, id, revision, note, sha256)"
    " VALUES (:kind, :id, :revision, :note, :sha256)"
)


def record_note(session: Session, reference: FactReference, revision: int, note: str) -> None:
    """Keep *note* beside what *revision* wrote of a fact, in the transaction of that write."""
    session.run(
        _NOTE,
        {
            "kind": reference.kind.value,
            "id": reference.id,
            "revision": revision,
            "note": note,
            "sha256": sha256(note.encode()).hexdigest(),
        },
    )
