"""What the parent orders a worker to do, over its pipe, and the answers that come back."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from authz_service.operations.reload_policy import ReloadOrder
from authz_service.policy.bundle import BundleFiles
from authz_service.supervision.member import Prepared, WorkerLostError
from authz_service.supervision.pipe import Message, Pipe, plain_files, plain_order, problems_of


class Orders:
    """Orders to one worker; each is answered, or the worker is lost. For one event loop."""

    def __init__(self) -> None:
        """Have no pipe yet."""
        self._pipe: Pipe | None = None
        self._is_gone = False
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}

    async def prepare(self, order: ReloadOrder, files: BundleFiles) -> Prepared:
        answer = await self._ask("prepare", order=plain_order(order), files=plain_files(files))
        return Prepared(
            answer.get("outcome", "lost"),
            answer.get("revision", ""),
            problems_of(answer.get("problems", ())),
            answer.get("why", ""),
        )

    async def hold(self) -> None:
        await self._ask("hold")

    async def conclude(self) -> None:
        await self._ask("conclude")

    async def abandon(self, why: str) -> None:
        await self._ask("abandon", why=why)

    async def _ask(self, kind: str, **fields: Any) -> Message:
        """Send an order; return the answer.

        Raises:
            WorkerLostError: The worker is gone.
        """
        if self._pipe is None or self._is_gone:
            raise WorkerLostError
        number = next(self._numbers)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        self._pipe.send(kind, number=number, **fields)
        try:
            answer: Message = await asked
        finally:
            del self._asked[number]
        return answer

    def _answered(self, message: Message) -> None:
        """Hand on the answer to an order."""
        asked = self._asked.get(message["number"])
        if asked is not None and not asked.done():
            asked.set_result(message)

    def _leave_unanswered(self) -> None:
        """Note that nothing will be answered any more."""
        self._is_gone = True
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(WorkerLostError())
