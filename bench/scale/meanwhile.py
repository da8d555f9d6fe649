"""A service that answers on a registry while facts are imported into it, at a low rate."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import grpc

from authz_service.api.v1 import recording_access_pb2_grpc as pb_grpc
from authz_service.api.v1 import vocabulary_pb2 as words
from bench.processes import Server, service
from bench.scale import answers
from bench.scale.asking import message_of, problem_of
from bench.scale.traits import are_close
from bench.scale.world import World

_PAUSE_SECONDS = 0.1
_TIMEOUT_SECONDS = 5.0
_SHOWN = 5


@dataclass(slots=True)
class Answers:
    """What came back during an import.

    Attributes:
        milliseconds: How long each answer took.
        wrong: How many were wrong.
        problems: The first few of those.
        failed: Calls without an answer, by status.
    """

    milliseconds: list[float] = field(default_factory=list)
    wrong: int = 0
    problems: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def take(self, problem: str) -> None:
        """Note what was wrong with an answer; nothing where *problem* is empty."""
        if problem:
            self.wrong += 1
            self.problems = [*self.problems, problem][:_SHOWN]


class Known:
    """How many recordings are imported for certain, oldest first. For two threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self.recordings = 0


@contextmanager
def answering(world: World, url: str, folder: Path, known: Known) -> Iterator[Answers]:
    """Run a service on the registry of *url*, ask about what is *known*, and yield the answers."""
    answers_so_far = Answers()
    settings = {"AUTHZ_REGISTRY_URL": url, "AUTHZ_FACTS_CACHE_ENTRIES": "1000"}
    with service(Path(), folder, settings=settings) as server:
        ended = threading.Event()
        asker = threading.Thread(
            target=_ask, args=(server, world, known, answers_so_far, ended), name="asker"
        )
        asker.start()
        try:
            yield answers_so_far
        finally:
            ended.set()
            asker.join()


def _ask(
    server: Server, world: World, known: Known, found: Answers, ended: threading.Event
) -> None:
    """Ask until *ended*: a patient about their own recording, and a stranger about any."""
    source = random.Random(world.recordings)
    with server.channel() as channel:
        stub = pb_grpc.RecordingAccessServiceStub(channel)
        while not ended.wait(_PAUSE_SECONDS):
            if known.recordings < 100:
                continue
            number = source.randrange(known.recordings)
            _ask_one(stub, answers.own(world, number), found)
            stranger = world.patient_of(number)
            another = source.randrange(world.recordings)
            owner = world.patient_of(another)
            if owner.tenant != stranger.tenant or not are_close(stranger.patient, owner.patient):
                _ask_one(stub, answers.other(stranger, another)._replace(only_denied=True), found)


def _ask_one(
    stub: pb_grpc.RecordingAccessServiceStub, asked: answers.Asked, found: Answers
) -> None:
    """Ask one question; a stranger's is right where it is denied, for whatever reason."""
    begun = perf_counter()
    try:
        answer = stub.CheckAccess(message_of(asked), timeout=_TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        found.failed[str(error.code().name)] += 1
        return
    found.milliseconds.append((perf_counter() - begun) * 1000)
    if asked.only_denied:
        found.take("" if answer.effect == words.EFFECT_DENY else f"{asked} was allowed")
    else:
        found.take(problem_of(asked, answer, None))
