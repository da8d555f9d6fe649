"""A worker's end of the pipe: it does what the parent orders, and asks the parent to reload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count

import structlog

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.ports import Clock, PolicyAttempt
from authz_service.operations.reload_policy import PreparedPolicy, ReloadOrder, ReloadPolicy
from authz_service.pdp.errors import (
    AuthzError,
    JournalUnavailableError,
    PolicyNotReadyError,
)
from authz_service.policy.bundle import BundleFiles
from authz_service.policy.source import FilesSource
from authz_service.supervision.pipe import (
    Message,
    Pipe,
    files_of,
    order_of,
    plain_order,
    problems_of,
    told_on,
)

log = structlog.get_logger(__name__)

_ENDS = "the service is about to end"


class ParentLostError(AuthzError):
    """The parent is gone, or wants this worker to end."""


class Membership:
    """What makes a process one of several workers. For one event loop.

    Attributes:
        source: The bundle with which this worker starts: what the parent gave it.
        stopping: Set once this worker has to drain: by the parent's order, or without a parent.
        lost: Set once there is no parent any more.
    """

    def __init__(self, pipe: Pipe, files: BundleFiles, clock: Clock) -> None:
        """Speak over *pipe*; start with *files*."""
        self.source = FilesSource(files)
        self.stopping = asyncio.Event()
        self.lost = asyncio.Event()
        self._pipe = pipe
        self._clock = clock
        self._policy: tuple[ReloadPolicy, ActivePolicy] | None = None
        self._prepared: PreparedPolicy | None = None
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._serve = asyncio.Event()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}

    async def attend(self, reasons: Callable[[], Mapping[str, str]]) -> None:
        """Do what the parent orders until it is gone; *reasons* are what health says."""
        obeying = asyncio.create_task(self._obey())
        obeying.add_done_callback(self._obeyed)
        while (message := await self._pipe.receive()) is not None:
            match message["kind"]:
                case "ping":
                    self._pipe.send("pong", reasons=dict(reasons()), revision=self._revision())
                case "serve":
                    self._serve.set()
                case "drain":
                    self.stopping.set()
                case "reloaded":
                    self._answered(message)
                case _:
                    self._orders.put_nowait(message)
        obeying.cancel()
        self.lost.set()
        self.stopping.set()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result({"error": "unready", "why": str(PolicyNotReadyError(_ENDS))})

    async def admitted(self, reload_policy: ReloadPolicy, active: ActivePolicy) -> None:
        """Return once this worker is at the revision in force and may serve.

        Raises:
            ParentLostError: It has to end instead.
        """
        self._policy = reload_policy, active
        self._pipe.send("opened", revision=active.revision)
        waits = [asyncio.create_task(each.wait()) for each in (self._serve, self.stopping)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self._serve.is_set():
            raise ParentLostError("the service ends before this worker has begun")

    async def reload(self, order: ReloadOrder) -> PolicyAttempt:
        """Have the parent reload all workers. As `operations.reload_policy.Reload`."""
        if self.lost.is_set():
            raise PolicyNotReadyError(_ENDS)
        number = next(self._numbers)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        self._pipe.send("reload", number=number, **plain_order(order))
        try:
            message = await asked
        finally:
            del self._asked[number]
        if message["error"] == "unrecorded":
            raise told_on(JournalUnavailableError, message["why"])
        if message["error"]:
            raise told_on(PolicyNotReadyError, message["why"])
        problems = problems_of(message["problems"])
        return PolicyAttempt(self._clock.now(), message["outcome"], problems)

    def _revision(self) -> str:
        """Return the revision in force here, or an empty text."""
        return self._policy[1].revision if self._policy else ""

    def _answered(self, message: Message) -> None:
        """Hand on what became of a reload that was asked for here."""
        asked = self._asked.get(message["number"])
        if asked is not None and not asked.done():
            asked.set_result(message)

    async def _obey(self) -> None:
        """Do what is ordered, one order after the other, and say so."""
        while True:
            message = await self._orders.get()
            said = await self._done(message)
            self._pipe.send("answer", number=message["number"], **said)

    def _obeyed(self, obeying: asyncio.Task[None]) -> None:
        """Have this worker start anew where a bug ended its obedience, and say which."""
        if not obeying.cancelled() and (bug := obeying.exception()) is not None:
            log.error("order_failed", exc_info=bug)
        self.stopping.set()

    async def _done(self, message: Message) -> Message:
        """Do one order; return what there is to say."""
        if self._policy is None:
            return {}
        reload_policy, active = self._policy
        if message["kind"] == "prepare":
            return await self._prepare(reload_policy, message)
        if message["kind"] == "hold":
            active.hold()
            return {}
        prepared, self._prepared = self._prepared, None
        if message["kind"] == "conclude" and prepared is not None:
            reload_policy.conclude(prepared)
        active.release()
        if message["kind"] == "abandon" and prepared is not None:
            try:
                await reload_policy.abandon(prepared, message["why"])
            except JournalUnavailableError as error:
                log.warning("policy_not_abandoned_on_record", why=str(error))
        return {}

    async def _prepare(self, reload_policy: ReloadPolicy, message: Message) -> Message:
        """Prepare what the parent read."""
        order, source = order_of(message["order"]), FilesSource(files_of(message["files"]))
        try:
            prepared = self._prepared = await reload_policy.prepare(order, source)
        except JournalUnavailableError as error:
            return {"outcome": "unrecorded", "why": str(error)}
        attempt = prepared.attempt
        return {
            "outcome": attempt.outcome,
            "revision": prepared.revision,
            "problems": attempt.problems,
        }
