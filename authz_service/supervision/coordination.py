"""One policy revision across workers: all of them change it together, or none does.

The bundle is read once. Every worker prepares the same bytes; when all are ready with the same
revision they are held, so that nobody judges, and once all of them say so each puts it in force
and goes on. So no decision under the old revision is later than one under the new. A worker that
is not serving, or cannot record the change, does not keep the others from it: it is given up before
they change, and comes back with what is in force then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.pdp.errors import (
    AuthzError,
    JournalUnavailableError,
    PolicyNotReadyError,
)
from authz_service.policy.bundle import BundleFiles, revision_of
from authz_service.supervision.member import Member, Prepared, WorkerLostError
from authz_service.supervision.pipe import told_on

log = structlog.get_logger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long workers may take, in seconds.

    Attributes:
        prepare: To parse, compile and try out a bundle.
        hold: From the order to hold until the last worker holds; calls wait for as long.
        conclude: To say that what was ordered was done.
    """

    prepare: float = 60.0
    hold: float = 1.0
    conclude: float = 5.0


class Coordination:
    """Reads bundles for all workers. For one event loop.

    Attributes:
        revision: The revision in force, or the one with which workers are to start.
        files: Its files: what a worker that starts is given, whatever lies on the disk by then.
    """

    def __init__(
        self,
        files: BundleFiles,
        read: Callable[[], BundleFiles],
        members: Callable[[], Sequence[Member]],
        patience: Patience | None = None,
    ) -> None:
        """Begin with *files*; *read* reads others, on a thread; *members* are who has to agree."""
        self.files = files
        self.revision = revision_of(files.files)
        self._read = read
        self._members = members
        self._patience = patience or Patience()
        self._one_at_a_time = asyncio.Lock()

    async def admit(self, member: Member, revision: str, join: Callable[[], None]) -> None:
        """Bring *member*, which is at *revision*, to the one in force; then *join*.

        Raises:
            WorkerLostError: It is gone, or cannot be brought there.
        """
        async with self._one_at_a_time:
            if revision != self.revision:
                order = ReloadOrder("start")
                try:
                    async with asyncio.timeout(self._patience.prepare):
                        prepared = await member.prepare(order, self.files)
                        await member.conclude()
                except TimeoutError:
                    raise WorkerLostError from None
                if prepared.revision != self.revision:
                    raise WorkerLostError
            join()

    async def reload(self, order: ReloadOrder) -> Prepared:
        """Read the bundle, and have all workers put it in force, or none.

        Raises:
            JournalUnavailableError: A worker could not record it; nothing was put in force.
            PolicyNotReadyError: The workers did not agree in time; nothing was put in force.
        """
        async with self._one_at_a_time:
            files = await asyncio.to_thread(self._read)
            members = _fit(self._members())
            try:
                agreed, members = await self._prepared(members, order, files)
                if agreed.outcome == "activated":
                    await self._give_up_others(members)
                    members = await self._held(members)
            except AuthzError as why:
                await self._abandon(members, str(why))
                raise
            if agreed.outcome == "activated":
                self.files, self.revision = files, agreed.revision
            await self._conclude(members)
            return agreed

    async def _prepared(
        self, members: Sequence[Member], order: ReloadOrder, files: BundleFiles
    ) -> tuple[Prepared, list[Member]]:
        """Return what all say of *files*, and who they are.

        Who is gone has no say, nor who cannot record it while another can.
        """
        seconds = self._patience.prepare
        said = await _all(members, lambda member: member.prepare(order, files), seconds)
        if not said:
            raise PolicyNotReadyError("no worker is there to put a policy in force")
        able = {member: each for member, each in said.items() if each.outcome != "unrecorded"}
        if not able:
            raise told_on(JournalUnavailableError, next(iter(said.values())).why)
        answers = list(able.values())
        if any(answer != answers[0] for answer in answers):
            raise PolicyNotReadyError("the workers do not agree on the bundle")
        return answers[0], list(able)

    async def _give_up_others(self, members: Sequence[Member]) -> None:
        """Have nobody judge any more who is not one of *members*, and so keeps the old policy."""
        others = [member for member in self._members() if member not in members]
        for member in others:
            log.warning("worker_left_out", worker=member.number, why="it takes part in no change")
        patience = self._patience
        await _all(
            others,
            lambda member: member.give_up(patience.hold),
            patience.hold + patience.conclude,
        )

    async def _held(self, members: Sequence[Member]) -> list[Member]:
        """Return those who hold: all who are still there."""
        holding = list(await _all(members, lambda member: member.hold(), self._patience.hold))
        if not holding:
            raise PolicyNotReadyError("no worker is there to put a policy in force")
        return holding

    async def _conclude(self, members: Sequence[Member]) -> None:
        """Let it have its effect; who is slow to say so has the order and nothing else to do."""
        try:
            await _all(members, lambda member: member.conclude(), self._patience.conclude)
        except PolicyNotReadyError as late:
            log.warning("policy_not_confirmed", why=str(late), policy_revision=self.revision)

    async def _abandon(self, members: Sequence[Member], why: str) -> None:
        """Let nothing have happened."""
        try:
            await _all(members, lambda member: member.abandon(why), self._patience.conclude)
        except PolicyNotReadyError as late:
            log.warning("policy_not_confirmed", why=str(late), policy_revision=self.revision)


def _fit(members: Sequence[Member]) -> list[Member]:
    """Return those of *members* that are to agree: who can answer, or all where nobody can."""
    return [member for member in members if member.is_fit] or list(members)


async def _all(
    members: Sequence[Member], ask: Callable[[Member], Awaitable[_T]], seconds: float
) -> dict[Member, _T]:
    """Return what each of *members* answers, those left out that are gone.

    Raises:
        PolicyNotReadyError: One did not answer in time.
    """

    async def answer_of(member: Member) -> _T:
        return await ask(member)

    if not members:
        return {}
    asked = {member: asyncio.create_task(answer_of(member)) for member in members}
    _, late = await asyncio.wait(asked.values(), timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        numbers = ", ".join(str(member.number) for member in members if asked[member] in late)
        raise PolicyNotReadyError(f"not ready in time: worker {numbers}")
    answers = {}
    for member, task in asked.items():
        try:
            answers[member] = task.result()
        except WorkerLostError:
            continue
    return answers
