"""The pipe between parent and worker: messages, whole and in order, until one side is gone.

A socket pair whose one end the worker alone holds and whose other end the parent alone holds: that
it ends is how each learns of the other's death, whatever the other died of.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from authz_service.operations.records import CallContext
from authz_service.operations.reload_policy import ReloadOrder
from authz_service.pdp.errors import PolicyProblem
from authz_service.policy.bundle import BundleFiles
from authz_service.policy.directory import BundleFile

Message = dict[str, Any]
"""A message: its ``kind``, and what belongs to it."""

_LENGTH_BYTES = 4
_Told = TypeVar("_Told", bound=Exception)


class Pipe:
    """One end. For one event loop; one reader."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over both; made by `over`."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Self:
        """Return the end behind *sock*, which it owns from now on."""
        sock.setblocking(False)  # noqa: FBT003  # the socket's own signature
        return cls(*await asyncio.open_unix_connection(sock=sock))

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message; never waits, and never fails: who is gone is noticed by `receive`."""
        if self._writer.is_closing():
            return
        content = json.dumps({"kind": kind, **fields}).encode("ascii")
        self._writer.write(len(content).to_bytes(_LENGTH_BYTES, "big") + content)

    async def receive(self) -> Message | None:
        """Return the next message; None once the other side is gone."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            message: Message = json.loads(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None
        return message

    async def close(self) -> None:
        """Send what is left, and end."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return


def told_on(kind: type[_Told], message: str) -> _Told:
    """Return the error that another process told of, with its *message* as it is.

    Made anew it would say once more what its kind says of it.
    """
    error = kind.__new__(kind)
    error.args = (message,)
    return error


def plain_files(read: BundleFiles) -> Message:
    """Return *read* as it goes over the pipe."""
    return {
        "files": [
            [name, base64.b64encode(content).decode("ascii")] for name, content in read.files
        ],
        "problems": read.problems,
    }


def files_of(plain: Mapping[str, Any]) -> BundleFiles:
    """Return what `plain_files` was given."""
    files = tuple(BundleFile(name, base64.b64decode(content)) for name, content in plain["files"])
    return BundleFiles(files, problems_of(plain["problems"]))


def problems_of(plain: Sequence[Sequence[Any]]) -> tuple[PolicyProblem, ...]:
    """Return the problems that came over the pipe."""
    return tuple(PolicyProblem(*problem) for problem in plain)


def plain_order(order: ReloadOrder) -> Message:
    """Return *order* as it goes over the pipe."""
    return {
        "trigger": order.trigger,
        "actor": order.actor,
        "context": order.context,
        "dry_run": order.dry_run,
    }


def order_of(plain: Mapping[str, Any]) -> ReloadOrder:
    """Return what `plain_order` was given."""
    context = CallContext(*plain["context"]) if plain["context"] else None
    return ReloadOrder(plain["trigger"], plain["actor"], context, plain["dry_run"])
