"""A journal's directory: its names, its identity, and the lock that keeps a second writer out.

::

    journal.id                    the journal's UUID, made with the directory
    lock                          held by the one writer
    segment-00000001.jsonl        and so on; `chain.py` says what is in them
    segment-00000001.jsonl.torn   what a start cut off, kept
"""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from itertools import count
from pathlib import Path
from typing import Self

from authz_service.audit.files import Files
from authz_service.pdp.errors import JournalInUseError, JournalUnavailableError

_NAME = re.compile(r"segment-(\d{8,})\.jsonl")
_ID_NAME, _LOCK_NAME = "journal.id", "lock"


def segment_path(directory: Path, number: int) -> Path:
    """Return where segment *number* of the journal in *directory* lies."""
    return directory / f"segment-{number:08d}.jsonl"


def segment_numbers(directory: Path) -> list[int]:
    """Return the numbers of the segments in *directory*, in order.

    Raises:
        OSError: The directory cannot be read.
    """
    found = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    return sorted(int(match[1]) for match in found if match)


def torn_paths(directory: Path) -> list[Path]:
    """Return the torn ends that starts have cut off and kept."""
    return sorted(directory.glob("segment-*.jsonl.torn*"))


def free_torn_path(segment: Path) -> Path:
    """Return a name, not taken yet, under which to keep a torn end of *segment*."""
    for number in count(1):
        path = segment.with_name(f"{segment.name}.torn" + (f"-{number}" if number > 1 else ""))
        if not path.exists():
            return path
    raise AssertionError  # pragma: no cover  # counting does not end


def make_directory(files: Files, directory: Path, mode: int = 0o700) -> None:
    """Make *directory* where there is none, and bring its name to the disk in any case.

    Whoever made it may have been stopped before that, and all that is in a directory is lost
    with its name. Directories above it are made likewise, each on the disk before the next.

    Raises:
        OSError: It cannot be made, or something else has its name.
    """
    is_made = not directory.is_dir()
    if is_made:
        make_directory(files, directory.parent, 0o777)
        directory.mkdir(mode)
    try:
        files.sync_directory(directory.parent)
    except PermissionError:  # above what is ours there may be directories that we may not read
        if is_made:
            raise


def journal_id(files: Files, directory: Path) -> str:
    """Return the id of the journal in *directory*; make one where there is no journal yet.

    Raises:
        JournalUnavailableError: There are segments but no id, or the id is not a UUID.
        OSError: The directory cannot be read or written.
    """
    path = directory / _ID_NAME
    if path.exists():
        return read_journal_id(directory)
    if segment_numbers(directory):
        raise JournalUnavailableError(
            f"{path} is missing beside segments; put back the file, which holds the id that "
            "each segment's first line names"
        )
    made = str(uuid.uuid4())
    draft = directory / f"{_ID_NAME}.new"
    files.remove(draft)
    descriptor = files.create(draft)
    try:
        files.write(descriptor, f"{made}\n".encode())
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(draft, path)
    files.sync_directory(directory)
    return made


def read_journal_id(directory: Path) -> str:
    """Return the id of the journal that lies in *directory*.

    Raises:
        JournalUnavailableError: The id is not a UUID.
        OSError: It cannot be read.
    """
    path = directory / _ID_NAME
    text = path.read_bytes().strip()
    try:
        return str(uuid.UUID(text.decode("ascii")))
    except ValueError:
        raise JournalUnavailableError(
            f"{path} does not hold a UUID; put back the id that each segment's first line names"
        ) from None


class WriterLock:
    """The right to write one journal; it ends with the process at the latest."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Hold the lock behind *descriptor*; made by `take`."""
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> Self:
        """Return the lock on the journal in *directory*.

        Raises:
            JournalInUseError: Somebody else holds it, in this process or in another.
            OSError: The lock file cannot be made.
        """
        path = directory / _LOCK_NAME
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise JournalInUseError(
                f"another writer holds the journal in {directory}; give each replica and each "
                "worker a journal directory of its own"
            ) from None
        return cls(path, descriptor)

    def still_holds(self) -> bool:
        """Whether the file that is locked is still the one in the directory."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Let the next writer in."""
        os.close(self._descriptor)
