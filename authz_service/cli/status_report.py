"""The state of a running service, gathered from all that it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from authz_service.cli.channel import connected
from authz_service.cli.codes import ExitCode
from authz_service.cli.console_client import ConsoleReading, WorkerReading, read_console
from authz_service.cli.failures import CommandError
from authz_service.cli.healthcheck import status_or_silence
from authz_service.cli.http_client import Credentials
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.cli.remote_policy import active_policy, policy_fields
from authz_service.cli.status_callers import callers_fields
from authz_service.cli.status_shipping import shipping_fields
from authz_service.cli.status_tls import tls_fields
from authz_service.cli.wording import counted

_JOURNAL = {
    "records": "authz_journal_written_records_total",
    "batches": "authz_journal_written_batches_total",
    "bytes": "authz_journal_written_bytes_total",
    "failures": "authz_journal_failures_total",
    "pending": "authz_journal_pending",
}
_ATTEMPTS = 4
_ON_THEIR_WAY = {"starting", "restarting"}
_Answer = TypeVar("_Answer")
_SINGULAR = {"records": "record", "batches": "batch", "bytes": "byte", "failures": "failure"}


@dataclass(frozen=True, slots=True)
class Overview:
    """What a service says of itself.

    Attributes:
        address: Where it was asked.
        health: ``SERVING``, ``NOT_SERVING``, ``UNREACHABLE`` …
        silence: Why its health is not known; empty where it is.
        console: What it says over HTTP.
        policy: The policy in force; None where it does not say.
        policy_silence: Why it does not say.
    """

    address: str
    health: str
    silence: str
    console: ConsoleReading
    policy: dict[str, Any] | None
    policy_silence: str


def report_status(
    address: str, http_address: str, timeout_seconds: float, form: Format, *, shown: Credentials
) -> ExitCode:
    """Print one screen about the service at *address*; return the exit code."""
    console = read_console(http_address, timeout_seconds, shown)
    overview = _overview(address, console, timeout_seconds)
    if form is Format.JSON:
        print_json(_document(overview))
    else:
        _print(overview)
    return ExitCode.OK if overview.health == "SERVING" else ExitCode.UNAVAILABLE


def _overview(address: str, console: ConsoleReading, timeout_seconds: float) -> Overview:
    """Ask the service for all that it says of itself beside what *console* says."""
    attempts = _ATTEMPTS if console.workers else 1
    health, silence = _first_answer(
        lambda: status_or_silence(address, timeout_seconds), attempts=attempts
    )
    if silence and not console.workers:
        unasked = ConsoleReading(silence=silence)
        return Overview(address, health, silence, unasked, None, silence)
    policy, policy_silence = None, silence
    if silence and any(worker.state in _ON_THEIR_WAY for worker in console.workers):
        policy_silence = "its workers are starting"
    elif not silence:
        policy, policy_silence = _first_answer(
            lambda: _policy_or_silence(address, timeout_seconds), attempts=attempts
        )
    return Overview(address, _of_all(health, console), "", console, policy, policy_silence)


def _first_answer(ask: Callable[[], tuple[_Answer, str]], *, attempts: int) -> tuple[_Answer, str]:
    """Return the first answer without a silence, or the last silence.

    Each attempt has a connection of its own: of several workers it may reach another one.
    """
    answer, silence = ask()
    while silence and (attempts := attempts - 1) > 0:
        answer, silence = ask()
    return answer, silence


def _policy_or_silence(address: str, timeout_seconds: float) -> tuple[dict[str, Any] | None, str]:
    """Return the policy in force and an empty text, or None and why it is not told."""
    try:
        with connected(address, timeout_seconds) as service:
            return active_policy(service), ""
    except CommandError as failed:
        return None, _silence_of_policy(failed)


def _of_all(health: str, console: ConsoleReading) -> str:
    """Return the health of the service; of several workers, one that serves is enough.

    Over gRPC one worker has answered for itself, and the next call may go to another.
    """
    if not console.workers:
        return health
    serving = any(worker.state == "serving" for worker in console.workers)
    return "SERVING" if serving else "NOT_SERVING"


def _silence_of_policy(failed: CommandError) -> str:
    """Return why the policy is not told; it may be for a reason that is not the policy's own."""
    lost = failed.reason == "JOURNAL_UNAVAILABLE"
    return "the journal cannot write" if lost else failed.message


def _journal(console: ConsoleReading) -> dict[str, int | None]:
    """Return what the journal wrote since the start."""
    return {what: console.whole(name) for what, name in _JOURNAL.items()}


def _document(overview: Overview) -> dict[str, Any]:
    """Return the overview, for programs."""
    console = overview.console
    return {
        "address": overview.address,
        "serving": overview.health == "SERVING",
        "health": overview.health,
        "reasons": console.reasons,
        "policy": overview.policy,
        "facts_revision": console.whole("authz_facts_revision"),
        "journal": _journal(console),
        "shipping": console.shipping,
        "callers": console.callers,
        "tls": console.tls,
        "decisions": console.whole("authz_decisions_total"),
        "workers": [asdict(worker) for worker in console.workers],
        "silent": [why for why in (console.silence, overview.policy_silence) if why],
    }


def _print(overview: Overview) -> None:
    """Print the overview, for people."""
    serving = overview.health == "SERVING"
    print_line(f"{overview.health}  {overview.address}", "bold green" if serving else "bold red")
    if overview.silence:
        print_line(overview.silence, "red")
        return
    print_fields(_fields(overview))


def _fields(overview: Overview) -> list[tuple[str, str]]:
    """Return the overview as names and values."""
    console = overview.console
    fields = [("in the way", f"{part}: {why}") for part, why in console.reasons.items()]
    fields += [(f"worker {worker.number}", _worker_sentence(worker)) for worker in console.workers]
    if overview.policy is not None:
        fields += policy_fields(overview.policy)
    else:
        fields.append(("policy", f"not known ({overview.policy_silence})"))
    if console.silence:
        return [*fields, ("facts, journal", f"not known: {console.silence}")]
    return [
        *fields,
        ("facts revision", _shown(console.whole("authz_facts_revision"))),
        ("decisions", f"{_shown(console.whole('authz_decisions_total'))} {_since(console)}"),
        ("journal", f"{_journal_sentence(_journal(console))} {_since(console)}"),
        *shipping_fields(console.shipping),
        *callers_fields(console.callers),
        *tls_fields(console.tls),
    ]


def _since(console: ConsoleReading) -> str:
    """Return since when there was counted, and of which workers nothing is known."""
    if not console.workers:
        return "since the start"
    silent = [str(worker.number) for worker in console.workers if worker.silence]
    without = f", without worker {', '.join(silent)}" if silent else ""
    return f"since each worker's own start{without}"


def _worker_sentence(worker: WorkerReading) -> str:
    """Return how a worker is, in words."""
    words = [worker.state.upper()]
    words += [f"{part}: {why}" for part, why in worker.reasons.items()]
    if worker.http_address:
        words.append(f"metrics at {worker.http_address}")
    if worker.restarts:
        words.append(counted(worker.restarts, "restart"))
    if worker.silence and worker.http_address:
        words.append(f"counts not known: {worker.silence}")
    return ", ".join(words)


def _journal_sentence(counts: dict[str, int | None]) -> str:
    """Return what the journal wrote, in words."""
    return ", ".join(
        f"{_shown(count)} {_SINGULAR.get(what, what) if count == 1 else what}"
        for what, count in counts.items()
    )


def _shown(number: int | None) -> str:
    """Return *number*, or that it is not known."""
    return "unknown" if number is None else str(number)
