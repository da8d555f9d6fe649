"""The state of a running service, gathered from all that it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from authz_service.cli.channel import connected
from authz_service.cli.codes import ExitCode
from authz_service.cli.console_client import ConsoleReading, read_console
from authz_service.cli.failures import CommandError
from authz_service.cli.healthcheck import status_or_silence
from authz_service.cli.options import Format
from authz_service.cli.output import print_fields, print_json, print_line
from authz_service.cli.remote_policy import active_policy, policy_fields
from authz_service.cli.status_shipping import shipping_fields
from authz_service.cli.wording import START

_JOURNAL = {
    "records": "authz_journal_written_records_total",
    "batches": "authz_journal_written_batches_total",
    "bytes": "authz_journal_written_bytes_total",
    "failures": "authz_journal_failures_total",
    "pending": "authz_journal_pending",
}
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
    address: str, http_address: str, timeout_seconds: float, form: Format
) -> ExitCode:
    """Print one screen about the service at *address*; return the exit code."""
    overview = _overview(address, http_address, timeout_seconds)
    if form is Format.JSON:
        print_json(_document(overview))
    else:
        _print(overview)
    return ExitCode.OK if overview.health == "SERVING" else ExitCode.UNAVAILABLE


def _overview(address: str, http_address: str, timeout_seconds: float) -> Overview:
    """Ask the service for all that it says of itself."""
    health, silence = status_or_silence(address, timeout_seconds)
    if silence:
        unasked = ConsoleReading(silence=silence)
        return Overview(address, health, silence, unasked, None, silence)
    console = read_console(http_address, timeout_seconds)
    try:
        with connected(address, timeout_seconds) as service:
            policy, policy_silence = active_policy(service), ""
    except CommandError as failed:
        policy, policy_silence = None, _silence_of_policy(failed)
    return Overview(address, health, "", console, policy, policy_silence)


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
        "decisions": console.whole("authz_decisions_total"),
        "silent": [why for why in (console.silence, overview.policy_silence) if why],
    }


def _print(overview: Overview) -> None:
    """Print the overview, for people."""
    serving = overview.health == "SERVING"
    print_line(f"{overview.health}  {overview.address}", "bold green" if serving else "bold red")
    if overview.silence:
        print_line(f"{overview.silence}; {START}", "red")
        return
    print_fields(_fields(overview))


def _fields(overview: Overview) -> list[tuple[str, str]]:
    """Return the overview as names and values."""
    console = overview.console
    fields = [("in the way", f"{part}: {why}") for part, why in console.reasons.items()]
    if overview.policy is not None:
        fields += policy_fields(overview.policy)
    else:
        fields.append(("policy", f"not known ({overview.policy_silence})"))
    if console.silence:
        return [*fields, ("facts, journal", f"not known: {console.silence}")]
    return [
        *fields,
        ("facts revision", _shown(console.whole("authz_facts_revision"))),
        ("decisions", f"{_shown(console.whole('authz_decisions_total'))} since the start"),
        ("journal", f"{_journal_sentence(_journal(console))} since the start"),
        *shipping_fields(console.shipping),
    ]


def _journal_sentence(counts: dict[str, int | None]) -> str:
    """Return what the journal wrote, in words."""
    return ", ".join(
        f"{_shown(count)} {_SINGULAR.get(what, what) if count == 1 else what}"
        for what, count in counts.items()
    )


def _shown(number: int | None) -> str:
    """Return *number*, or that it is not known."""
    return "unknown" if number is None else str(number)
