"""A file system that fails on demand, and what tests of the journal append to it."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

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
from tests.unit.audit.simulated_disk import Disk, State
from tests.unit.audit.torn_writes import Torn, brief_tears

T = TypeVar("T")

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
        CallContext("loopback", f"request-{number}", None, "cd" * 32),
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
        fails_late: Whether what fails is done all the same; a sync that fails never is.
        lies: Which of ``sync`` and ``sync_directory`` return as if they had been done.
        space_bytes: How much can still be written; None for no end.
        torn_bytes: How much of a failing write reaches the file.
        on_sync: Called before each sync.
        syncs: Whether to sync for real.
        disk: Told of everything; knows what a power cut would leave.
        cut_before: At which operation, counted over all from 1, the power goes, undone.
        cut_after: At which operation the power goes once it is done, but before it returns.
        is_off: Whether the power is gone; then nothing is done any more.
        calls: How often each operation was called.
        failures: How many of the calls failed.
    """

    fail_at: dict[tuple[str, int], int] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    fails_late: bool = False
    lies: frozenset[str] = frozenset()
    space_bytes: int | None = None
    torn_bytes: int = 0
    on_sync: Callable[[], None] | None = None
    syncs: bool = False
    disk: Disk | None = None
    cut_before: int = 0
    cut_after: int = 0
    is_off: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    synced_after_failure: list[int] = field(default_factory=list)
    _real: LocalFiles = field(default_factory=LocalFiles)
    _failed: set[int] = field(default_factory=set)

    def create(self, path: Path) -> int:
        return self._done("create", lambda: self._opened(self._real.create(path), path))

    def reopen(self, path: Path) -> int:
        return self._done("reopen", lambda: self._opened(self._real.reopen(path), path))

    def write(self, descriptor: int, content: bytes) -> None:
        def effect() -> None:
            self._written(descriptor, content)

        def failed(reached: int) -> None:
            self._failed.add(descriptor)
            self._written(descriptor, content[:reached])

        if self.space_bytes is not None and not self.is_off:
            if len(content) > self.space_bytes:
                self.calls["write"] += 1
                failed(self.space_bytes)
                raise self._failure(errno.ENOSPC)
            self.space_bytes -= len(content)
        self._done("write", effect, lambda: failed(self.torn_bytes))

    def write_at(self, descriptor: int, content: bytes, offset: int) -> None:
        def effect() -> None:
            self._real.write_at(descriptor, content, offset)
            if self.disk is not None:
                self.disk.wrote(descriptor, content, offset)

        self._done("write_at", effect)

    def sync(self, descriptor: int) -> None:
        if self.on_sync is not None:
            self.on_sync()
        if descriptor in self._failed:
            self.synced_after_failure.append(descriptor)

        def effect() -> None:
            if self.syncs:
                self._real.sync(descriptor)
            if self.disk is not None and "sync" not in self.lies:
                self.disk.synced(descriptor)

        def failed() -> None:
            self._failed.add(descriptor)
            if self.disk is not None:
                self.disk.synced(descriptor, failed=True)

        self._done("sync", effect, failed)

    def is_at(self, descriptor: int, path: Path) -> bool:
        return self._real.is_at(descriptor, path)

    def close(self, descriptor: int) -> None:
        self._real.close(descriptor)

    def truncate(self, path: Path, size_bytes: int) -> None:
        def effect() -> None:
            self._real.truncate(path, size_bytes)
            if self.disk is not None:
                self.disk.truncated(path, size_bytes)

        self._done("truncate", effect)

    def rename(self, path: Path, to: Path) -> None:
        def effect() -> None:
            self._real.rename(path, to)
            if self.disk is not None:
                self.disk.renamed(path, to)

        self._done("rename", effect)

    def remove(self, path: Path) -> None:
        def effect() -> None:
            self._real.remove(path)
            if self.disk is not None:
                self.disk.removed(path)

        self._done("remove", effect)

    def sync_directory(self, directory: Path) -> None:
        def effect() -> None:
            if self.disk is not None and "sync_directory" not in self.lies:
                self.disk.directory_synced(directory)

        self._done("sync_directory", effect, lambda: None)

    def free_bytes(self, directory: Path) -> int:
        return 1 << 40 if self.space_bytes is None else self.space_bytes

    def left_behind(self, torn: Torn = brief_tears) -> list[State]:
        """Return what a power cut may leave now."""
        return [] if self.disk is None else self.disk.states(torn)

    def _done(
        self, operation: str, effect: Callable[[], T], failed: Callable[[], None] | None = None
    ) -> T:
        """Count *operation* and return what it makes; or fail, or lose the power.

        Args:
            operation: Its name.
            effect: What it does.
            failed: What is left of it where it fails; by default all or nothing.
        """
        if self.is_off:
            raise self._failure(errno.EIO)
        self.calls[operation] += 1
        count = self.calls.total()
        if count == self.cut_before:
            self.is_off = True
            raise self._failure(errno.EIO)
        number = self.broken.get(operation) or self.fail_at.get((operation, self.calls[operation]))
        if number is not None:
            if failed is not None:
                failed()
            elif self.fails_late:
                effect()
            raise self._failure(number)
        made = effect()
        if count == self.cut_after:
            self.is_off = True
            raise self._failure(errno.EIO)
        return made

    def _failure(self, number: int) -> OSError:
        """Count a failure, and return it."""
        self.failures += 1
        return OSError(number, os.strerror(number))

    def _written(self, descriptor: int, content: bytes) -> None:
        """Let *content* reach the file."""
        self._real.write(descriptor, content)
        if self.disk is not None:
            self.disk.wrote(descriptor, content)

    def _opened(self, descriptor: int, path: Path) -> int:
        """Note that a descriptor's number stands for another file now."""
        self._failed.discard(descriptor)
        if self.disk is not None:
            self.disk.opened(descriptor, path)
        return descriptor
