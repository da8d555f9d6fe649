"""Every metric in one table, counted in plain numbers and rendered when somebody asks.

All label values are from closed sets and present from the start; none is ever an id. Counters are
plain dictionaries: each is written by one thread, and a scrape reads what is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from authz_service.operations.page_filling import ALARMING
from authz_service.pdp.errors import CallerRefusal, CallLimit
from authz_service.pdp.model import Action, Effect, Reason
from authz_service.telemetry.callers_meter import CallersMeter
from authz_service.telemetry.emergency_meter import EmergencyMeter
from authz_service.telemetry.families import (
    by_one_label,
    counter,
    gauge,
    histogram,
    total,
    watched,
)
from authz_service.telemetry.histogram import Histogram
from authz_service.telemetry.meters import FactsMeter, JournalMeter, ListMeter, RpcMeter
from authz_service.telemetry.shipping_meter import ShippingMeter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_ACTION = "UNSPECIFIED"
"""The action of a question that was malformed."""

_LOADS = ("activated", "unchanged", "refused", "valid", "unrecorded", "abandoned")
_WRITES = ("written", "skipped", "unchanged")
_NEVER_RECORDED = frozenset({Reason.RULE_ALLOWED, Reason.ALLOWED, Reason.NOT_AVAILABLE})
_OF_OPENINGS = frozenset({Reason.PATIENT_UNKNOWN, Reason.REVIEW_OVERDUE})

Reading = Callable[[], float | Mapping[str, float]]
"""A value, or values by the one label that they have."""


class Metrics(Collector):
    """Counts what happens; the observers of the ports are its methods.

    Attributes:
        journal: Counts what the journal does.
        facts: Counts what the cache of facts does.
        shipping: Counts what is brought to the decision store.
    """

    def __init__(self, rpcs: Iterable[tuple[str, str]]) -> None:
        """Know every (service, method) that can be called, and every label value that can come."""
        self.journal = JournalMeter()
        self.facts = FactsMeter()
        self.shipping = ShippingMeter()
        self._callers = CallersMeter()
        self._emergency = EmergencyMeter()
        outcomes = [(Effect.ALLOW, Reason.RULE_ALLOWED)]
        outcomes += [
            (Effect.DENY, reason)
            for reason in Reason
            if reason not in _NEVER_RECORDED | _OF_OPENINGS
        ]
        actions = (*(action.value for action in Action), NO_ACTION)
        self._decisions = Counter(
            {(effect.value, why.value, action): 0 for effect, why in outcomes for action in actions}
        )
        self._lists = ListMeter((action.value for action in Action), ALARMING)
        self._decision_seconds = {effect.value: Histogram() for effect in Effect}
        self._rpcs = {rpc: RpcMeter() for rpc in rpcs}
        self._loads = Counter(dict.fromkeys(_LOADS, 0))
        self._revision = ""
        self._last_load_good = 0
        self._writes = Counter(dict.fromkeys(_WRITES, 0))
        self._conflicts = 0
        self._refusals = Counter(dict.fromkeys((each.value for each in CallerRefusal), 0))
        self._limits = Counter(dict.fromkeys((each.value for each in CallLimit), 0))
        self._readings: list[tuple[str, str, str, Reading]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def decided(self, effect: str, reason: str, action: str, seconds: float) -> None:
        self._decisions[effect, reason, action] += 1
        self._decision_seconds[effect].observe(seconds)

    def listed(self, action: str, rows: int, candidates: int, seconds: float) -> None:
        self._lists.listed(action, rows, candidates, seconds)

    def alarmed(self, reason: str) -> None:
        self._lists.alarmed(reason)

    def rpc(self, service: str, method: str) -> RpcMeter:
        """Return what counts the calls of one method."""
        return self._rpcs[service, method]

    def emergency_decided(self, effect: str, reason: str) -> None:
        self._emergency.decided(effect, reason)

    def policy_loaded(self, outcome: str, revision: str) -> None:
        self._loads[outcome] += 1
        self._revision = revision
        self._last_load_good = int(outcome not in {"refused", "unrecorded", "abandoned"})

    def facts_written(self, outcome: str, count: int) -> None:
        """Count facts that were ``written``, ``skipped`` or ``unchanged``."""
        self._writes[outcome] += count

    def conflicts_found(self, count: int) -> None:
        """Count recordings that a write left in conflict."""
        self._conflicts += count

    def callers_loaded(self, outcome: str, revision: str) -> None:
        self._callers.loaded(outcome, revision)

    def caller_refused(self, refusal: CallerRefusal) -> None:
        """Count a caller that was refused."""
        self._refusals[refusal.value] += 1

    def call_limited(self, limit: CallLimit) -> None:
        """Count a call that came up against a limit."""
        self._limits[limit.value] += 1

    def watch(self, name: str, documentation: str, read: Reading, label: str = "") -> None:
        """Add a value, or values by *label*, that are read at each scrape.

        A name that ends in ``_total`` is rendered as a counter, any other as a gauge.
        """
        self._readings.append((name, documentation, label, read))

    def render(self) -> bytes:
        """Return all metrics in the text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._collect_decisions()
        yield from self._lists.collect()
        yield from self._emergency.collect()
        yield from self._collect_rpcs()
        yield from self._collect_policy()
        yield from self._collect_callers()
        yield counter(
            "authz_facts_written",
            "Facts received by this process, by what became of them.",
            ("result",),
            by_one_label(self._writes),
        )
        yield total(
            "authz_facts_conflicts",
            "Recordings that a write through this process left in conflict.",
            self._conflicts,
        )
        yield from self.facts.collect()
        yield from self.journal.collect()
        yield from self.shipping.collect()
        for name, documentation, label, read in self._readings:
            yield watched(name, documentation, label, read())

    def _collect_decisions(self) -> Iterator[Metric]:
        """Yield what was decided."""
        yield counter(
            "authz_decisions",
            "Decisions, by effect, reason and action.",
            ("effect", "reason", "action"),
            self._decisions.items(),
        )
        yield histogram(
            "authz_decision_seconds",
            "From the arrival of a question to its decision, before it is recorded.",
            ("effect",),
            [((effect,), observed) for effect, observed in self._decision_seconds.items()],
        )

    def _collect_rpcs(self) -> Iterator[Metric]:
        """Yield what was called."""
        labels = ("grpc_service", "grpc_method")
        meters = self._rpcs.items()
        yield counter(
            "grpc_server_started",
            "Calls that arrived.",
            labels,
            [(rpc, meter.started) for rpc, meter in meters],
        )
        yield counter(
            "grpc_server_handled",
            "Calls that were answered, by status code.",
            (*labels, "grpc_code"),
            [((*rpc, code), n) for rpc, meter in meters for code, n in meter.handled.items()],
        )
        yield histogram(
            "grpc_server_handling_seconds",
            "From the arrival of a call to its answer.",
            labels,
            [(rpc, meter.seconds) for rpc, meter in meters],
        )

    def _collect_callers(self) -> Iterator[Metric]:
        """Yield which callers were refused, and which calls came up against a limit."""
        yield counter(
            "authz_caller_refusals",
            "Calls refused because of who called, by what was refused.",
            ("refusal",),
            by_one_label(self._refusals),
        )
        yield from self._callers.collect()
        yield counter(
            "authz_calls_limited",
            "Calls refused or cut short because they were too many or took too long, by the limit.",
            ("limit",),
            by_one_label(self._limits),
        )

    def _collect_policy(self) -> Iterator[Metric]:
        """Yield what became of bundles."""
        yield counter(
            "authz_policy_reloads",
            "Readings of the bundle, by what became of it.",
            ("result",),
            by_one_label(self._loads),
        )
        active = InfoMetricFamily("authz_policy", "The policy in force.")
        active.add_metric((), {"revision": self._revision})
        yield active
        yield gauge(
            "authz_policy_last_load_successful",
            "1 where the latest reading of the bundle was not refused.",
            self._last_load_good,
        )
