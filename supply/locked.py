"""What is locked: names, versions, hashes, and who asked for it, out of a requirements file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = ROOT / "requirements.lock"
"""All that the service itself needs."""
OURSELVES = "authz-service"

_PIN = re.compile(r"([a-z0-9][\w.-]*)(?:\[[\w,-]*\])?==([\w.!+-]+)(?: *; *([^\\]*?))? *\\?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"# +(?:via +)?([a-z0-9][\w.-]*)(?: \(.*\))?")


class LockError(Exception):
    """A file of locked requirements is not as it has to be; the message names the line."""


class Locked(NamedTuple):
    """One package.

    Attributes:
        name: Its name, normalised.
        version: The one version.
        hashes: SHA-256 of each file that may be installed, in hex, sorted.
        asked_by: The packages that need it; `OURSELVES` where we do.
        marker: Where it is needed; empty for everywhere.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    asked_by: tuple[str, ...]
    marker: str


def read_lock(path: Path) -> list[Locked]:
    """Return the packages that *path* locks, by name.

    Raises:
        LockError: A line is of no known form, or a package has no hash.
        OSError: The file cannot be read.
    """
    found = [_locked(block, path) for block in _blocks(path)]
    return sorted(found, key=lambda one: one.name)


def _blocks(path: Path) -> Iterator[list[str]]:
    """Yield the lines of each package: its pin, then its hashes, then who asked for it."""
    block: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")) and block:
            yield block
            block = []
        if line.strip() and (block or not line.startswith("#")):
            block.append(line.strip())
    if block:
        yield block


def _locked(block: list[str], path: Path) -> Locked:
    """Return the package of one block.

    Raises:
        LockError: The block is of no known form.
    """
    pin = _PIN.fullmatch(block[0])
    if pin is None:
        raise LockError(f"{path.name}: {block[0]!r} is no pinned requirement; run make lock")
    hashes = sorted(one for line in block for one in _HASH.findall(line))
    if not hashes:
        raise LockError(f"{path.name}: {pin[1]} has no hash; run make lock")
    asked = (_VIA.fullmatch(line) for line in block[1:])
    asked_by = sorted(match[1] for match in asked if match and match[1] != "via")
    return Locked(pin[1], pin[2], tuple(hashes), tuple(asked_by), (pin[3] or "").strip())
