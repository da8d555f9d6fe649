"""What a running service says over HTTP: its health in words, and its metrics as numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from authz_service.cli.http_client import NOTHING, Credentials, SilenceError, fetch, target_of
from authz_service.cli.status_callers import callers_together
from authz_service.cli.status_shipping import shipping_together
from authz_service.cli.status_tls import tls_together

_REVISION = "authz_facts_revision"
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? ([^ ]+)")


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """What a parent, and the worker itself, say of one of several workers.

    Attributes:
        number: Which one, from 1.
        state: ``starting``, ``serving``, ``not_serving`` or ``restarting``.
        reasons: What stands in the way of its serving, by part.
        http_address: Where it shows its metrics; empty where it does not yet.
        policy_revision: The policy in force there.
        restarts: How often it was started again.
        silence: Why its metrics are not known; empty where they are.
    """

    number: int
    state: str
    reasons: dict[str, str]
    http_address: str
    policy_revision: str
    restarts: int
    silence: str = ""


@dataclass(frozen=True, slots=True)
class ConsoleReading:
    """What `/healthz` and `/metrics` say; of several workers, all of them together.

    Attributes:
        reasons: What stands in the way of serving, by part.
        shipping: What it says of the decision store; None where it says nothing.
        callers: What it says of its callers; None where it says nothing.
        tls: What it says of its certificates; None where it has none.
        metrics: The sum of each metric's samples over all labels; histograms left out.
        silence: Why there is no reading; empty where there is one.
        workers: The workers; none where the service is one process.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    silence: str = ""
    workers: tuple[WorkerReading, ...] = ()
    shipping: dict[str, Any] | None = None
    callers: dict[str, Any] | None = None
    tls: dict[str, Any] | None = None

    def whole(self, name: str) -> int | None:
        """Return the metric *name* as a whole number; None where it is not there."""
        value = self.metrics.get(name)
        return None if value is None or math.isnan(value) else int(value)


def read_console(
    address: str, timeout_seconds: float, shown: Credentials = NOTHING
) -> ConsoleReading:
    """Return what the service says at *address* to who shows *shown*; never raises for its silence.

    Args:
        address: ``host:port``, or with a scheme before it.
        timeout_seconds: How long to wait.
        shown: What is shown to the service.
    """
    try:
        health = json.loads(fetch(address, "/healthz", timeout_seconds, shown))
        metrics = metrics_in(fetch(address, "/metrics", timeout_seconds, shown).decode())
        reasons = {str(part): str(why) for part, why in health["reasons"].items()}
    except SilenceError as silence:
        return ConsoleReading(silence=str(silence))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ConsoleReading(
            silence=f"what answers at {target_of(address).url} is not this service"
        )
    shipping, callers, tls = (
        each if isinstance(each, dict) else None
        for each in map(health.get, ("shipping", "callers", "tls"))
    )
    reading = ConsoleReading(reasons, metrics, shipping=shipping, callers=callers, tls=tls)
    if "authz_workers" not in metrics:
        return reading
    return _with_workers(address, timeout_seconds, reading, shown)


def _with_workers(
    address: str, timeout_seconds: float, parent: ConsoleReading, shown: Credentials
) -> ConsoleReading:
    """Return what *parent* says together with what its workers say of themselves."""
    host = address.rpartition(":")[0]
    workers, readings = [], []
    try:
        for plain in json.loads(fetch(address, "/workers", timeout_seconds, shown))["workers"]:
            at = f"{host}:{plain['http_port']}" if plain["http_port"] else ""
            nothing = ConsoleReading(silence="it does not serve yet")
            reading = read_console(at, timeout_seconds, shown) if at else nothing
            readings.append(reading)
            workers.append(
                WorkerReading(
                    plain["number"],
                    plain["state"],
                    plain["reasons"],
                    at,
                    plain["policy_revision"],
                    plain["restarts"],
                    reading.silence,
                )
            )
    except (SilenceError, ValueError, LookupError, TypeError):
        return ConsoleReading(
            silence=f"what answers at {target_of(address).url} does not name its workers"
        )
    metrics = together([reading.metrics for reading in readings if not reading.silence])
    by_number = {worker.number: told for worker, told in zip(workers, readings, strict=True)}
    return ConsoleReading(
        parent.reasons,
        metrics,
        workers=tuple(workers),
        shipping=shipping_together({number: each.shipping for number, each in by_number.items()}),
        callers=callers_together({number: each.callers for number, each in by_number.items()}),
        tls=tls_together({number: each.tls for number, each in by_number.items()}),
    )


def together(readings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the sums of what several workers count; of the facts revision, the least."""
    sums: dict[str, float] = {}
    for metrics in readings:
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + value
    revisions = [metrics[_REVISION] for metrics in readings if _REVISION in metrics]
    return {**sums, _REVISION: min(revisions)} if revisions else sums


def metrics_in(text: str) -> dict[str, float]:
    """Return the sums of the samples in *text*, the format 0.0.4 of Prometheus."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None or match[1].endswith("_bucket"):
            continue
        try:
            sums[match[1]] = sums.get(match[1], 0.0) + float(match[3])
        except ValueError:
            continue
    return sums
