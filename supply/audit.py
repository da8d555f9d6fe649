"""`python -m supply.audit`: whether a known vulnerability is in what is locked. Needs the network.

The advisories are those of OSV, asked by uv, which is locked itself. Exit codes: 0 none is known, 1
some are, 2 usage, 3 nothing can be said: the service of advisories does not answer, or not for all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from supply.locked import ROOT, RUNTIME, Locked, LockError, read_lock

DEVELOPMENT = ROOT / "requirements-dev.lock"
UV = Path(sys.executable).with_name("uv")
NONE_KNOWN, SOME_KNOWN, UNKNOWN = 0, 1, 3

_SECONDS = 120
_PROJECT = '[project]\nname = "audited"\nversion = "0"\nrequires-python = ">=3.11"\n'
_LOCK = 'version = 1\nrequires-python = ">=3.11"\n'
_PACKAGE = '\n[[package]]\nname = "{}"\nversion = "{}"\nsource = {{ registry = "." }}\n'
_NEEDING_ALL = """
[[package]]
name = "audited"
version = "0"
source = {{ virtual = "." }}
dependencies = [{}]
"""


class AuditError(Exception):
    """Nothing can be said; the message says why and what to do."""


class Finding(NamedTuple):
    """A known vulnerability in what is locked.

    Attributes:
        package: Name and version.
        advisory: Its id.
        summary: What it is, in a line.
        fixed_in: Versions that are without it.
    """

    package: str
    advisory: str
    summary: str
    fixed_in: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, and print what is known; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m supply.audit", description=__doc__)
    parser.add_argument("locks", nargs="*", type=Path, help="by default both files of this project")
    parser.add_argument("--service-url", default="", help="another service that speaks OSV")
    options = parser.parse_args(arguments)
    code = NONE_KNOWN
    for path in options.locks or (RUNTIME, DEVELOPMENT):
        try:
            locked = read_lock(path)
            findings = findings_in(locked, options.service_url)
        except (LockError, AuditError, OSError) as error:
            print(f"audit: {path.name}: {error}", file=sys.stderr)
            return UNKNOWN
        print(f"{path.name}: {len(findings)} known in {len(locked)} packages")
        for one in findings:
            fixed = ", ".join(one.fixed_in) or "no version yet"
            print(f"  {one.package}: {one.advisory}: {one.summary} (fixed in {fixed})")
        code = SOME_KNOWN if findings else code
    return code


def findings_in(locked: Sequence[Locked], service_url: str = "") -> list[Finding]:
    """Return what is known of *locked*.

    Args:
        locked: The packages.
        service_url: Who is asked; by default OSV's own service.

    Raises:
        AuditError: It was not answered, or not for every package.
    """
    answer = _answer(locked, service_url)
    try:
        asked = answer["summary"]["audited_packages"]
        findings = [_finding(one) for one in answer["vulnerabilities"]]
    except (KeyError, TypeError):
        raise AuditError(
            "uv answers in a form that is not known here; see supply/audit.py"
        ) from None
    if asked != len(locked):
        raise AuditError(f"only {asked} of {len(locked)} packages were asked about")
    return findings


def _finding(plain: dict[str, Any]) -> Finding:
    """Return one vulnerability as uv tells it."""
    package = f"{plain['dependency']['name']} {plain['dependency']['version']}"
    summary = plain["summary"] or "without a summary"
    return Finding(package, plain["display_id"], summary, tuple(plain["fix_versions"]))


def _answer(locked: Sequence[Locked], service_url: str) -> Any:
    """Return what uv says of a project that has *locked* and nothing else.

    Raises:
        AuditError: It cannot be run, or gets no answer.
    """
    command = [str(UV), "audit", "--frozen", "--no-config", "--output-format", "json"]
    command += ["--preview-features", "audit-command,json-output"]
    command += ["--service-url", service_url] if service_url else []
    with tempfile.TemporaryDirectory(prefix="authz-audit-") as folder:
        _write_project(Path(folder), locked)
        try:
            ended = subprocess.run(  # noqa: S603  # the locked uv, with nothing of a user's
                command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except FileNotFoundError:
            raise AuditError("uv is not installed; run make setup") from None
        except subprocess.TimeoutExpired:
            raise AuditError(f"no answer within {_SECONDS} seconds; try again") from None
    try:
        return json.loads(ended.stdout)
    except json.JSONDecodeError:
        raise AuditError(_why(ended.stderr)) from None


def _write_project(folder: Path, locked: Sequence[Locked]) -> None:
    """Write a project that needs *locked*, as uv has them; it names no place to get them from."""
    needed = ", ".join(f'{{ name = "{one.name}" }}' for one in locked)
    packages = "".join(_PACKAGE.format(one.name, one.version) for one in locked)
    (folder / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")
    (folder / "uv.lock").write_text(_LOCK + packages + _NEEDING_ALL.format(needed), "utf-8")


def _why(said: str) -> str:
    """Return why there is no answer, out of what uv *said*."""
    lines = [line.strip() for line in said.splitlines() if not line.startswith("warning")]
    last = lines[-1].removeprefix("cause: ") if lines else "uv gave no reason"
    return f"nobody tells advisories ({last}); this needs the network: try where there is one"


if __name__ == "__main__":
    sys.exit(main())
