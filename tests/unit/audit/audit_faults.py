"""A file system that fails on demand, and what tests of the journal append to it."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from authz_service.audit.files import LocalFiles
from authz_service.audit.journal import JournalOptions
from authz_service.audit.segment import Origin
from authz_service.operations.records import CallContext, DecisionRecord
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Condition,
    Decision,
    Effect,
    Evidence,
    Instant,
    PurposeOfUse,
    Reason,
    Relation,
    Situation,
)

NOON = datetime(2020, 6, 9, 12, 0, 0, 250_000, tzinfo=UTC)
QUICK = JournalOptions(first_retry_seconds=0.005, last_retry_seconds=0.02, reserve_bytes=0)


class StoppedClock:
    """Time stands still."""

    def now(self) -> Instant:
        return NOON


ORIGIN = Origin(StoppedClock(), "0.1.0")


def decision_record(number: int) -> DecisionRecord:
    """Return a decision that its id tells from others."""
    return DecisionRecord(
        f"decision-{number}",
        NOON,
        CallContext("loopback", f"request-{number}"),
        AccessRequest("ana", "ra1", Action.VIEW, PurposeOfUse.PATRQT, "uk-nhs"),
        Decision(
            Effect.ALLOW,
            Reason.RULE_ALLOWED,
            "own-recording",
            (),
            "ana",
            Situation(
                frozenset({"patient"}),
                frozenset({Relation.OWNER}),
                Action.VIEW,
                PurposeOfUse.PATRQT,
                frozenset({Condition.RECENT_AUTHENTICATION, Condition.MFA}),
            ),
            (
                (
                    Relation.OWNER,
                    (Evidence("recording", "ra1", 7), Evidence("consultation", "ca1", 5)),
                ),
            ),
        ),
        "ab" * 32,
        9,
        412,
    )


@dataclass(slots=True)
class FaultyFiles:
    """The operating system's files, with faults put in.

    Attributes:
        fail_at: Operation and count, from 1, to the errno of the failure.
        broken: Operation to the errno of its every failure, until taken out.
        space_bytes: How much can still be written; None for no end.
        torn_bytes: How much of a failing write reaches the file.
        on_sync: Called before each sync.
        syncs: Whether to sync for real.
        calls: How often each operation was called.
    """

    fail_at: dict[tuple[str, int], int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    space_bytes: int | None = None
    torn_bytes: int = 0
    on_sync: Callable[[], None] | None = None
    syncs: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    synced_after_failure: list[int] = field(default_factory=list)
    _real: LocalFiles = field(default_factory=LocalFiles)
    _failed: set[int] = field(default_factory=set)

    def create(self, path: Path) -> int:
        self._may("create")
        return self._opened(self._real.create(path))

    def reopen(self, path: Path) -> int:
        self._may("reopen")
        return self._opened(self._real.reopen(path))

    def write(self, descriptor: int, content: bytes) -> None:
        try:
            self._may("write")
            self._take_space(len(content))
        except OSError:
            self._failed.add(descriptor)
            self._real.write(descriptor, content[: self.torn_bytes])
            raise
        self._real.write(descriptor, content)

    def write_at(self, descriptor: int, content: bytes, offset: int) -> None:
        self._may("write_at")
        self._real.write_at(descriptor, content, offset)

    def sync(self, descriptor: int) -> None:
        if self.on_sync is not None:
            self.on_sync()
        if descriptor in self._failed:
            self.synced_after_failure.append(descriptor)
        try:
            self._may("sync")
        except OSError:
            self._failed.add(descriptor)
            raise
        if self.syncs:
            self._real.sync(descriptor)

    def is_at(self, descriptor: int, path: Path) -> bool:
        return self._real.is_at(descriptor, path)

    def close(self, descriptor: int) -> None:
        self._real.close(descriptor)

    def truncate(self, path: Path, size_bytes: int) -> None:
        self._may("truncate")
        self._real.truncate(path, size_bytes)

    def rename(self, path: Path, to: Path) -> None:
        self._may("rename")
        self._real.rename(path, to)

    def remove(self, path: Path) -> None:
        self._may("remove")
        self._real.remove(path)

    def sync_directory(self, directory: Path) -> None:
        self._may("sync_directory")

    def free_bytes(self, directory: Path) -> int:
        return 1 << 40 if self.space_bytes is None else self.space_bytes

    def _opened(self, descriptor: int) -> int:
        """Note that a descriptor's number stands for another file now."""
        self._failed.discard(descriptor)
        return descriptor

    def _may(self, operation: str) -> None:
        """Count *operation*, and fail where a fault was put in."""
        self.calls[operation] += 1
        number = self.broken.get(operation) or self.fail_at.get((operation, self.calls[operation]))
        if number is not None:
            raise OSError(number, os.strerror(number))

    def _take_space(self, size_bytes: int) -> None:
        """Use up space, and fail where there is none."""
        if self.space_bytes is None:
            return
        if size_bytes > self.space_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.space_bytes -= size_bytes
