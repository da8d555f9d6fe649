"""A load generator of our own: it keeps gRPC calls in flight and every answer's bytes.

It costs a few tens of microseconds a call, so that what is measured is the server. It keeps every
answer's bytes, which are checked when the slice is over, because an HTTP 200 alone says nothing
about a gRPC call.
"""

from __future__ import annotations

import gc
import selectors
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter, process_time
from typing import NamedTuple

from bench.http2 import Connection, LoadError, Peer, Question

CONNECTIONS = 4
"""Over how many connections the calls in flight are spread where nothing else is said."""

_SILENCE_SECONDS = 15


class Call(NamedTuple):
    """A call that has ended.

    Attributes:
        question: What was asked.
        answer: The bytes of the one message that came; None where none came, or not whole.
        seconds: From question to answer.
        in_time: Whether it ended before the slice did.
    """

    question: Question
    answer: bytes | None
    seconds: float
    in_time: bool


@dataclass(frozen=True, slots=True)
class Load:
    """What a slice of load brought.

    Attributes:
        calls: Every call that was made.
        seconds: How long questions were asked.
        own_cpu_seconds: CPU time that this generator took meanwhile.
    """

    calls: list[Call]
    seconds: float
    own_cpu_seconds: float


def run_load(
    peer: Peer,
    path: str,
    questions: Iterator[Question],
    *,
    in_flight: int,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Load:
    """Keep *in_flight* calls of *path* on the way for *seconds*, then wait for the last answers.

    Where *questions* end before that, so does the load.

    Raises:
        LoadError: The server hung up, fell silent, or does not speak HTTP/2.
    """
    links = [Connection(peer, path) for _ in range(min(connections, in_flight))]
    gc.collect()
    gc.disable()  # it would walk over all answers kept, again and again
    cpu = process_time()
    try:
        calls = _keep_asking(links, questions, in_flight, seconds)
    finally:
        gc.enable()
        for link in links:
            link.sock.close()
    return Load(calls, seconds, process_time() - cpu)


def _keep_asking(
    links: list[Connection], questions: Iterator[Question], in_flight: int, seconds: float
) -> list[Call]:
    """Ask for *seconds*; return all calls once the last has ended."""
    calls: list[Call] = []
    begin = perf_counter()
    end = begin + seconds
    for number, question in enumerate(islice(questions, in_flight)):
        links[number % len(links)].ask(question, begin)
    for link in links:
        link.flush()
    with selectors.DefaultSelector() as selector:
        for link in links:
            selector.register(link.sock, selectors.EVENT_READ, link)
        while not all(link.idle for link in links):
            ready = selector.select(timeout=_SILENCE_SECONDS)
            if not ready:
                raise LoadError(f"the server has been silent for {_SILENCE_SECONDS} s")
            for key, _ in ready:
                _turn(key.data, calls, questions, end)
    return calls


def _turn(link: Connection, calls: list[Call], questions: Iterator[Question], end: float) -> None:
    """Take what has come over *link*, and ask anew for each call that has ended."""
    ended = link.receive()
    now = perf_counter()
    for call in ended:
        calls.append(Call(call.question, call.answer, now - call.asked_at, now <= end))
        if now < end:
            for question in islice(questions, 1):
                link.ask(question, now)
    link.flush()
