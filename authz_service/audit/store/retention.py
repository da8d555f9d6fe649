"""Closed segments deleted once the store has them, has been asked for them, and time has passed.

The store's word that it took a line is not enough: every line is read back and held, byte for byte,
against the file. It is done in slices, so that new records do not wait for it; all of them have to
be asked of one store that nobody left, changed or set back meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import orjson
import structlog

from authz_service.audit.directory import segment_numbers, segment_path
from authz_service.audit.files import Files
from authz_service.audit.retired import Retired, append_retired, position_before, read_retired
from authz_service.audit.scan import Fault, Header
from authz_service.audit.store.engines import shown
from authz_service.audit.store.failures import AlarmKind, ShippingAlarmError
from authz_service.audit.store.rows import shipment_of
from authz_service.audit.store.shipment import Shipment
from authz_service.audit.store.shipping import Shipping
from authz_service.audit.store.tail import head_of, standing_at, whole_lines
from authz_service.operations.ports import Clock
from authz_service.pdp.model import Instant

log = structlog.get_logger(__name__)

_SLICE_BYTES: Final = 1 << 17


class _Closed(NamedTuple):
    """A segment that is closed: its number, where it began, and the header that follows it."""

    number: int
    head: Header
    following: Header


class Retention:
    """Deletes the segments of one journal, oldest first. Used by the shipper's thread."""

    def __init__(
        self, shipping: Shipping, files: Files, url: str, clock: Clock, hours: float
    ) -> None:
        """Delete nothing yet.

        Args:
            shipping: Brings the journal to the store.
            files: Operations on the journal's directory.
            url: The store, as it is named to people.
            clock: The service's time.
            hours: How long a segment is kept after it was closed.
        """
        self._shipping = shipping
        self._source = shipping.source
        self._files = files
        self._url = url
        self._clock = clock
        self._hours = timedelta(hours=hours)
        self._work: Iterator[int] | None = None
        self._inquiries = 0

    def advance(self) -> int | None:
        """Do a slice of work; return how many segments were deleted, or None with nothing to do.

        Raises:
            ShippingAlarmError: The store gives back something else; the segment stays.
            StoreFailureError: The store is not usable now.
            OSError: A file of the journal cannot be read, written or deleted.
        """
        if self._inquiries != self._shipping.inquiries:
            self._work = None
        if self._work is None:
            self._inquiries = self._shipping.inquiries
            due = self._due()
            if due is None:
                return None
            self._work = self._retiring(due)
        try:
            return next(self._work)
        except StopIteration:
            self._work = None
            return 0
        except BaseException:
            self._work = None
            raise

    def _due(self) -> _Closed | None:
        """Return the oldest segment, if it may be deleted."""
        at = self._shipping.at
        numbers = segment_numbers(self._source.directory)[:2]
        if at is None or len(numbers) < 2 or numbers[1] > self._source.position.segment:  # noqa: PLR2004  # itself and the next
            return None
        following = head_of(segment_path(self._source.directory, numbers[1]))
        if following.previous.sequence - 1 > at.sequence:
            return None
        closed_at = _opened_at(segment_path(self._source.directory, numbers[1]))
        if closed_at + self._hours > self._clock.now():
            return None
        return _Closed(
            numbers[0], head_of(segment_path(self._source.directory, numbers[0])), following
        )

    def _retiring(self, closed: _Closed) -> Iterator[int]:
        """Verify a segment in the store, slice by slice, account for it, and delete it."""
        path = segment_path(self._source.directory, closed.number)
        end = closed.following.previous
        at = standing_at(closed.head.previous, 0)._replace(segment=closed.number, offset_bytes=0)
        first = at.sequence + 1
        while at.offset_bytes < end.offset_bytes:
            content = whole_lines(path, at.offset_bytes, end.offset_bytes, _SLICE_BYTES)
            shipment = shipment_of(
                content, at, closed.number, at.offset_bytes, breathe=self._shipping.breathe
            )
            self._compare(shipment)
            at = shipment.end
            yield 0
        if (at.sequence, at.hash.encode()) != (end.sequence - 1, end.hash):
            raise ShippingAlarmError(AlarmKind.DAMAGE, f"{path} lacks what was written to it")
        entry = Retired(
            closed.number,
            first,
            at.sequence,
            closed.head.previous.hash.decode(),
            at.hash,
            end.offset_bytes,
            end.batch,
            at.sequence - first + 1,
            self._clock.now().isoformat().replace("+00:00", "Z"),
            shown(self._url),
        )
        if self._shipping.is_confirmed():
            self._delete(path, entry)
            yield 1

    def _compare(self, shipment: Shipment) -> None:
        """Hold a slice of the journal against what the store gives back."""
        store, journal_id = self._shipping.store, self._source.journal_id
        stored = store.stored_lines(journal_id, shipment.first, shipment.end.sequence)
        given_back = [(each.sequence, each.hash.encode(), each.content) for each in stored]
        written = [(each.sequence, each.hash, each.content) for each in shipment.lines]
        decisions = store.stored_decisions(journal_id, shipment)
        if given_back == written and decisions == len(shipment.decisions):
            return
        raise ShippingAlarmError(
            AlarmKind.UNVERIFIED,
            f"lines {shipment.first} to {shipment.end.sequence} of journal {journal_id} are not "
            "in the store as they are in the journal; their segment is kept",
        )

    def _delete(self, path: Path, entry: Retired) -> None:
        """Account for a segment, then delete it; both on the disk, in this order."""
        directory = self._source.directory
        entries = read_retired(directory)
        if isinstance(entries, Fault):
            raise ShippingAlarmError(AlarmKind.DAMAGE, str(entries))
        if position_before(entries, entry.segment + 1) is None:
            append_retired(self._files, directory, entry)
        size_bytes = path.stat().st_size
        self._files.remove(path)
        self._files.sync_directory(directory)
        self._source.note_retired(size_bytes)
        log.info("segment_retired", segment=path.name, lines=entry.lines)


def _opened_at(path: Path) -> Instant:
    """Return when a segment was begun, and the one before it closed."""
    with path.open("rb") as stream:
        said = orjson.loads(stream.readline())
    return datetime.fromisoformat(said["segment"]["opened_at"])
