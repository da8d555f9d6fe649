"""How the journal gets to the decision store, counted one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from authz_service.telemetry.families import by_one_label, counter, total, watched

_FAILURES = ("silent", "locked", "slow", "full", "refused", "schema", "unfit", "journal", "bug")
_ALARMS = ("conflict", "ahead", "gap", "damage", "unverified")


class ShippingMeter:
    """Counts what the shipper does. Written by the shipper's thread."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._lines = 0
        self._records = 0
        self._retired = 0
        self._failures = Counter(dict.fromkeys(_FAILURES, 0))
        self._alarms = dict.fromkeys(_ALARMS, 0)

    def shipped(self, lines: int, records: int) -> None:
        """Count lines that are in the store, and the records in them."""
        self._lines += lines
        self._records += records

    def failed(self, kind: str) -> None:
        """Count an attempt that failed."""
        self._failures[str(kind)] += 1

    def alarm(self, kind: str, *, raised: bool) -> None:
        """Note that there is an alarm of *kind*, or none any more."""
        self._alarms[str(kind)] = int(raised)

    def retired(self, segments: int) -> None:
        """Count segments that were deleted."""
        self._retired += segments

    def collect(self) -> Iterator[Metric]:
        """Yield what the shipper did."""
        yield total("authz_shipping_shipped_lines", "Lines brought to the store.", self._lines)
        yield total(
            "authz_shipping_shipped_records", "Records brought to the store.", self._records
        )
        yield total(
            "authz_shipping_retired_segments",
            "Segments deleted once the store had them.",
            self._retired,
        )
        yield counter(
            "authz_shipping_failures",
            "Attempts to ship that failed, by what failed.",
            ("kind",),
            by_one_label(self._failures),
        )
        yield watched(
            "authz_shipping_alarms", "1 where a person has to look at it.", "kind", self._alarms
        )
