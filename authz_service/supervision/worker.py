"""One worker as its parent sees it: a process behind a pipe, asked, watched, killed if it hangs.

What it was asked is answered, or the worker is lost: nothing waits for one that is gone.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import structlog

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.supervision.member import WorkerLostError
from authz_service.supervision.orders import Orders
from authz_service.supervision.pipe import (
    Message,
    Pipe,
    order_of,
    problems_of,
)
from authz_service.supervision.spawning import Spawn, end_of
from authz_service.supervision.standing import Limits, Refusal, Standing

log = structlog.get_logger(__name__)


class Worker(Orders):
    """A running worker. Implements `member.Member`. For one event loop.

    Attributes:
        standing: What is known of it.
        served: Done once it serves; or says why it never will, with a `Refusal`.
        is_hung: Whether it was killed because it did not answer.
        is_given_up: Whether it was told to end because it could not do its work.
    """

    def __init__(
        self,
        number: int,
        begin: Message,
        *,
        on_opened: Callable[[Worker, str], Awaitable[None]],
        on_reload: Callable[[ReloadOrder], Awaitable[Message]],
        limits: Limits | None = None,
    ) -> None:
        """Be worker *number*, told *begin* first.

        Args:
            number: Which one, from 1.
            begin: Its first message.
            on_opened: Called once it could serve, with its revision; returns when it may.
            on_reload: Called when somebody asks it for a reload; returns what became of it.
            limits: When it counts as hung.
        """
        super().__init__()
        self._number = number
        self._begin = begin
        self._on_opened = on_opened
        self._on_reload = on_reload
        self._limits = limits or Limits()
        self.standing = Standing()
        self.served: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self.is_hung = self.is_given_up = False
        self._popen: subprocess.Popen[bytes] | None = None
        self._is_draining = False
        self._ended = asyncio.Event()
        self._unfit_since: float | None = None
        self._heard_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def number(self) -> int:
        return self._number

    @property
    def pid(self) -> int:
        """The process; 0 where there is none."""
        return self._popen.pid if self._popen and not self._is_gone else 0

    @property
    def is_fit(self) -> bool:
        return self.standing.state != "not_serving"

    @property
    def unfit_seconds(self) -> float:
        """How long it has been unable to answer."""
        return 0.0 if self._unfit_since is None else monotonic() - self._unfit_since

    async def live(self, spawn: Spawn) -> int:
        """Start the process and attend to it until it has ended; return its exit code.

        Raises:
            OSError: The process could not be started.
        """
        try:
            self._popen, sock = spawn(self._number)
        except OSError:
            self._lose()
            raise
        ended = end_of(self._popen)
        self._pipe = await Pipe.over(sock)
        self._pipe.send("begin", **self._begin)
        if self._is_draining:
            self._pipe.send("drain")
        watching = asyncio.create_task(self._watch())
        try:
            while (message := await self._pipe.receive()) is not None:
                self._heard_at = monotonic()
                self._hear(message)
            self._lose()
            return await ended
        finally:
            watching.cancel()
            self._lose()
            self._ended.set()
            await self._pipe.close()

    def drain(self) -> None:
        """Tell it to end in order."""
        self._is_draining = True
        if self._pipe is not None:
            self._pipe.send("drain")

    def kill(self) -> None:
        """End it now; what its clients were told is in its journal."""
        if self._popen is not None:
            self._popen.kill()

    def retire(self) -> None:
        """Have it end, to be started anew: in order, or killed where that takes too long."""
        if not self.is_given_up:
            self.is_given_up = True
            self.drain()
            self._do(self._end_in_time())

    async def give_up(self, hold_seconds: float) -> None:
        try:
            async with asyncio.timeout(hold_seconds):
                await self.hold()
        except TimeoutError:
            self.is_given_up = True
            self.kill()
            await self._ended.wait()
        except WorkerLostError:
            return
        self.retire()

    def _hear(self, message: Message) -> None:
        """Take note of what the worker says."""
        match message["kind"]:
            case "pong":
                self._note(message["reasons"], message["revision"])
            case "answer":
                self._answered(message)
            case "opened":
                self._do(self._admit(message["revision"]))
            case "started":
                self.standing = Standing("serving", {}, message["http_port"], message["revision"])
                self._settle(None)
            case "refused":
                problems = problems_of(message["problems"])
                self._settle(Refusal(message["cause"], message["why"], problems))
            case "reload":
                self._do(self._reload(message))

    def _note(self, reasons: dict[str, str], revision: str) -> None:
        """Note how it is."""
        standing = self.standing
        standing.reasons, standing.revision = reasons, revision
        if standing.state in {"serving", "not_serving"}:
            standing.state = "not_serving" if reasons else "serving"
        if standing.state != "not_serving":
            self._unfit_since = None
        elif self._unfit_since is None:
            self._unfit_since = monotonic()

    def _settle(self, refusal: Refusal | None) -> None:
        """Say whether it serves, once."""
        if not self.served.done():
            self.served.set_result(refusal)

    def _lose(self) -> None:
        """Note that it is gone."""
        refusal = self.served.result() if self.served.done() else None
        why = refusal.why if refusal and refusal.cause else "ended"
        self.standing = Standing("restarting", {"worker": why})
        self._settle(Refusal("", f"worker {self._number} ended before it served"))
        self._leave_unanswered()

    def _do(self, work: Awaitable[None]) -> None:
        """Do *work* beside everything else."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _admit(self, revision: str) -> None:
        """Let it serve, once it is at the revision in force."""
        try:
            await self._on_opened(self, revision)
        except WorkerLostError:
            self.kill()
            return
        if self._pipe is not None:
            self._pipe.send("serve")

    async def _reload(self, message: Message) -> None:
        """Answer what became of a reload that it asked for."""
        said = await self._on_reload(order_of(message))
        if self._pipe is not None:
            self._pipe.send("reloaded", number=message["number"], **said)

    async def _end_in_time(self) -> None:
        """Kill it where it takes too long to end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.end):
                await self._ended.wait()
        if not self._ended.is_set():
            log.error("worker_killed", worker=self._number, pid=self.pid)
            self.kill()

    async def _watch(self) -> None:
        """Ask it again and again whether it is there; kill it where it is not."""
        began = monotonic()
        while True:
            await asyncio.sleep(self._limits.ping)
            now = monotonic()
            silent = now - (self._heard_at or began)
            allowed = self._limits.silent if self._heard_at else self._limits.first_word
            late = not self.served.done() and now - began > self._limits.start
            if silent > allowed or late:
                self.is_hung = True
                log.error("worker_hung", worker=self._number, pid=self.pid, seconds=silent)
                self.kill()
                return
            if self._pipe is not None:
                self._pipe.send("ping")
