"""What shipping asks of a store, and who hears how shipping is doing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from authz_service.audit.store.failures import AlarmKind, FailureKind
from authz_service.audit.store.shipment import Progress, Shipment


class ProgressMovedError(Exception):
    """A journal's progress is not what the shipment builds on: somebody else changed it."""


class KnownLines(NamedTuple):
    """Lines that a store holds although its progress does not say so.

    Attributes:
        hashes: The hash of each, by its number.
        with_decisions: The numbers of those whose decisions it holds as well.
    """

    hashes: dict[int, str]
    with_decisions: frozenset[int]


class StoredLine(NamedTuple):
    """A line as the store gives it back."""

    sequence: int
    hash: str
    content: bytes


class Store(Protocol):
    """A decision store, open. Used by one thread.

    Every method raises `StoreFailureError`, and is of no more use then but to be closed. So does
    whatever a segment is deleted on, once the store that stands there is another one.
    """

    def progress(self, journal_id: str) -> Progress | None:
        """Return how far a journal is here; None where nothing of it is."""
        ...

    def last_line(self, journal_id: str, after: int) -> int:
        """Return the greatest number of a line after *after*; *after* where there is none."""
        ...

    def known_lines(self, journal_id: str, shipment: Shipment) -> KnownLines:
        """Return which lines of *shipment* are here, whatever the progress says."""
        ...

    def ship(
        self, journal_id: str, before: Progress | None, shipment: Shipment, shipped_at: int
    ) -> None:
        """Bring *shipment* here and note the new progress, both or neither.

        Args:
            journal_id: The journal.
            before: The progress that the shipment builds on; None where nothing is here.
            shipment: The lines that follow.
            shipped_at: Now, in microseconds since 1970.

        Raises:
            ProgressMovedError: The progress is another one; nothing was written.
        """
        ...

    def stored_lines(self, journal_id: str, first: int, last: int) -> Iterator[StoredLine]:
        """Yield the lines numbered *first* to *last* that are here, in order."""
        ...

    def stored_decisions(self, journal_id: str, shipment: Shipment) -> int:
        """Return how many decisions of *shipment* are here."""
        ...

    def close(self) -> None:
        """Give the connection back; never raises."""
        ...


class ShippingMetrics(Protocol):
    """Counts what shipping does. Called on its thread; must not raise or block."""

    def shipped(self, lines: int, records: int) -> None:
        """Count lines that are in the store, and the records in them."""
        ...

    def failed(self, kind: FailureKind) -> None:
        """Count an attempt that failed."""
        ...

    def alarm(self, kind: AlarmKind, *, raised: bool) -> None:
        """Note that there is an alarm of *kind*, or none any more."""
        ...

    def retired(self, segments: int) -> None:
        """Count segments that were deleted."""
        ...


class Unmeasured:
    """Nobody counts."""

    def shipped(self, lines: int, records: int) -> None:
        pass

    def failed(self, kind: FailureKind) -> None:
        pass

    def alarm(self, kind: AlarmKind, *, raised: bool) -> None:
        pass

    def retired(self, segments: int) -> None:
        pass
