"""A callers file that has changed is put in force in one step, or the last good one stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from authz_service.identity.callers import ActiveCallers, Callers
from authz_service.identity.callers_file import parse_callers, read_callers, revision_of
from authz_service.operations.ports import Clock, Journal
from authz_service.operations.records import EventRecord
from authz_service.pdp.errors import CallersRefusedError, JournalUnavailableError, PolicyProblem
from authz_service.pdp.model import Instant
from authz_service.tables.reading import read_regular_file

log = structlog.get_logger(__name__)

_SHOWN_PROBLEMS = 10
_AGAIN_SECONDS = 1.0
_EVENTS = {"activated": "callers_activated", "unchanged": "callers_unchanged"}


class CallersObserver(Protocol):
    """Hears of every reading of the callers file."""

    def callers_loaded(self, outcome: str, revision: str) -> None:
        """Count one reading; *revision* is the one in force afterwards. Must not raise."""
        ...


class CallersFile(NamedTuple):
    """Where the callers are, and what a file of them has to be good for.

    Attributes:
        path: The file.
        rpcs: The RPCs that there are.
        plaintext: Whether the one caller is `LOOPBACK`.
    """

    path: Path
    rpcs: frozenset[str]
    plaintext: bool

    def read(self) -> Callers:
        """Return the callers that the file has now. Blocks.

        Raises:
            CallersRefusedError: It is defective; the error holds every defect.
        """
        return read_callers(self.path, self.rpcs, plaintext=self.plaintext)

    def judge(self, content: bytes) -> Callers | CallersRefusedError:
        """Return the callers of *content*, or every defect of it. Blocks."""
        try:
            return parse_callers(str(self.path), content, self.rpcs, plaintext=self.plaintext)
        except CallersRefusedError as refused:
            return refused

    def no_longer_holds(self, content: bytes) -> bool:
        """Whether the file can be read and holds something else. Blocks."""
        try:
            return read_regular_file(self.path) != content
        except OSError:
            return False


class RefusedFile(NamedTuple):
    """A file that was not put in force.

    Attributes:
        at: When it was read.
        revision: Its revision.
        problems: What is wrong with it.
    """

    at: Instant
    revision: str
    problems: tuple[PolicyProblem, ...]


class ReloadCallers:
    """Replaces the callers in force, one reading at a time. For one event loop.

    Attributes:
        active: The callers in force.
        since: Since when they are.
        refused: The file as it was read last, where it was refused.
    """

    def __init__(
        self,
        file: CallersFile,
        active: ActiveCallers,
        *,
        journal: Journal,
        clock: Clock,
        observer: CallersObserver,
    ) -> None:
        """Replace what is in *active* by what *file* holds later."""
        self._file = file
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self.active = active
        self.since = clock.now()
        self.refused: RefusedFile | None = None

    async def begin(self) -> None:
        """Record with which callers the service starts; they are in force already.

        Raises:
            JournalUnavailableError: It could not be recorded.
        """
        callers = self.active.current
        await self._record_reload("start", Callers("", {}), callers)
        self._observer.callers_loaded("activated", callers.revision)
        _warn_of(callers)

    async def take(self, content: bytes) -> None:
        """Put in force what the file holds now, or refuse it; returns once that is recorded.

        While the journal cannot write nothing changes, and it is tried again until the file holds
        something else. Nobody is answered by the old callers meanwhile: no record, no answer.
        """
        judged, failures = await asyncio.to_thread(self._file.judge, content), 0
        while True:
            try:
                return await self._conclude(judged, content)
            except JournalUnavailableError as error:
                if not failures:
                    self._observer.callers_loaded("unrecorded", self.active.current.revision)
                    log.warning("callers_not_reloaded", why=str(error))
                failures += 1
            await asyncio.sleep(_AGAIN_SECONDS)
            if await asyncio.to_thread(self._file.no_longer_holds, content):
                return None

    async def _conclude(self, judged: Callers | CallersRefusedError, content: bytes) -> None:
        """Record what becomes of *content*, then let it have its effect."""
        if isinstance(judged, Callers):
            await self._activate(judged)
        else:
            await self._refuse(judged, revision_of(content))

    async def _activate(self, callers: Callers) -> None:
        """Put *callers* in force, in one step, if they are others."""
        previous = self.active.current
        outcome = "unchanged" if callers.revision == previous.revision else "activated"
        if outcome == "activated":
            await self._record_reload("change", previous, callers)
            self.active.current, self.since = callers, self._clock.now()
        was_refused, self.refused = self.refused, None
        if outcome == "activated" or was_refused:
            self._observer.callers_loaded(outcome, callers.revision)
            log.info(
                _EVENTS[outcome],
                callers_revision=callers.revision,
                previous_revision=previous.revision,
                callers=len(callers.rules),
            )
        if outcome == "activated":
            _warn_of(callers)

    async def _refuse(self, error: CallersRefusedError, revision: str) -> None:
        """Leave in force what is, and say why."""
        problems, in_force = error.problems, self.active.current.revision
        details = (
            ("callers_revision", in_force),
            ("refused_revision", revision),
            ("problems", len(problems)),
        )
        await self._record("callers_file_refused", details)
        self.refused = RefusedFile(self._clock.now(), revision, problems)
        self._observer.callers_loaded("refused", in_force)
        log.error(
            "callers_file_refused",
            callers_revision=in_force,
            refused_revision=revision,
            **_shown(problems),
        )

    async def _record_reload(self, trigger: str, previous: Callers, callers: Callers) -> None:
        """Record that *callers* come after *previous*."""
        both = previous.rules.keys() & callers.rules.keys()
        details = (
            ("trigger", trigger),
            ("callers_revision", callers.revision),
            ("previous_revision", previous.revision),
            ("callers", len(callers.rules)),
            ("added", len(callers.rules) - len(both)),
            ("removed", len(previous.rules) - len(both)),
            ("changed", sum(previous.rules[name] != callers.rules[name] for name in both)),
        )
        await self._record("callers_reloaded", details)

    async def _record(self, event: str, details: tuple[tuple[str, str | int], ...]) -> None:
        """Record an event of the service itself."""
        await self._journal.append((EventRecord(event, self._clock.now(), None, None, details),))


def _warn_of(callers: Callers) -> None:
    """Say what is doubtful about *callers*, which are in force now."""
    if callers.warnings:
        log.warning(
            "callers_doubtful",
            callers_revision=callers.revision,
            count=len(callers.warnings),
            **_shown(callers.warnings),
        )


def _shown(problems: tuple[PolicyProblem, ...]) -> dict[str, list[str]]:
    """Return the first of *problems* as a line of the log has them."""
    first = problems[:_SHOWN_PROBLEMS]
    return {
        "problems": [problem.message for problem in first],
        "places": [f"{problem.file}:{problem.line}" for problem in first],
    }
