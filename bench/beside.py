"""The same questions to one process, to two workers, to an empty echo, and to Cerbos: in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

from bench import cerbos
from bench.echo_server import PATH as ECHO_PATH
from bench.load import run_load
from bench.measure import Ledger, Series, alternate
from bench.processes import Server, echo, service
from bench.progress import say
from bench.questions import (
    BATCH_PATH,
    CHECK_PATH,
    Questions,
    batch_check_of,
    batched,
    check_echo,
    check_of,
    single,
)
from bench.results import BATCH, Results

CONNECTIONS = 16
"""Over how many connections: enough for the kernel to spread them over two workers."""

_WORKERS = 2
_WARMINGS = 10
_WARMING_BATCH = 500
_WARMING_SECONDS = 600.0
_SLICES_BEFORE = 0.5


def beside(
    results: Results, registry: Path, facts_revision: int, latest: Path, program: Path | None
) -> None:
    """Load all in turn; Cerbos where its *program* is there.

    Raises:
        ServerError: A server does not start, serve or end.
        LoadError: A server does not answer at all.
    """
    plan = results.plan
    about = Questions(plan.large, plan.share_beside)
    workers = {"AUTHZ_WORKERS": str(_WORKERS)}
    with ExitStack() as stack:
        servers = {
            "echo_one": stack.enter_context(echo(latest / "echo-one")),
            "echo_two": stack.enter_context(echo(latest / "echo-two", workers=_WORKERS)),
            "one": stack.enter_context(service(registry, latest / "one")),
            "two": stack.enter_context(service(registry, latest / "two", settings=workers)),
        }
        if program is not None:
            servers["cerbos"] = stack.enter_context(cerbos.cerbos(program, latest / "cerbos"))
        results.ledgers |= {name: Ledger() for name in servers}
        series = _series(results, servers, about, facts_revision)
        results.series |= series
        for name in ("one", "two"):
            _warm_each_worker(servers[name], about, series[name], facts_revision)
        for one in series.values():
            one.run(plan.seconds * _SLICES_BEFORE)
        with _spread(results, servers["two"]):
            for done in alternate([*series.values()], rounds=plan.rounds, seconds=plan.seconds):
                say(f"beside: round {done} of {plan.rounds}")
    if program is not None:
        results.audit = cerbos.examine(latest / "cerbos" / "audit.log", results.ledgers["cerbos"])


def _series(
    results: Results, servers: dict[str, Server], about: Questions, facts_revision: int
) -> dict[str, Series]:
    """Return what is measured, in the order of the rounds."""
    ledgers, world = results.ledgers, results.plan.large
    asked, batches = about.asked(), about.asked_by_one(BATCH)
    singles = [single(one) for one in asked]
    found = {
        name: Series(
            f"grpc.aio echo with nothing in it, {called}",
            servers[name], ECHO_PATH, cycle(singles), check_echo, ledgers[name],
            connections=CONNECTIONS,
        )
        for name, called in (("echo_one", "one process"), ("echo_two", "two processes"))
    }  # fmt: skip
    for name, called in (("one", "one process"), ("two", "two workers")):
        found[name] = Series(
            f"CheckAccess, {called}",
            servers[name], CHECK_PATH, cycle(singles), check_of(facts_revision), ledgers[name],
            connections=CONNECTIONS,
        )  # fmt: skip
        found[f"{name}_batch"] = Series(
            f"BatchCheckAccess of {BATCH} by one subject, {called}, decisions",
            servers[name], BATCH_PATH, cycle([batched(each) for each in batches]),
            batch_check_of(facts_revision), ledgers[name], BATCH, CONNECTIONS,
        )  # fmt: skip
    if "cerbos" in servers:
        found["cerbos"] = Series(
            "Cerbos, CheckResources of 1, audit in a file",
            servers["cerbos"], cerbos.CHECK_PATH,
            cerbos.questions([[one] for one in asked], world), cerbos.check, ledgers["cerbos"],
            connections=CONNECTIONS,
        )  # fmt: skip
        found["cerbos_batch"] = Series(
            f"Cerbos, CheckResources of {BATCH}, audit in a file, decisions",
            servers["cerbos"], cerbos.CHECK_PATH,
            cerbos.questions(batches, world), cerbos.check, ledgers["cerbos"],
            BATCH, CONNECTIONS,
        )  # fmt: skip
    return found


def _warm_each_worker(
    server: Server, about: Questions, series: Series, facts_revision: int
) -> None:
    """Have every worker load the facts of the working set.

    Each connection goes to one worker, so the whole of it is asked over several, one by one.
    """
    say(f"warming {about.warm_recordings:,} recordings, worker by worker")
    for _ in range(_WARMINGS):
        load = run_load(
            server.peer,
            BATCH_PATH,
            iter(about.warming(_WARMING_BATCH)),
            in_flight=1,
            seconds=_WARMING_SECONDS,
        )
        series.ledger.take_calls(load.calls, batch_check_of(facts_revision))


@contextmanager
def _spread(results: Results, server: Server) -> Iterator[None]:
    """Note which share of the CPU time each worker of *server* took meanwhile."""
    before = server.each_cpu_seconds()
    yield
    taken = [
        after - earlier for after, earlier in zip(server.each_cpu_seconds(), before, strict=True)
    ]
    busiest = sorted(taken, reverse=True)[:_WORKERS]
    results.spread = [each / (sum(busiest) or 1.0) for each in busiest]
