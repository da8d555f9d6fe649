"""What shipping takes from the checks that are answered meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep

from bench.measure import Ledger, Series
from bench.postgres import postgres
from bench.processes import Server, ServerError, service
from bench.progress import say
from bench.questions import CHECK_PATH, Questions, check_of
from bench.registry import url_of
from bench.results import Results
from bench.shipping import rates
from bench.warming import warm_up

_SETTLE_SECONDS = 60.0
_POLL_SECONDS = 0.05


def shipping(results: Results, registry: Path, facts_revision: int, latest: Path) -> None:
    """Measure how fast records are shipped, then checks without shipping and with it, in turn.

    Each slice that counts follows on one that does not, so that shipping is under way; after it
    the store catches up, so that the next one is alone.
    """
    plan, folder = results.plan, latest / "shipping"
    with ExitStack() as stack:
        postgresql = stack.enter_context(postgres(folder / "postgresql"))
        stores = {"PostgreSQL": postgresql, "SQLite": url_of(folder / "decisions.db")}
        results.shipped = rates(registry, plan.large, plan.shipped, folder, stores)
        series = []
        for name, title, url in (
            ("unshipped", "nothing shipped", "none"),
            ("shipped_sqlite", "shipped to SQLite", url_of(folder / "live.db")),
            ("shipped_postgresql", "shipped to PostgreSQL", postgresql),
        ):
            server = stack.enter_context(
                service(registry, latest / name, settings={"AUTHZ_DECISIONS_URL": url})
            )
            ledger = results.ledgers[name] = Ledger()
            one = results.series[name] = Series(
                f"CheckAccess, {title}",
                server,
                CHECK_PATH,
                Questions(plan.large, plan.share_beside).warm(),
                check_of(facts_revision),
                ledger,
            )
            warm_up(server, plan.large, one, plan.share_beside)
            series.append(one)
        for number in range(plan.rounds):
            _round(series if number % 2 == 0 else series[::-1], plan.seconds)
            say(f"shipping: round {number + 1} of {plan.rounds}")


def _round(series: Sequence[Series], seconds: float) -> None:
    """Load each in turn."""
    for one in series:
        one.run(seconds / 2)
        one.count(seconds)
        _settle(one.server)


def _settle(server: Server) -> None:
    """Wait until all of the journal is in the store.

    Raises:
        ServerError: That takes too long.
    """
    give_up = perf_counter() + _SETTLE_SECONDS
    while server.metric("authz_shipping_behind_lines").get("", 0.0):
        if perf_counter() > give_up:
            raise ServerError(f"the store does not catch up with {server.folder}")
        sleep(_POLL_SECONDS)
