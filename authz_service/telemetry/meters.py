"""What is counted one by one: calls, lists, journal, cache of facts; each by one thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import Metric

from authz_service.telemetry.families import by_one_label, counter, gauge, histogram, total
from authz_service.telemetry.histogram import Histogram

CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""The status codes of gRPC."""

_FAILURES = ("full", "lost", "refused", "io", "bug")
_LOOKS = ("unchanged", "advanced", "reset", "failed")
_LOADS = ("loaded", "outrun", "failed")
_PAGES = ("rows", "empty")


class RpcMeter:
    """Counts the calls of one method. Written on the event loop.

    Attributes:
        started: Calls that have arrived.
        handled: Calls that were answered, by status code.
        seconds: From the arrival of a call to its answer.
    """

    __slots__ = ("handled", "seconds", "started")

    def __init__(self) -> None:
        """Begin at nothing."""
        self.started = 0
        self.handled = dict.fromkeys(CODES, 0)
        self.seconds = Histogram()

    def arrived(self) -> None:
        """Count a call that has arrived."""
        self.started += 1

    def answered(self, code: str, seconds: float) -> None:
        """Count a call that was answered with *code* after *seconds*."""
        self.handled[code] += 1
        self.seconds.observe(seconds)


class JournalMeter:
    """Counts what the journal does. Written by the journal's thread.

    Attributes:
        on_usable: Told, on that thread, whether the journal can write.
    """

    def __init__(self) -> None:
        """Begin at nothing, and not usable."""
        self.on_usable: Callable[[bool], None] | None = None
        self._written = Counter({"batches": 0, "records": 0, "bytes": 0})
        self._failures = Counter(dict.fromkeys(_FAILURES, 0))
        self._seconds = Histogram()
        self._usable = 0
        self._pending = 0
        self._segments = 0
        self._segment_bytes = 0

    def batch_written(self, records: int, size_bytes: int, seconds: float) -> None:
        """Count a batch that is on the disk, and how long write and sync took."""
        self._written["batches"] += 1
        self._written["records"] += records
        self._written["bytes"] += size_bytes
        self._seconds.observe(seconds)

    def failed(self, kind: str) -> None:
        """Count a failure of *kind*."""
        self._failures[kind] += 1

    def usable_changed(self, *, usable: bool) -> None:
        """Note whether the journal can write."""
        self._usable = int(usable)
        if self.on_usable is not None:
            self.on_usable(usable)

    def pending(self, lines: int) -> None:
        """Note how many appends wait."""
        self._pending = lines

    def kept(self, segments: int, size_bytes: int) -> None:
        """Note how many segments there are, and how long they are together."""
        self._segments = segments
        self._segment_bytes = size_bytes

    def collect(self) -> Iterator[Metric]:
        """Yield what the journal did."""
        yield gauge("authz_journal_usable", "1 while the journal can write.", self._usable)
        yield gauge("authz_journal_pending", "Appends waiting for the disk.", self._pending)
        yield gauge("authz_journal_segments", "Segments in the directory.", self._segments)
        yield gauge("authz_journal_size_bytes", "Length of all segments.", self._segment_bytes)
        for what, documentation in (
            ("batches", "Batches written and synced."),
            ("records", "Records written and synced."),
            ("bytes", "Bytes written and synced."),
        ):
            yield total(f"authz_journal_written_{what}", documentation, self._written[what])
        yield counter(
            "authz_journal_failures",
            "Failures of the journal, by what failed.",
            ("kind",),
            by_one_label(self._failures),
        )
        yield histogram(
            "authz_journal_batch_seconds",
            "Write and sync of one batch.",
            (),
            [((), self._seconds)],
        )


class FactsMeter:
    """Counts what the cache of facts does in the background. Written on the event loop."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._looks = Counter(dict.fromkeys(_LOOKS, 0))
        self._loads = Counter(dict.fromkeys(_LOADS, 0))
        self._keys = 0
        self._look_seconds = Histogram()
        self._load_seconds = Histogram()

    def looked(self, result: str, seconds: float) -> None:
        """Count one look at the registry's revision."""
        self._looks[result] += 1
        self._look_seconds.observe(seconds)

    def loaded(self, result: str, keys: int, seconds: float) -> None:
        """Count one load of *keys*."""
        self._loads[result] += 1
        self._keys += keys
        self._load_seconds.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield what the cache did."""
        yield counter(
            "authz_facts_looks",
            "Looks at the registry's revision, by what they found.",
            ("result",),
            by_one_label(self._looks),
        )
        yield counter(
            "authz_facts_loads",
            "Loads of facts from the registry, by what became of them.",
            ("result",),
            by_one_label(self._loads),
        )
        yield total("authz_facts_loaded_keys", "Values asked of the registry.", self._keys)
        yield histogram(
            "authz_facts_look_seconds",
            "How long looks took.",
            (),
            [((), self._look_seconds)],
        )
        yield histogram(
            "authz_facts_load_seconds",
            "How long loads took.",
            (),
            [((), self._load_seconds)],
        )


class ListMeter:
    """Counts pages of lists. Written on the event loop.

    The decisions on their rows are counted here alone, not among those that answer questions: a
    list judges what nobody asked about by name, and what it denies nobody hears of. Denials that
    somebody has to look into are counted by themselves.
    """

    def __init__(self, actions: Iterable[str], alarms: Iterable[str]) -> None:
        """Begin at nothing, for *actions*, and for the reasons that are *alarms*."""
        self._alarms = Counter(dict.fromkeys(alarms, 0))
        self._lists = Counter({(action, each): 0 for action in actions for each in _PAGES})
        self._rows = 0
        self._candidates = 0
        self._seconds = Histogram()

    def listed(self, action: str, rows: int, candidates: int, seconds: float) -> None:
        """Count a page of *rows*, for which *candidates* were judged, after *seconds*."""
        self._lists[action, "rows" if rows else "empty"] += 1
        self._rows += rows
        self._candidates += candidates
        self._seconds.observe(seconds)

    def alarmed(self, reason: str) -> None:
        """Count a candidate that was denied for a *reason* that somebody has to look into."""
        self._alarms[reason] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield what was listed."""
        yield counter(
            "authz_lists",
            "Pages of lists, by action and by whether there was anything on them.",
            ("action", "result"),
            self._lists.items(),
        )
        yield total("authz_list_rows", "Recordings presented on pages of lists.", self._rows)
        yield total(
            "authz_list_candidates",
            "Recordings judged for pages of lists, whether they were presented or not.",
            self._candidates,
        )
        yield counter(
            "authz_list_alarms",
            "Candidates denied for a reason that somebody has to look into, once for each page.",
            ("reason",),
            by_one_label(self._alarms),
        )
        yield histogram(
            "authz_list_seconds",
            "From the arrival of a question for a page to its decisions, before they are recorded.",
            (),
            [((), self._seconds)],
        )
