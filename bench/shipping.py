"""How fast a journal comes into a decision store, by the service's own shipping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time

import uvloop

from authz_service.app import SOFTWARE
from authz_service.audit.journal import FileJournal
from authz_service.audit.opening import open_journal
from authz_service.audit.segment import Origin
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.shipping import Shipping
from authz_service.clocks import SystemClock
from authz_service.runtime import new_id
from bench.progress import say
from bench.questions import Questions
from bench.registry import url_of
from bench.stage_objects import Objects, warm_objects
from bench.world import World

_DISTINCT = 5_000
_SHARE = 0.1
_APPENDED_AT_ONCE = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ShippingError(Exception):
    """Records are missing in a store."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """How fast a journal on the disk came into a store.

    Attributes:
        store: Which.
        records: How many records, each a line of its own.
        seconds: How long that took.
        cpu_seconds: CPU time of who ships meanwhile, which is not the store's own.
    """

    store: str
    records: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


def rates(
    registry: Path, world: World, count: int, folder: Path, stores: Mapping[str, str]
) -> list[Shipped]:
    """Ship a journal of *count* records of checks to each of *stores*, which are empty, by URL.

    Raises:
        ShippingError: Not all of it was shipped.
    """
    messages = [question.message for question in islice(Questions(world, _SHARE).warm(), _DISTINCT)]
    return uvloop.run(_rates(registry, messages, count, folder, stores))


async def _rates(
    registry: Path, messages: list[bytes], count: int, folder: Path, stores: Mapping[str, str]
) -> list[Shipped]:
    """Write the journal, then ship it: one after the other, with nothing beside it."""
    bench = await warm_objects(url_of(registry), messages)
    journal = open_journal(folder / "journal", Origin(SystemClock(), SOFTWARE))
    await _fill(journal, bench, count)
    found = []
    for store, url in stores.items():
        say(f"shipping {count:,} records to {store}")
        found.append(_shipped(journal, store, url, count))
    await journal.close()
    await bench.cache.close()
    return found


async def _fill(journal: FileJournal, bench: Objects, count: int) -> None:
    """Append *count* records of checks as they are, one by one."""
    for begin in range(0, count, _APPENDED_AT_ONCE):
        waiting = [
            journal.append((bench.records[at % _DISTINCT]._replace(decision_id=new_id()),))
            for at in range(begin, min(count, begin + _APPENDED_AT_ONCE))
        ]
        for each in waiting:
            await each


def _shipped(journal: FileJournal, store: str, url: str, count: int) -> Shipped:
    """Ship all of *journal* to the store at *url*; opening it, tables and all, comes before.

    Raises:
        ShippingError: Not all of it was shipped.
    """
    shipping = Shipping(journal, partial(open_store, url), _now)
    _ = shipping.store
    begun, cpu, records = perf_counter(), process_time(), 0
    while (shipment := shipping.step()) is not None:
        records += shipment.records
    found = Shipped(store, records, perf_counter() - begun, process_time() - cpu)
    shipping.leave()
    if records != count:
        raise ShippingError(f"{records:,} of {count:,} records were shipped to {store}")
    return found


def _now() -> int:
    """Return the time in microseconds since 1970."""
    return (SystemClock().now() - _EPOCH) // timedelta(microseconds=1)
