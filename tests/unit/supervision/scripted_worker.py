"""A process that speaks a worker's part in few words; run by the tests of the supervisor.

The settings that it is given say what it does: ``serve``, ``refuse``, ``die``, ``mute`` or ``deaf``
(it serves, and then says nothing any more), ``unfit`` (it serves, and cannot answer) or
``unfit-deaf`` (nor does it end when told).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import Any


class Pipe:
    """Messages on standard input, both ways."""

    def __init__(self) -> None:
        self._file = socket.socket(fileno=os.dup(0)).makefile("rwb")

    def send(self, **message: Any) -> None:
        content = json.dumps(message).encode()
        self._file.write(len(content).to_bytes(4, "big") + content)
        self._file.flush()

    def receive(self) -> dict[str, Any]:
        length = int.from_bytes(self._file.read(4), "big")
        message: dict[str, Any] = json.loads(self._file.read(length)) if length else {"kind": ""}
        return message


def main() -> int:
    """Do what the first message says, until told to end."""
    pipe = Pipe()
    part = pipe.receive()["settings"]["part"]
    if part == "mute":
        time.sleep(60)
    if part == "die":
        return 7
    if part == "refuse":
        why = "it is damaged"
        pipe.send(kind="refused", cause="JournalUnavailableError", why=why, problems=[])
        return 1
    pipe.send(kind="opened", revision="")
    while (message := pipe.receive())["kind"] not in {"drain", ""}:
        answer(pipe, message, reasons={"journal": "full"} if "unfit" in part else {})
        if part == "deaf" and message["kind"] == "serve":
            time.sleep(60)
    if part == "unfit-deaf":
        time.sleep(60)
    return 0


def answer(pipe: Pipe, message: dict[str, Any], *, reasons: dict[str, str]) -> None:
    """Say what a worker that serves would."""
    if message["kind"] == "serve":
        pipe.send(kind="started", http_port=5, revision="r")
    elif message["kind"] == "ping":
        pipe.send(kind="pong", reasons=reasons, revision="r")
    else:
        pipe.send(kind="answer", number=message["number"], outcome="unchanged", revision="r")


if __name__ == "__main__":
    sys.exit(main())
