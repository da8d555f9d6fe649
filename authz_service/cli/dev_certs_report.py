"""Certificates for a trial: made, written for their owner's eyes only, and how to use them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from authz_service.cli.client_tls import VARIABLES
from authz_service.cli.codes import ExitCode
from authz_service.cli.every_rpc import EVERY_RPC
from authz_service.cli.failures import CommandError
from authz_service.cli.options import Format
from authz_service.cli.output import print_json, print_line
from authz_service.clocks import SystemClock
from authz_service.identity.caller_rules import CallerRule
from authz_service.identity.callers_file import read_callers
from authz_service.identity.dev_certificates import DevCertificates, dev_certificates
from authz_service.identity.spiffe import fault_of
from authz_service.pdp.model import Action, PurposeOfUse

_SCHEME = "spiffe://"


def make_and_report(
    directory: Path,
    who: tuple[str, Sequence[str], Path],
    *,
    days: int,
    force: bool,
    form: Format,
) -> None:
    """Make certificates in *directory* and print how to use them.

    Args:
        directory: Where to.
        who: The trust domain, names of callers in it, and the file of callers where there are none.
        days: How long they are valid.
        force: Whether what is there is replaced.
        form: How it is printed.

    Raises:
        CommandError: A name is none, there is no caller, or something is there already.
        CallersFileError: The callers file is missing or defective.
    """
    trust_domain, names, callers_file = who
    server = _spiffe_id(trust_domain, "authz-service", "--trust-domain")
    named = [_spiffe_id(trust_domain, name, "--name") for name in dict.fromkeys(names)]
    listed = {} if named else _listed(callers_file)
    made = dev_certificates(
        server, named or list(listed), SystemClock().now(), timedelta(days=days)
    )
    _write(directory, made.files, force=force)
    if form is Format.JSON:
        print_json(_document(directory, server, made))
    else:
        _print(directory, made, listed)


def _spiffe_id(trust_domain: str, name: str, flag: str) -> str:
    """Return the SPIFFE ID of *name*."""
    spiffe_id = f"{_SCHEME}{trust_domain}/{name}"
    fault = fault_of(spiffe_id)
    if fault:
        raise CommandError(f"{flag}: the SPIFFE ID {fault}", code=ExitCode.USAGE, reason="USAGE")
    return spiffe_id


def _listed(callers_file: Path) -> dict[str, CallerRule]:
    """Return the callers with a SPIFFE ID of the callers file, in its order."""
    rules = read_callers(callers_file, EVERY_RPC).rules
    found = {caller: rule for caller, rule in rules.items() if caller.startswith(_SCHEME)}
    if not found:
        raise CommandError(
            f"{callers_file} has no caller with a SPIFFE ID",
            code=ExitCode.USAGE,
            reason="USAGE",
            hint="name callers with --name, or another file with --callers",
        )
    return found


def _write(directory: Path, files: Mapping[str, bytes], *, force: bool) -> None:
    """Write all files, each in one step; none where one is there and *force* is not given."""
    there = [name for name in files if (directory / name).exists()]
    if there and not force:
        raise CommandError(
            f"{directory / there[0]} is there already",
            reason="EXISTS",
            hint="name another directory, or replace all of it with --force",
        )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in files.items():
        new = directory / f".{name}.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
    for name in files:
        (directory / f".{name}.new").replace(directory / name)


def _service_settings(directory: Path) -> dict[str, str]:
    """Return what a service is set to."""
    return {
        "AUTHZ_TLS_CERT": str(directory / "server.crt"),
        "AUTHZ_TLS_KEY": str(directory / "server.key"),
        "AUTHZ_CLIENT_CA": str(directory / "ca.crt"),
    }


def _client_settings(directory: Path, name: str) -> dict[str, str]:
    """Return what `authz` is set to that asks as *name*."""
    return {
        VARIABLES.ca: str(directory / "ca.crt"),
        VARIABLES.cert: str(directory / f"{name}.crt"),
        VARIABLES.key: str(directory / f"{name}.key"),
    }


def _document(directory: Path, server: str, made: DevCertificates) -> dict[str, object]:
    """Return what was made, for programs."""
    return {
        "not_after": made.not_after.isoformat().replace("+00:00", "Z"),
        "server": {"spiffe_id": server, "settings": _service_settings(directory)},
        "callers": [
            {"spiffe_id": caller, "settings": _client_settings(directory, name)}
            for caller, name in made.clients.items()
        ],
    }


def _print(directory: Path, made: DevCertificates, rules: Mapping[str, CallerRule]) -> None:
    """Print what was made, for people, in lines that a shell takes."""
    print_line(f"made in {directory}, for development only; valid to {made.not_after:%F}", "green")
    print_line("")
    print_line("serve with them:")
    for name, value in _service_settings(directory).items():
        print_line(f"  export {name}={value}")
    print_line("  authz serve")
    for number, (caller, name) in enumerate(made.clients.items()):
        print_line("")
        print_line(f"ask as {caller}, which needs a row in the callers file:")
        if number:
            print_line(f"  the same with {directory / name}.crt and .key")
            continue
        for variable, value in _client_settings(directory, name).items():
            print_line(f"  export {variable}={value}")
        print_line(f"  {_call_of(rules.get(caller))}")


def _call_of(rule: CallerRule | None) -> str:
    """Return a call to try that a caller with *rule* may make; of the demo, where it may check."""
    if rule is None:
        return "authz status"
    may_check = rule.rpcs is None or "CheckAccess" in rule.rpcs
    if not may_check or rule.actions == frozenset() or rule.purposes == frozenset():
        return "authz healthcheck"
    words = ["authz check pat-river rec-river-1"]
    for flag, granted, usual in (
        ("--tenant", rule.tenants, "north-practice"),
        ("--action", rule.actions, Action.VIEW),
        ("--purpose", rule.purposes, PurposeOfUse.PATRQT),
    ):
        if granted is not None and (flag == "--tenant" or usual not in granted):
            words.append(f"{flag} {usual if usual in granted else min(granted, default=usual)}")
    return " ".join(words)
