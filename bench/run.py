"""One run: the servers beside each other, loaded in turn, then what is measured without load."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from authz_service.clocks import SystemClock
from authz_service.facts.sql_reader import SqlReader
from bench.beside import beside
from bench.callers import callers
from bench.cerbos import CerbosMissingError, installed
from bench.echo_server import PATH as ECHO_PATH
from bench.journals import complaints, examine
from bench.lists import LIST_PATH, PAGE, asked_in_turn, list_check_of, walks
from bench.measure import Ledger, Series, alternate
from bench.policies import reloads, verdicts
from bench.processes import Cpu, Server, echo, service
from bench.progress import say
from bench.questions import (
    BATCH_PATH,
    CHECK_PATH,
    Questions,
    batch_check_of,
    check_echo,
    check_of,
)
from bench.registry import registry_of, url_of
from bench.results import BATCH, SHARE_IN_MEMORY, Plan, Results
from bench.shipping_beside import shipping
from bench.warming import warm_up

_COLD_SHARE = 4
_READ_BYTES = 16 << 20


def measure(plan: Plan, directory: Path, cerbos_directory: Path) -> Results:
    """Carry out *plan*; registries are kept in *directory*, and the logs of the latest run.

    Raises:
        ServerError: A server does not start, serve or end.
        LoadError: A server does not answer at all.
        RegistryError: A registry is not what it should be.
    """
    say(f"registries in {directory}, written once")
    large, small = registry_of(plan.large, directory), registry_of(plan.small, directory)
    latest = directory / "latest"
    shutil.rmtree(latest, ignore_errors=True)
    results = Results(plan)
    program = _cerbos(results, cerbos_directory)
    _under_load(results, (large, small), latest)
    beside(results, large, revision_of(large), latest, program)
    callers(results, large, revision_of(large), latest)
    shipping(results, large, revision_of(large), latest)
    for name, ledger in results.ledgers.items():
        results.problems += [f"{name}: {problem}" for problem in ledger.problems]
        if (latest / name / "journal").is_dir():
            _examine(results, name, latest)
    _without_load(results, (large, small), latest)
    return results


def _cerbos(results: Results, directory: Path) -> Path | None:
    """Return Cerbos's program; None where it is left out, which the results say."""
    try:
        return installed(directory, may_install=results.plan.may_install)
    except CerbosMissingError as missing:
        results.left_out.append(f"Cerbos: {missing}")
        return None


def _examine(results: Results, name: str, latest: Path) -> None:
    """Verify the journals of a server, and look for its answers in them."""
    say(f"verifying the journal of {name}")
    ledger = results.ledgers[name]
    found = results.journals[name] = examine(latest / name / "journal", ledger)
    if ledger.wrong:
        results.problems += [
            f"{name} logged {text}" for text in complaints(latest / name / "log.jsonl")
        ]
    if found.problem:
        results.problems.append(f"{name}: {found.problem}")


def _under_load(results: Results, registries: tuple[Path, Path], latest: Path) -> None:
    """Run all servers and load one after the other."""
    plan = results.plan
    large, small = registries
    entries = str(max(100, plan.large.patients // _COLD_SHARE))
    with ExitStack() as stack:
        servers = {
            "echo": stack.enter_context(echo(latest / "echo")),
            "warm": stack.enter_context(service(large, latest / "warm")),
            "small": stack.enter_context(service(small, latest / "small")),
            "cold": stack.enter_context(
                service(large, latest / "cold", settings={"AUTHZ_FACTS_CACHE_ENTRIES": entries})
            ),
        }
        results.ledgers = {name: Ledger() for name in servers}
        revisions = (revision_of(large), revision_of(small))
        results.series = _series(plan, servers, results.ledgers, revisions)
        results.memory.at_start = servers["warm"].resident_bytes
        for name, world in (("warm", plan.large), ("small", plan.small)):
            warm_up(servers[name], world, results.series[name])
        results.memory.warm = servers["warm"].resident_bytes
        results.memory.recordings = int(_of_recordings(servers["warm"], "entries"))
        _rounds(results, servers, large)
        say("walking through lists")
        results.walks = walks(servers["warm"], plan.large, results.ledgers["warm"], revisions[0])
        results.memory.after = servers["warm"].resident_bytes


def _series(
    plan: Plan, servers: dict[str, Server], ledgers: dict[str, Ledger], revisions: tuple[int, int]
) -> dict[str, Series]:
    """Return what is measured under load, in the order of the rounds."""
    about_large = Questions(plan.large, SHARE_IN_MEMORY)
    about_small = Questions(plan.small, SHARE_IN_MEMORY)
    check, check_small = check_of(revisions[0]), check_of(revisions[1])
    large, small = f"{plan.large.recordings:,}", f"{plan.small.recordings:,}"

    return {
        "echo": Series(
            "grpc.aio echo with nothing in it",
            servers["echo"], ECHO_PATH, about_large.warm(), check_echo, ledgers["echo"],
        ),
        "warm": Series(
            f"CheckAccess, {large} recordings, facts in memory",
            servers["warm"], CHECK_PATH, about_large.warm(), check, ledgers["warm"],
        ),
        "small": Series(
            f"CheckAccess, {small} recordings, facts in memory",
            servers["small"], CHECK_PATH, about_small.warm(), check_small, ledgers["small"],
        ),
        "cold": Series(
            f"CheckAccess, {large} recordings, cold facts",
            servers["cold"], CHECK_PATH, about_large.cold(), check, ledgers["cold"],
        ),
        "batch": Series(
            f"BatchCheckAccess of {BATCH}, facts in memory, decisions",
            servers["warm"], BATCH_PATH, about_large.warm_batches(BATCH),
            batch_check_of(revisions[0]), ledgers["warm"], BATCH,
        ),
        "list": Series(
            f"ListRecordings, pages of {PAGE}, facts in memory, pages",
            servers["warm"], LIST_PATH, asked_in_turn(plan.large), list_check_of(revisions[0]),
            ledgers["warm"],
        ),
        "check_alone": Series(
            "CheckAccess, one call at a time",
            servers["warm"], CHECK_PATH, about_large.warm(), check, ledgers["warm"], in_flight=1,
        ),
        "list_alone": Series(
            f"ListRecordings, pages of {PAGE}, one call at a time, pages",
            servers["warm"], LIST_PATH, asked_in_turn(plan.large), list_check_of(revisions[0]),
            ledgers["warm"], in_flight=1,
        ),
    }  # fmt: skip


def _rounds(results: Results, servers: dict[str, Server], registry: Path) -> None:
    """Load the servers in turn."""
    plan, series = results.plan, list(results.series.values())
    _read_through(registry)
    for one in series:
        one.run(plan.seconds / 2)
    threads = servers["warm"].thread_cpu_seconds()
    with ExitStack() as stack:
        for name in ("warm", "small", "cold"):
            stack.enter_context(_hits(results, name, servers[name]))
        for done in alternate(series, rounds=plan.rounds, seconds=plan.seconds):
            say(f"round {done} of {plan.rounds}")
            _read_through(registry)
    results.threads = {
        name: taken.since(threads.get(name, Cpu()))
        for name, taken in servers["warm"].thread_cpu_seconds().items()
    }


def _read_through(registry: Path) -> None:
    """Bring *registry* into the page cache: cold is cold for the service, not for the disk."""
    with registry.open("rb") as file:
        while file.read(_READ_BYTES):
            pass


@contextmanager
def _hits(results: Results, name: str, server: Server) -> Iterator[None]:
    """Note which share of the recordings asked for was in memory meanwhile."""
    hits, misses = _of_recordings(server, "hits_total"), _of_recordings(server, "misses_total")
    yield
    hits = _of_recordings(server, "hits_total") - hits
    misses = _of_recordings(server, "misses_total") - misses
    results.hits[name] = hits / (hits + misses) if hits + misses else 0.0


def _of_recordings(server: Server, what: str) -> float:
    """Return what the cache of facts says of recordings."""
    return server.metric(f"authz_facts_cache_{what}").get('kind="recording"', 0.0)


def _without_load(results: Results, registries: tuple[Path, Path], latest: Path) -> None:
    """Measure starts, readings of the policy and verdicts, one after the other."""
    plan = results.plan
    large, small = registries
    say("starting, reloading, judging")
    for number in range(plan.starts):
        with service(large, latest / f"start-{number}") as server:
            results.starts.append(server.start_seconds)
    with service(large, latest / "warm") as server:
        results.start_again = server.start_seconds
    results.reloads = reloads(small, latest / "reload", rounds=plan.reloads)
    results.verdicts = verdicts(plan.verdicts)


def revision_of(registry: Path) -> int:
    """Return the facts revision of *registry*."""
    reader = SqlReader(url_of(registry), SystemClock())
    revision = reader.look().revision
    reader.close()
    return revision
