"""A bundle's directory is read once, into memory; what follows sees only these bytes.

A file that is not what it was when the directory was listed is refused: half of an old and half
of a new policy is a policy that nobody wrote.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from authz_service.tables.findings import Findings, Place
from authz_service.tables.reading import Reader, read_file, read_regular_file, refuse_unreadable

MAX_CASE_FILES = 200
"""How many files of cases a bundle may have."""

REQUIRED = ("model.conf", "rules.csv", "roles.csv", "groups.csv")
"""The files that every bundle has; the last two may be empty."""
CASES = "cases"
"""The directory of a bundle's own golden decisions; a bundle may lack it."""
CALLERS = "callers.csv"
"""Lies beside a bundle and is none of its files: who may call is not what is allowed."""

_POLICY_SUFFIXES = frozenset({".csv", ".conf", ".yaml", ".yml"})

_Stamp = tuple[int, int, int, int]


class BundleFile(NamedTuple):
    """One file of a bundle, as it was read.

    Attributes:
        name: Its path relative to the bundle, with forward slashes.
        content: Its bytes, all of them.
    """

    name: str
    content: bytes


def read_directory(
    directory: Path, findings: Findings, read: Reader = read_regular_file
) -> tuple[BundleFile, ...]:
    """Return the files of the bundle in *directory*, sorted by name.

    Names that begin with a dot, and files that are no policy by their ending, are passed over;
    a file that looks like a policy and is none of a bundle's is refused.
    """
    before = _listing(directory, findings)
    files = [(name, read_file(directory / name, name, findings, read)) for name in sorted(before)]
    if before and _listing(directory, Findings()) != before:
        hint = "wait until it is written whole, then load it again"
        findings.invalid(Place(""), "the bundle changed while it was read", hint)
    return tuple(BundleFile(name, content) for name, content in files if content is not None)


def _listing(directory: Path, findings: Findings) -> Mapping[str, _Stamp]:
    """Return the names of the bundle's files, each with a stamp that changes as the file does."""
    found: dict[str, _Stamp] = {}
    entries = _entries(directory, "", findings)
    if entries is None:
        return found
    for name in _bundle_names(directory, entries, findings):
        try:
            status = (directory / name).stat()
        except OSError as wrong:
            refuse_unreadable(name, wrong, findings)
            continue
        found[name] = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return found


def _bundle_names(directory: Path, entries: list[str], findings: Findings) -> Iterator[str]:
    """Yield the names of the bundle's files, refusing what is missing and what is unknown."""
    for name in REQUIRED:
        if name in entries:
            yield name
        else:
            hint = f"a bundle has {', '.join(REQUIRED)}; is this the right directory?"
            findings.invalid(Place(name), "the file is missing", hint)
    for name in entries:
        if _looks_like_policy(name) and name not in (*REQUIRED, CALLERS):
            close = difflib.get_close_matches(name.casefold(), REQUIRED, n=1)
            hint = f"did you mean {close[0]}?" if close else "rename it, or move it elsewhere"
            findings.invalid(Place(name), "a bundle has no such file", hint)
    if CASES in entries:
        yield from _case_names(directory, findings)


def _case_names(directory: Path, findings: Findings) -> Iterator[str]:
    """Yield the names of the files of cases, refusing what would not be run."""
    names = _entries(directory / CASES, CASES, findings) or []
    yaml = [f"{CASES}/{name}" for name in names if name.endswith(".yaml")]
    if len(yaml) > MAX_CASE_FILES:
        message = f"there are more than {MAX_CASE_FILES} files of cases"
        findings.invalid(Place(CASES), message, "put cases of one theme into one file")
    yield from yaml[:MAX_CASE_FILES]
    for name in names:
        place = Place(f"{CASES}/{name}")
        if (directory / CASES / name).is_dir():
            findings.invalid(place, "cases have no directories", "move the files one level up")
        elif _looks_like_policy(name) and not name.endswith(".yaml"):
            findings.invalid(place, "the file would not be run", "files of cases end in .yaml")


def _entries(directory: Path, name: str, findings: Findings) -> list[str] | None:
    """Return what *directory* holds, hidden names left out, or None where it cannot be listed."""
    try:
        return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as wrong:
        refuse_unreadable(name, wrong, findings)
        return None


def _looks_like_policy(name: str) -> bool:
    """Whether a file called *name* claims to be part of a policy."""
    return Path(name).suffix.casefold() in _POLICY_SUFFIXES
