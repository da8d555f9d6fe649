"""How many containments are in force, by what limits them: read at each scrape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from authz_service.operations.containments import ANY_SCOPE, ScopeKind, counted_by_scope
from authz_service.operations.ports import Clock
from authz_service.pdp.entities import Containment
from authz_service.telemetry.metrics import Metrics

Known = Callable[[], Iterable[Containment] | None]
"""Gives the containments as far as this process knows them; None where it knows nothing."""


def watch_containments(metrics: Metrics, known: Known, clock: Clock) -> None:
    """Show at each scrape how many containments are in force; NaN where that is not known."""

    def count() -> Mapping[str, float]:
        containments = known()
        if containments is None:
            return dict.fromkeys((*(kind.value for kind in ScopeKind), ANY_SCOPE), math.nan)
        return counted_by_scope(containments, clock.now())

    metrics.watch(
        "authz_containments_active",
        "Containments in force, by each kind of limit that they have; any counts each once.",
        count,
        "scope",
    )
