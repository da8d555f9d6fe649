"""Calls that share channels, each given up at some moment or none; every answer is looked at."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc

from authz_service.api.v1 import facts_pb2_grpc, vocabulary_pb2
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from tests.e2e.client import outcome_of, question, write_request
from tests.e2e.clinic import patient, recorded
from tests.wire import fill

FIRST = 250
"""Patients at the beginning, each with one recording; more than the smallest cache holds."""
_CHANNELS = 3
_AT_ONCE = 48
_THREADS = 4
_GIVEN_UP = {"CANCELLED", "DEADLINE_EXCEEDED"}
_ALLOWED = ("ALLOW", "RULE_ALLOWED")
_DENIED = ("DENY", "NO_RULE_MATCHED")
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
Told = tuple[str, str, str, str]
"""Decision id, subject, recording (empty for a page) and effect."""


@dataclass
class Seen:
    """What became of the trials.

    Attributes:
        ended: How many ended how: answered, or with which status.
        wrong: What belonged to another question, or was not the right answer.
        told: Every decision that an answer named.
    """

    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)


class World:
    """Patients with a recording each; it grows while questions are asked."""

    def __init__(self, revision: int) -> None:
        self.size = FIRST
        self.revision = revision

    def first_facts(self) -> Iterator[list[Any]]:
        """Yield what to write before anything is asked."""
        for start in range(0, FIRST, 50):
            yield [each for number in range(start, start + 50) for each in facts_of(number)]

    def somebody(self, chance: random.Random) -> int:
        """Return a patient; one of the youngest as often as any other."""
        if chance.random() < 0.3:
            return self.size - 1 - chance.randrange(3)
        return chance.randrange(self.size)


def facts_of(number: int) -> list[Any]:
    """Return a patient with a recording."""
    return [patient(f"p-{number}"), *recorded(f"r-{number}", f"p-{number}")]


class Trials:
    """Makes trials on one service, from an event loop and from threads."""

    def __init__(self, address: str, world: World, seed: int) -> None:
        self._address = address
        self._world = world
        self._chance = random.Random(seed)
        self._numbers = count()
        self.seen = Seen()

    async def run(self, trials: int) -> Seen:
        """Make *trials*; return what was seen."""
        left = iter(range(trials * 9 // 10))
        growing = asyncio.create_task(self._grow())
        in_threads = asyncio.to_thread(self._run_in_threads, trials - trials * 9 // 10)
        threads = asyncio.create_task(in_threads)
        channels = [grpc.aio.insecure_channel(self._address, _OPTIONS) for _ in range(_CHANNELS)]
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(_AT_ONCE):
                    group.create_task(self._keep_trying(channels[number % _CHANNELS], left))
            await threads
        finally:
            growing.cancel()
            for channel in channels:
                await channel.close()
        return self.seen

    async def _keep_trying(self, channel: Any, left: Iterator[int]) -> None:
        """Make trials on *channel* until none is left."""
        stubs = _Stubs(channel)
        for _ in left:
            trial = self._trial()
            await self._try(getattr(stubs, trial.rpc), trial)

    async def _try(self, method: Any, trial: _Trial) -> None:
        """Make one trial: call, perhaps give up, look at the answer."""
        begun = _GivingUp.chosen(self._chance)
        call = method(trial.request, timeout=begun.deadline, metadata=trial.metadata)
        giving_up = asyncio.create_task(_give_up(call, begun.after)) if begun.after >= 0 else None
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            self._ended(error.code().name, error.details() or "")
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
            self._ended("CANCELLED", "")
        else:
            trial.look(answer, self.seen)
            call.cancel()
        if giving_up is not None:
            await giving_up

    def _run_in_threads(self, trials: int) -> None:
        """Make trials from several threads that share a channel."""
        shares = [trials // _THREADS] * _THREADS
        with grpc.insecure_channel(self._address, _OPTIONS) as channel:
            stubs = _Stubs(channel)
            with ThreadPoolExecutor(_THREADS) as threads:
                for _ in threads.map(lambda share: self._run_in_thread(stubs, share), shares):
                    pass

    def _run_in_thread(self, stubs: _Stubs, trials: int) -> None:
        """Make trials from one thread, eight at a time."""
        for _ in range(0, trials, 8):
            made = [self._trial() for _ in range(8)]
            calls = [
                getattr(stubs, trial.rpc).future(
                    trial.request,
                    timeout=_GivingUp.chosen(self._chance).deadline,
                    metadata=trial.metadata,
                )
                for trial in made
            ]
            for call in self._chance.sample(calls, 2):
                call.cancel()
            for trial, call in zip(made, calls, strict=True):
                try:
                    trial.look(call.result(), self.seen)
                except grpc.FutureCancelledError:
                    self._ended("CANCELLED", "")
                except grpc.RpcError as error:
                    failed: Any = error
                    self._ended(failed.code().name, failed.details())

    def _ended(self, code: str, details: str) -> None:
        """Count a trial that was not answered; only who gave up may have no answer."""
        self.seen.ended[code] += 1
        if code not in _GIVEN_UP:
            self.seen.wrong.append(f"{code}: {details}")

    async def _grow(self) -> None:
        """Write one patient after the other; each may be asked about once it is written."""
        async with grpc.aio.insecure_channel(self._address, _OPTIONS) as channel:
            stub: Any = facts_pb2_grpc.FactsServiceStub(channel)
            while True:
                request = write_request(facts_of(self._world.size))
                written = await stub.WriteFacts(request, timeout=20)
                self._world.revision = written.facts_revision
                self._world.size += 1
                await asyncio.sleep(0.02)

    def _trial(self) -> _Trial:
        """Return a trial of some kind."""
        make = self._chance.choice((_check, _check, _check, _batch, _list, _write))
        return make(self._world, self._chance, f"t-{next(self._numbers)}")


class _Stubs:
    """What can be called on a channel."""

    def __init__(self, channel: Any) -> None:
        access: Any = grpc_api.RecordingAccessServiceStub(channel)
        facts: Any = facts_pb2_grpc.FactsServiceStub(channel)
        self.check, self.batch = access.CheckAccess, access.BatchCheckAccess
        self.list, self.write = access.ListRecordings, facts.WriteFacts


@dataclass(frozen=True)
class _GivingUp:
    """When a call is given up: *after* so many seconds, or at a *deadline*; never below nought."""

    after: float
    deadline: float

    @classmethod
    def chosen(cls, chance: random.Random) -> _GivingUp:
        """Return a moment: before sending, on the way, near the answer, or never."""
        kind = chance.random()
        if kind < 0.1:
            return cls(0.0, 20.0)
        if kind < 0.4:
            return cls(chance.uniform(0.0, 0.04), 20.0)
        if kind < 0.55:
            return cls(-1.0, 10 ** chance.uniform(-6, -1.5))
        return cls(-1.0, 20.0)


async def _give_up(call: Any, after: float) -> None:
    """Cancel *call* after some time."""
    if after:
        await asyncio.sleep(after)
    call.cancel()


@dataclass(frozen=True)
class _Trial:
    """One call, and what looks at its answer."""

    rpc: str
    request: Any
    request_id: str
    right: Callable[[Any], Iterator[str | Told]]

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the call says of itself."""
        return (("x-request-id", self.request_id),)

    def look(self, answer: Any, seen: Seen) -> None:
        """Note what is wrong with *answer*, and what it tells."""
        seen.ended["answered"] += 1
        for found in self.right(answer):
            if isinstance(found, str):
                seen.wrong.append(f"{self.request_id} {self.rpc}: {found}")
            else:
                seen.told.append(found)


def _check(world: World, chance: random.Random, name: str) -> _Trial:
    """Return one question, whose answer has to be its own."""
    asked = _pair(world, chance)
    request = question(*asked, at_least_facts_revision=world.revision)

    def right(answer: Any) -> Iterator[str | Told]:
        if answer.request_id != name:
            yield f"is told {answer.request_id}"
        yield from _look_at(answer, asked)

    return _Trial("check", request, name, right)


def _batch(world: World, chance: random.Random, name: str) -> _Trial:
    """Return some questions, each of whose answers has to be its own, in order."""
    asked = [_pair(world, chance) for _ in range(chance.randint(2, 6))]
    checks = [question(*pair, at_least_facts_revision=world.revision) for pair in asked]

    def right(answer: Any) -> Iterator[str | Told]:
        if (answer.request_id, len(answer.results)) != (name, len(asked)):
            yield f"is told {answer.request_id}, {len(answer.results)} of {len(asked)}"
        for result, pair in zip(answer.results, asked, strict=False):
            yield from _look_at(result.answer, pair)

    return _Trial("batch", pb.BatchCheckAccessRequest(checks=checks), name, right)


def _list(world: World, chance: random.Random, name: str) -> _Trial:
    """Return the question for somebody's recordings, which are one."""
    number = world.somebody(chance)
    subject, recording = f"p-{number}", f"r-{number}"
    request = pb.ListRecordingsRequest(at_least_facts_revision=world.revision)
    fill(request, {"subject": {"id": subject}, "context": {"purpose_of_use": "PATRQT"}})

    def right(page: Any) -> Iterator[str | Told]:
        rows = [row.recording_id for row in page.recordings]
        if (page.request_id, page.subject_id, rows) != (name, subject, [recording]):
            yield f"asked for {subject}, is told {page.request_id} {page.subject_id} {rows}"
        yield (page.decision_id, subject, "", "ALLOW")
        for row in page.recordings:
            yield (row.decision_id, subject, row.recording_id, "ALLOW")

    return _Trial("list", request, name, right)


def _write(world: World, chance: random.Random, name: str) -> _Trial:
    """Return a write that changes nothing; its answer says how many facts it was."""
    some = chance.randint(1, 8)
    facts = [patient(f"p-{number}") for number in chance.sample(range(FIRST), some)]

    def right(answer: Any) -> Iterator[str | Told]:
        counts = (answer.written, answer.skipped, answer.unchanged)
        if counts != (0, 0, some):
            yield f"wrote {some} facts as they are, is told {counts}"

    return _Trial("write", write_request(facts), name, right)


def _pair(world: World, chance: random.Random) -> tuple[str, str]:
    """Return somebody, and a recording: their own, or somebody else's."""
    number = world.somebody(chance)
    other = number if chance.random() < 0.5 else world.somebody(chance)
    return f"p-{number}", f"r-{other}"


def _look_at(answer: Any, asked: tuple[str, str]) -> Iterator[str | Told]:
    """Yield what is wrong with one answer, and what it tells."""
    subject, recording = asked
    right = _ALLOWED if subject[2:] == recording[2:] else _DENIED
    echo = (answer.subject_id, answer.recording_id)
    if echo != asked or outcome_of(answer) != right or answer.action != vocabulary_pb2.ACTION_VIEW:
        yield f"asked {asked}, is told {echo} {outcome_of(answer)}"
    yield (answer.decision_id, subject, recording, right[0])
