"""The parent's duty: n workers, each started again when it ends, all ended together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import structlog

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.pdp.errors import AuthzError, JournalUnavailableError, PolicyNotReadyError
from authz_service.policy.bundle import BundleFiles
from authz_service.supervision.coordination import Coordination, Patience
from authz_service.supervision.due_reload import DueReload
from authz_service.supervision.pipe import Message, plain_files
from authz_service.supervision.spawning import Spawn
from authz_service.supervision.standing import Limits, Pauses, Refusal, Standing
from authz_service.supervision.worker import Worker

log = structlog.get_logger(__name__)

STATES = ("starting", "serving", "not_serving", "restarting")
"""What a worker can be."""
REASONS = ("killed", "ended", "hung", "refused", "unfit")
"""Why one is started again: by a signal, by itself, silent, unable to start, unable to answer."""


class WorkerRefusedError(Exception):
    """A worker cannot start; the refusal says why."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the worker's own account."""
        super().__init__(refusal.why)
        self.refusal = refusal


class Supervisor:
    """Keeps workers running. For one event loop.

    Attributes:
        restarts: How often a worker was started again, by why.
    """

    def __init__(
        self,
        spawn: Spawn,
        settings_of: Callable[[int], dict[str, Any]],
        read: Callable[[], BundleFiles],
        *,
        limits: Limits | None = None,
        pauses: Pauses | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Start workers with *spawn*, each with its own settings; *read* reads the bundle."""
        self._spawn = spawn
        self._settings_of = settings_of
        self._read = read
        self._limits = limits or Limits()
        self._pauses = pauses or Pauses()
        self._patience = patience
        self._coordination: Coordination | None = None
        self._workers: dict[int, Worker] = {}
        self._admitted: set[Worker] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._replacing: asyncio.Task[None] | None = None
        self._due_reload = DueReload(
            self.reload, lambda: bool(self._admitted) and not self._stopping.is_set()
        )
        self._stopping = asyncio.Event()
        self._restarted: Counter[int] = Counter()
        self.restarts: Counter[str] = Counter(dict.fromkeys(REASONS, 0))

    @property
    def revision(self) -> str:
        """The policy revision in force in all workers; empty before the start."""
        return self._coordination.revision if self._coordination else ""

    @property
    def states(self) -> dict[str, int]:
        """How many workers are in each state."""
        return {**dict.fromkeys(STATES, 0), **Counter(x.state for x in self._standings().values())}

    @property
    def reasons(self) -> dict[str, str]:
        """What stands in the way of a worker's serving, by worker and part."""
        return {
            f"worker-{number} {part}": why
            for number, standing in self._standings().items()
            for part, why in standing.reasons.items()
        }

    @property
    def is_serving(self) -> bool:
        """Whether a worker can answer questions."""
        return any(standing.state == "serving" for standing in self._standings().values())

    def overview(self) -> dict[str, Any]:
        """Return what there is to say of each worker, for programs."""
        return {
            "policy_revision": self.revision,
            "workers": [
                {
                    "number": number,
                    "state": standing.state,
                    "reasons": standing.reasons,
                    "http_port": standing.http_port,
                    "pid": self._workers[number].pid,
                    "policy_revision": standing.revision,
                    "restarts": self._restarted[number],
                }
                for number, standing in self._standings().items()
            ],
        }

    async def start(self, count: int) -> None:
        """Start *count* workers; return once all serve, or once `stop` was called.

        Raises:
            WorkerRefusedError: One cannot start. The others are to be stopped.
        """
        files = await asyncio.to_thread(self._read)
        if self._stopping.is_set():
            return
        self._coordination = Coordination(
            files, self._read, lambda: list(self._admitted), self._patience
        )
        for number in range(1, count + 1):
            self._workers[number] = self._worker(number)
        self._replacing = asyncio.create_task(self._replace_unfit())
        starting = {worker.served for worker in self._workers.values()}
        self._keeping = [
            asyncio.create_task(self._keep(worker)) for worker in self._workers.values()
        ]
        while starting:
            done, starting = await asyncio.wait(starting, return_when=asyncio.FIRST_COMPLETED)
            for refusal in (each.result() for each in done):
                if refusal is not None and not self._stopping.is_set():
                    raise WorkerRefusedError(refusal)

    def reload_soon(self) -> None:
        """Have all workers read the bundle again, as SIGHUP asks; now, or once one is there."""
        self._due_reload.ask()

    async def reload(self, order: ReloadOrder) -> Message:
        """Have all workers read the bundle again; return what became of it, for the pipe."""
        if self._coordination is None:
            return {"error": "unready", "why": str(PolicyNotReadyError("no worker is there yet"))}
        try:
            agreed = await self._coordination.reload(order)
        except AuthzError as error:
            log.warning("policy_not_reloaded", trigger=order.trigger, why=str(error))
            kind = "unrecorded" if isinstance(error, JournalUnavailableError) else "unready"
            return {"error": kind, "why": str(error)}
        log.info(
            "policy_coordinated",
            trigger=order.trigger,
            outcome=agreed.outcome,
            policy_revision=self.revision,
        )
        return {"error": "", "outcome": agreed.outcome, "problems": agreed.problems}

    async def stop(self, seconds: float) -> None:
        """End all workers: in order, and those that take more than *seconds* at once."""
        self._stopping.set()
        if self._replacing is not None:
            self._replacing.cancel()
        for worker in self._workers.values():
            worker.drain()
        if not self._keeping:
            return
        _, late = await asyncio.wait(self._keeping, timeout=seconds)
        for worker, task in zip(self._workers.values(), self._keeping, strict=True):
            if task in late:
                log.error("worker_killed", worker=worker.number, pid=worker.pid)
                worker.kill()
        await asyncio.wait(self._keeping)

    def _standings(self) -> dict[int, Standing]:
        """Return what is known of each worker."""
        return {number: worker.standing for number, worker in self._workers.items()}

    def _worker(self, number: int) -> Worker:
        """Return worker *number*, about to begin with the policy that is in force."""
        files = self._coordination.files if self._coordination else BundleFiles(())
        begin = {"number": number, "settings": self._settings_of(number), **plain_files(files)}
        return Worker(
            number, begin, on_opened=self._admit, on_reload=self.reload, limits=self._limits
        )

    async def _admit(self, worker: Worker, revision: str) -> None:
        """Make *worker* one of those that change their policy together."""
        if self._coordination is not None:
            await self._coordination.admit(worker, revision, lambda: self._admitted.add(worker))
            self._due_reload.begin()

    async def _keep(self, first: Worker) -> None:
        """Run a worker, and another in its place whenever it ends, until all are to stop."""
        worker, pause = first, 0.0
        while True:
            began = monotonic()
            reason = await self._lived(worker)
            self._admitted.discard(worker)
            if self._stopping.is_set():
                return
            pause = self._pauses.after(pause, monotonic() - began)
            number = worker.number
            self.restarts[reason] += 1
            self._restarted[number] += 1
            log.warning("worker_ended", worker=number, reason=reason, again_in_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=pause)
            if self._stopping.is_set():
                return
            worker = self._workers[number] = self._worker(number)

    async def _replace_unfit(self) -> None:
        """Have each worker end that cannot answer for long while another can.

        Who listens keeps a share of the port. It comes back once it can start.
        """
        while True:
            await asyncio.sleep(self._limits.ping)
            if not self.is_serving:
                continue
            for worker in self._workers.values():
                if worker.unfit_seconds > self._limits.unfit and not worker.is_given_up:
                    why = worker.standing.reasons
                    log.warning("worker_given_up", worker=worker.number, reasons=why)
                    worker.retire()

    async def _lived(self, worker: Worker) -> str:
        """Run *worker* to its end; return why it ended."""
        try:
            code = await worker.live(self._spawn)
        except OSError as error:
            log.warning("worker_not_spawned", worker=worker.number, error=str(error))
            return "refused"
        refusal = worker.served.result()
        if worker.is_hung:
            return "hung"
        if worker.is_given_up:
            return "unfit"
        if refusal is not None and refusal.cause:
            log.warning("worker_refused", worker=worker.number, why=refusal.why)
            return "refused"
        return "killed" if code < 0 else "ended"
