"""What a journal asks of a file system, so that every failure of one can be played in a test."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_sync = getattr(os, "fdatasync", os.fsync)  # where there is no fdatasync, fsync does more


class Files(Protocol):
    """File operations of one journal. Every method may raise `OSError`, and blocks."""

    def create(self, path: Path) -> int:
        """Make a new file that must not exist, mode 0600, and return a descriptor to append."""
        ...

    def reopen(self, path: Path) -> int:
        """Return a descriptor that writes to an existing file, at its beginning."""
        ...

    def write(self, descriptor: int, content: bytes) -> None:
        """Write the whole of *content*, or raise; part of it may then be in the file."""
        ...

    def write_at(self, descriptor: int, content: bytes, offset: int) -> None:
        """Write the whole of *content* at *offset* of a file from `reopen`."""
        ...

    def sync(self, descriptor: int) -> None:
        """Bring what was written through *descriptor* to stable storage (fdatasync)."""
        ...

    def is_at(self, descriptor: int, path: Path) -> bool:
        """Whether the file behind *descriptor* is still the one that *path* names."""
        ...

    def close(self, descriptor: int) -> None:
        """Close *descriptor*; never raises."""
        ...

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Cut the file at *path* to *size_bytes*."""
        ...

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name in the same directory."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file; one that does not exist is passed over."""
        ...

    def sync_directory(self, directory: Path) -> None:
        """Bring the names in *directory* to stable storage."""
        ...

    def free_bytes(self, directory: Path) -> int:
        """Return how much space the file system of *directory* has left for this user."""
        ...


class LocalFiles:
    """The operating system's own file operations."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def reopen(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY)

    def write(self, descriptor: int, content: bytes) -> None:
        written = os.write(descriptor, content)
        while written < len(content):
            written += os.write(descriptor, memoryview(content)[written:])

    def write_at(self, descriptor: int, content: bytes, offset: int) -> None:
        os.lseek(descriptor, offset, os.SEEK_SET)
        self.write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        _sync(descriptor)

    def is_at(self, descriptor: int, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), path.stat())
        except FileNotFoundError:
            return False

    def close(self, descriptor: int) -> None:
        with suppress(OSError):
            os.close(descriptor)

    def truncate(self, path: Path, size_bytes: int) -> None:
        os.truncate(path, size_bytes)

    def rename(self, path: Path, to: Path) -> None:
        path.rename(to)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_directory(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, directory: Path) -> int:
        state = os.statvfs(directory)
        return state.f_bavail * state.f_frsize
