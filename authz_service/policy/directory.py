"""A bundle's directory is read once, into memory; what follows sees only these bytes.

A file that is not what it was when the directory was listed is refused: half of an old and half
of a new policy is a policy that nobody wrote.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from authz_service.policy.findings import Findings, Place, shown
from authz_service.policy.rows import BundleFile

MAX_FILE_BYTES = 1024 * 1024
"""How large one file of a bundle may be."""
MAX_CASE_FILES = 200
"""How many files of cases a bundle may have."""

REQUIRED = ("model.conf", "rules.csv", "roles.csv", "groups.csv")
"""The files that every bundle has; the last two may be empty."""
CASES = "cases"
"""The directory of a bundle's own golden decisions; a bundle may lack it."""
CALLERS = "callers.csv"
"""Lies beside a bundle and is none of its files: who may call is not what is allowed."""

_POLICY_SUFFIXES = frozenset({".csv", ".conf", ".yaml", ".yml"})

Reader = Callable[[Path], bytes]
"""Reads one regular file, at most one byte more than `MAX_FILE_BYTES`."""

_Stamp = tuple[int, int, int, int]


def read_regular_file(path: Path) -> bytes:
    """Return the bytes of *path*, at most one more than `MAX_FILE_BYTES`. Never waits for a pipe.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(None, "not a regular file")
        return file.read(MAX_FILE_BYTES + 1)


def read_directory(
    directory: Path, findings: Findings, read: Reader = read_regular_file
) -> tuple[BundleFile, ...]:
    """Return the files of the bundle in *directory*, sorted by name.

    Names that begin with a dot, and files that are no policy by their ending, are passed over;
    a file that looks like a policy and is none of a bundle's is refused.
    """
    before = _listing(directory, findings)
    files = [_file(directory, name, read, findings) for name in sorted(before)]
    if before and _listing(directory, Findings()) != before:
        hint = "wait until it is written whole, then load it again"
        findings.invalid(Place(""), "the bundle changed while it was read", hint)
    return tuple(file for file in files if file is not None)


def _file(directory: Path, name: str, read: Reader, findings: Findings) -> BundleFile | None:
    """Return one file, or None where it was refused."""
    try:
        content = read(directory / name)
    except OSError as wrong:
        _refuse_unreadable(name, wrong, findings)
        return None
    if len(content) > MAX_FILE_BYTES:
        message = f"the file has more than {MAX_FILE_BYTES} bytes"
        findings.invalid(Place(name), message, "a policy is small; is this the right file?")
        return None
    return BundleFile(name, content)


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
            _refuse_unreadable(name, wrong, findings)
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
        _refuse_unreadable(name, wrong, findings)
        return None


def _looks_like_policy(name: str) -> bool:
    """Whether a file called *name* claims to be part of a policy."""
    return Path(name).suffix.casefold() in _POLICY_SUFFIXES


def _refuse_unreadable(name: str, wrong: OSError, findings: Findings) -> None:
    """Refuse what the system does not let us read."""
    cause = wrong.strerror or shown(str(wrong))
    hint = "check that it is there, is a plain file, and that the service may read it"
    findings.invalid(Place(name), f"cannot be read: {cause.lower()}", hint)
