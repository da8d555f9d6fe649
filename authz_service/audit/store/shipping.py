"""One journal brought to one store, piece by piece: the store itself says where to go on.

Nothing is remembered here that a restart would miss. The journal's row in the store is compared,
under a lock, with what the piece builds on, and changes with it in one transaction: so a piece is
there once, whoever ships it, however often, and wherever it was killed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from authz_service.audit.store.failures import (
    LASTING,
    AlarmKind,
    FailureKind,
    ShippingAlarmError,
    StoreFailureError,
)
from authz_service.audit.store.ports import ProgressMovedError, Store
from authz_service.audit.store.rows import shipment_of
from authz_service.audit.store.shipment import Progress, Shipment
from authz_service.audit.store.tail import JournalSource, Tail

log = structlog.get_logger(__name__)

_MOST_BYTES: Final = 1 << 22
_LEAST_BYTES: Final = 1 << 14
_ATTEMPTS: Final = 5


class Shipping:
    """Ships one journal. Used by one thread; `at` may be read by any.

    Attributes:
        at: How far the journal is in the store; None where the store has not been asked yet.
        next_at: When the oldest record was made that is known not to be in the store, in
            microseconds since 1970; None where there is none, or it is not known.
        breathe: Called every now and then while lines are taken apart.
        inquiries: How often the store had to be asked anew where the journal stands: after it was
            left, or found to stand elsewhere. What was found out before holds no longer.
    """

    def __init__(
        self,
        source: JournalSource,
        opened: Callable[[], Store],
        now: Callable[[], int],
        *,
        breathe: Callable[[], None] = lambda: None,
    ) -> None:
        """Ship what *source* holds.

        Args:
            source: The journal.
            opened: Opens the store, anew after each failure.
            now: The time, in microseconds since 1970.
            breathe: Called every now and then while lines are taken apart.
        """
        self.source = source
        self.at: Progress | None = None
        self.next_at: int | None = None
        self._tail = Tail(source)
        self._opened = opened
        self._now = now
        self.breathe = breathe
        self.inquiries = 0
        self._store: Store | None = None
        self._noted: Progress | None = None
        self._is_certain = False
        self._known_to = 0
        self._piece_bytes = _MOST_BYTES

    def step(self) -> Shipment | None:
        """Ship the next piece; None where all that is synced is in the store.

        Raises:
            StoreFailureError: The store or a file is not usable now; worth another attempt.
            ShippingAlarmError: Journal and store contradict each other.
        """
        try:
            shipment = self._step()
        except StoreFailureError as failure:
            self.leave()
            if failure.kind is FailureKind.SLOW:
                self._piece_bytes = max(_LEAST_BYTES, self._piece_bytes // 4)
            raise
        except ShippingAlarmError:
            self.leave()
            raise
        self._piece_bytes = min(_MOST_BYTES, 2 * self._piece_bytes)
        return shipment

    def look(self) -> None:
        """Ask the store where the journal stands, though there is nothing to ship.

        Raises:
            StoreFailureError: The store is not usable now.
        """
        try:
            self.is_confirmed()
        except StoreFailureError:
            self.leave()
            raise

    def is_confirmed(self) -> bool:
        """Whether the store, asked once more, has all that was brought there, by its own account.

        Raises:
            StoreFailureError: The store is not usable now.
        """
        if not self._is_certain:
            return False
        if self.store.progress(self.source.journal_id) == self._noted:
            return True
        self._forget()
        return False

    @property
    def has_backlog(self) -> bool:
        """Whether a whole piece is left to ship, or the rest of a closed segment."""
        at, until = self.at, self.source.position
        if at is None or at.segment != until.segment:
            return at is None or at.sequence + 1 < until.sequence
        return until.offset_bytes - at.offset_bytes >= self._piece_bytes

    def look_back(self) -> None:
        """Note when the oldest record was made that is not in the store, while that is away."""
        if self.at is None or self.next_at is not None:
            return
        with suppress(StoreFailureError, ShippingAlarmError):
            piece = self._tail.read(self.at, _LEAST_BYTES)
            if piece is not None:
                found = shipment_of(
                    piece.content, self.at, piece.segment, piece.start_bytes, breathe=self.breathe
                )
                self.next_at = found.first_at or found.end.at

    @property
    def store(self) -> Store:
        """The store, open.

        Raises:
            StoreFailureError: It cannot be opened.
        """
        if self._store is None:
            self._store = self._opened()
        return self._store

    def leave(self) -> None:
        """Give the connection back; the next step opens another."""
        if self._store is not None:
            self._store.close()
        self._store = None
        self._forget()

    def _step(self) -> Shipment | None:
        """Ship the next piece, wherever the store stands by now."""
        for _ in range(_ATTEMPTS):
            at = self._place()
            piece = self._tail.read(at, self._piece_bytes)
            if piece is None:
                self.next_at = None
                return None
            shipment = shipment_of(
                piece.content, at, piece.segment, piece.start_bytes, breathe=self.breathe
            )
            self.next_at = shipment.first_at or shipment.end.at
            with suppress(ProgressMovedError):
                self._bring(shipment)
                return shipment
            log.warning("shipping_moved", journal=self.source.journal_id)
            self._forget()
        raise StoreFailureError(FailureKind.LOCKED, "somebody else ships the same journal")

    def _place(self) -> Progress:
        """Return where to go on: behind the last line that the store has."""
        if self.at is not None and self._is_certain:
            return self.at
        journal_id = self.source.journal_id
        self._noted = self.store.progress(journal_id)
        noted = self._noted or Progress()
        self.at = self._tail.located(noted)
        self._known_to = self.store.last_line(journal_id, noted.sequence)
        if self._known_to >= self.source.position.sequence:
            raise ShippingAlarmError(
                AlarmKind.AHEAD,
                f"the store holds line {self._known_to} of journal {journal_id}, which has not "
                "come so far",
            )
        self._is_certain = True
        return self.at

    def _bring(self, shipment: Shipment) -> None:
        """Bring *shipment* to the store, once."""
        left = self._unknown(shipment) if self._known_to > 0 else shipment
        try:
            self.store.ship(self.source.journal_id, self._noted, left, self._now())
        except StoreFailureError as failure:
            raise self._naming(shipment, failure.kind, failure.why) from failure
        except (ValueError, TypeError, OverflowError) as error:  # a driver's own, of a value
            raise self._naming(shipment, FailureKind.UNFIT, "it does not take a value") from error
        self._noted = self.at = shipment.end
        self.next_at = shipment.end.at if self.has_backlog else None

    def _naming(self, shipment: Shipment, kind: FailureKind, why: str) -> StoreFailureError:
        """Return a failure to bring *shipment*, which is named where that is what it lies in."""
        if kind in LASTING:
            lines = f"lines {shipment.first} to {shipment.end.sequence}"
            why = f"{lines} of journal {self.source.journal_id}: {why}"
        return StoreFailureError(kind, why)

    def _unknown(self, shipment: Shipment) -> Shipment:
        """Return what of *shipment* is not in the store, whatever its progress says."""
        if self._known_to < shipment.first:
            return shipment
        known = self.store.known_lines(self.source.journal_id, shipment)
        for line in shipment.lines:
            if known.hashes.get(line.sequence, line.hash.decode()) != line.hash.decode():
                raise ShippingAlarmError(
                    AlarmKind.CONFLICT,
                    f"line {line.sequence} of journal {self.source.journal_id} has another hash "
                    "in the store than in the journal",
                )
        return shipment.without(known.hashes, known.with_decisions)

    def _forget(self) -> None:
        """Ask the store anew where the journal stands."""
        self._is_certain = False
        self.inquiries += 1
