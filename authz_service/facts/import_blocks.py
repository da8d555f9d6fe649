"""Writes chunks of lines in one transaction, to the same end as each by itself, in their order.

What is stored in no form goes by COPY, gathered over many chunks. What is stored is judged, and
changed by the one writer of changes, after all that precedes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from authz_service.facts.decoding import to_microseconds
from authz_service.facts.import_encoding import Grain
from authz_service.facts.import_lines import Chunk, Line, blocks_of, fact_on
from authz_service.facts.new_facts import NewFacts
from authz_service.facts.rows import Stored, stored_of_kind
from authz_service.facts.sessions import Session
from authz_service.facts.write_rules import (
    Verdict,
    check_observed,
    judge,
    value_of,
)
from authz_service.facts.writing import Leave, write_facts
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.facts import FactReference
from authz_service.pdp.model import Instant

REPLAYS: Final = Leave(replays=True)
"""What an import may."""

_TAKE_TURN: Final = "SELECT revision FROM facts_revision FOR UPDATE"
_NOTED: Final = "SELECT recording_id FROM attributions WHERE recording_id = ANY(:ids)"
_PIECE: Final = "one_write"


class Prepared(NamedTuple):
    """A chunk, and its facts as COPY takes them; None for a chunk that is read line by line."""

    chunk: Chunk
    grain: Grain | None


class Origin(NamedTuple):
    """What is imported, and by whom.

    Attributes:
        name: How the file is called in errors.
        actor: Who is answerable.
        now: When it is recorded.
    """

    name: str
    actor: str
    now: Instant


class Done(NamedTuple):
    """What became of some lines.

    Attributes:
        last: The number of the last line that holds a fact; 0 for none.
        written: How many facts were written.
        skipped: How many were left out because a later observation is stored.
        unchanged: How many were stored already, word for word.
    """

    last: int
    written: int
    skipped: int
    unchanged: int


def write_block(session: Session, block: Sequence[Prepared], origin: Origin) -> Done:
    """Write the facts of *block* to PostgreSQL, in one or several writes of one transaction.

    Raises:
        InvalidRequestError: A fact is malformed.
        StateError: A fact contradicts what is stored, or may not be written over it.
    """
    session.one(_TAKE_TURN)
    return _Block(session, block, origin).written()


def write_lines(session: Session, lines: Sequence[Line], origin: Origin) -> Done:
    """Write the facts on *lines* as one write, of which no trace is left where nothing is written.

    Raises:
        InvalidRequestError: A fact is malformed.
        StateError: A fact contradicts what is stored, or may not be written over it.
    """
    session.run(f"SAVEPOINT {_PIECE}")
    written = write_facts(
        session,
        [line.fact for line in lines],
        actor=origin.actor,
        now=origin.now,
        leave=REPLAYS,
        naming=lambda index: f"{origin.name}:{lines[index].number}: ",
    )
    if session.discarded:
        session.run(f"ROLLBACK TO SAVEPOINT {_PIECE}")
        session.discarded = False  # what the transaction holds beside it stays: how far the file is
    session.run(f"RELEASE SAVEPOINT {_PIECE}")
    return Done(lines[-1].number, written.written, written.skipped, written.unchanged)


class _Block:
    """One transaction's chunks on their way into the registry, which stands still meanwhile."""

    def __init__(self, session: Session, block: Sequence[Prepared], origin: Origin) -> None:
        self._session = session
        self._block = block
        self._origin = origin
        self._stored: dict[FactReference, Stored] = {}
        self._known: dict[FactKind, set[str]] = {kind: set() for kind in FactKind}
        self._pending = NewFacts()
        self._verdicts: Counter[Verdict] = Counter()
        self._last = 0

    def written(self) -> Done:
        """Write all chunks, and return what became of them."""
        self._look_up()
        for chunk, grain in self._block:
            if grain is None:
                for lines in blocks_of(chunk.lines, self._origin.name, chunk.before):
                    self._write_apart(lines)
            elif grain.last >= 0:
                self._add(chunk, grain)
        self._write_pending()
        counts = (self._verdicts[one] for one in (Verdict.WRITE, Verdict.SKIP, Verdict.UNCHANGED))
        return Done(self._last, *counts)

    def _look_up(self) -> None:
        """Find out what of the facts is stored, or was once noted."""
        ids: dict[FactKind, list[str]] = {}
        for _chunk, grain in self._block:
            for kind, batch in grain.batches.items() if grain else ():
                ids.setdefault(kind, []).extend(batch.ids)
        for kind, of_kind in ids.items():
            for fact_id, stored in stored_of_kind(self._session, kind, of_kind).items():
                self._stored[FactReference(kind, fact_id)] = stored
                self._known[kind].add(fact_id)
        if FactKind.RECORDING in ids:
            noted = self._session.rows(_NOTED, {"ids": ids[FactKind.RECORDING]})
            self._known[FactKind.RECORDING].update(row[0] for row in noted)

    def _add(self, chunk: Chunk, grain: Grain) -> None:
        """Have the new facts of *grain* written with those before, and change the others."""
        self._check_latest(chunk, grain)
        apart = set(grain.apart)
        for kind, batch in grain.batches.items():
            known = self._known[kind]
            if not known.isdisjoint(batch.ids):
                pairs = zip(batch.ids, batch.places, strict=True)
                apart.update(place for fact_id, place in pairs if fact_id in known)
        changing = [line for place in sorted(apart) if (line := self._changing(chunk, place))]
        if changing:
            self._write_apart(changing)
        before = self._pending.count
        self._pending.add(grain, apart)
        self._verdicts[Verdict.WRITE] += self._pending.count - before
        for kind, batch in grain.batches.items():
            self._known[kind].update(batch.ids)
        self._last = chunk.before + grain.last + 1

    def _check_latest(self, chunk: Chunk, grain: Grain) -> None:
        """Refuse facts that were observed after they are written.

        Raises:
            InvalidRequestError: Names the first.
        """
        if grain.latest <= to_microseconds(max(self._origin.now, datetime.now(UTC))):
            return
        for lines in blocks_of(chunk.lines, self._origin.name, chunk.before):
            for number, fact in ((line.number, line.fact) for line in lines):
                check_observed(
                    fact.observed_at, f"{self._origin.name}:{number}: ", self._origin.now
                )

    def _changing(self, chunk: Chunk, place: int) -> Line | None:
        """Return the line at *place*, unless what is stored is later or the same; count that."""
        number = chunk.before + place + 1
        name = f"{self._origin.name}:{number}: "
        fact = fact_on(chunk.lines[place], name)
        stored = self._stored.get(FactReference(fact.kind, fact.entity.id))
        if stored is not None:
            value = value_of(fact.entity, f"{name}{fact.kind}")
            verdict = judge(fact, value, stored, name)
            if verdict is not Verdict.WRITE:
                self._verdicts[verdict] += 1
                return None
        return Line(number, fact)

    def _write_apart(self, lines: Sequence[Line]) -> None:
        """Write *lines* as one write, after everything that precedes them."""
        self._write_pending()
        done = write_lines(self._session, lines, self._origin)
        self._verdicts[Verdict.WRITE] += done.written
        self._verdicts[Verdict.SKIP] += done.skipped
        self._verdicts[Verdict.UNCHANGED] += done.unchanged
        self._last = max(self._last, done.last)
        for fact in (line.fact for line in lines):
            self._known[fact.kind].add(fact.entity.id)
            self._stored.pop(FactReference(fact.kind, fact.entity.id), None)

    def _write_pending(self) -> None:
        """Write the new facts that are gathered."""
        self._pending.write(self._session, self._origin.actor, to_microseconds(self._origin.now))
