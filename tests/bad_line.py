"""A line to a server that can be slow, cut, or dead without a word: from TCP to a socket."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BadLine:
    """Passes bytes on, on a thread of its own, until it is told otherwise.

    Attributes:
        port: Where it listens, on the loopback.
        delay_seconds: How long it keeps what it passes on, each way.
    """

    def __init__(self, socket: Path) -> None:
        self.port = 0
        self.delay_seconds = 0.0
        self._socket = socket
        self._is_dead = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    @contextmanager
    def dead(self) -> Iterator[None]:
        """Pass nothing on; what is open now never speaks again, and is never closed either."""
        self._is_dead = True
        try:
            yield
        finally:
            self._is_dead = False

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Keep everything for a while, each way."""
        self.delay_seconds = seconds
        try:
            yield
        finally:
            self.delay_seconds = 0.0

    def cut(self) -> None:
        """Close all connections."""
        self._do(self._cut())

    def close(self) -> None:
        """Close everything."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]  # a coroutine

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            writer.close()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while some := await reader.read(1 << 16):
                if self._is_dead:
                    await asyncio.Event().wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(some)
        writer.close()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
