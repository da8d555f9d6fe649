"""One file that people edit is read once, whole, or refused. Never waits for a pipe."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from authz_service.tables.findings import Findings, Place, shown

MAX_FILE_BYTES = 1024 * 1024
"""How large one file may be."""

Reader = Callable[[Path], bytes]
"""Reads one regular file, at most one byte more than `MAX_FILE_BYTES`."""


def read_regular_file(path: Path) -> bytes:
    """Return the bytes of *path*, at most one more than `MAX_FILE_BYTES`. Never waits for a pipe.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    return read_with_mode(path)[0]


def read_with_mode(path: Path) -> tuple[bytes, int]:
    """Return the bytes of *path*, as `read_regular_file` does, and the mode of just that file.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):  # said here: to make a file object of it would lose the descriptor
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(None, "not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES + 1), mode
    finally:
        os.close(descriptor)


def read_file(
    path: Path, name: str, findings: Findings, read: Reader = read_regular_file
) -> bytes | None:
    """Return what the file at *path*, called *name*, holds, or None where it was refused."""
    try:
        content = read(path)
    except OSError as wrong:
        refuse_unreadable(name, wrong, findings)
        return None
    return None if is_too_large(name, content, findings) else content


def is_too_large(name: str, content: bytes, findings: Findings) -> bool:
    """Whether *content* was refused for its size."""
    if len(content) <= MAX_FILE_BYTES:
        return False
    message = f"the file has more than {MAX_FILE_BYTES} bytes"
    findings.invalid(Place(name), message, "such a file is small; is this the right one?")
    return True


def refuse_unreadable(name: str, wrong: OSError, findings: Findings) -> None:
    """Refuse what the system does not let us read."""
    cause = wrong.strerror or shown(str(wrong))
    hint = "check that it is there, is a plain file, and that the service may read it"
    findings.invalid(Place(name), f"cannot be read: {cause.lower()}", hint)
