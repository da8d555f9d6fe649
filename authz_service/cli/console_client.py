"""What a running service says over HTTP: its health in words, and its metrics as numbers."""

from __future__ import annotations

import http.client
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from authz_service.cli.failures import CommandError

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? ([^ ]+)")


@dataclass(frozen=True, slots=True)
class ConsoleReading:
    """What `/healthz` and `/metrics` say.

    Attributes:
        reasons: What stands in the way of serving, by part.
        shipping: What it says of the decision store; None where it says nothing.
        metrics: The sum of each metric's samples over all labels; histograms left out.
        silence: Why there is no reading; empty where there is one.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    silence: str = ""
    shipping: dict[str, Any] | None = None

    def whole(self, name: str) -> int | None:
        """Return the metric *name* as a whole number; None where it is not there."""
        value = self.metrics.get(name)
        return None if value is None or math.isnan(value) else int(value)


def read_console(address: str, timeout_seconds: float) -> ConsoleReading:
    """Return what the service says at *address*, ``host:port``; never raises for its silence."""
    try:
        health = json.loads(_get(address, "/healthz", timeout_seconds))
        metrics = metrics_in(_get(address, "/metrics", timeout_seconds).decode())
        reasons = {str(part): str(why) for part, why in health["reasons"].items()}
    except (OSError, http.client.HTTPException, CommandError):
        return ConsoleReading(silence=f"nothing answers at http://{address}")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ConsoleReading(silence=f"what answers at http://{address} is not this service")
    shipping = health.get("shipping")
    return ConsoleReading(
        reasons, metrics, shipping=shipping if isinstance(shipping, dict) else None
    )


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


def _get(address: str, path: str, timeout_seconds: float) -> bytes:
    """Return what stands at *path*, whatever the status says.

    Raises:
        CommandError: *address* has no port.
        OSError: Nothing answers.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise CommandError(f"{address} is not an address and a port")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()
