"""A naive registry in memory, a clock that stands still, and threads that move when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, ParamSpec, TypeVar

from authz_service.facts.reader import CONTAINMENTS_KEY, Changes, Key, Load, Look, Value
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.entities import Containment, ContainmentScope, Recording, Subject
from authz_service.pdp.entity_words import RecordingState, SubjectKind, SubjectStatus
from authz_service.pdp.facts import (
    Attribution,
    Fact,
    Facts,
    PatientFacts,
    RecordingFacts,
    Standing,
    SubjectFacts,
)

P = ParamSpec("P")
T = TypeVar("T")

LONG_AGO = datetime(2020, 6, 1, tzinfo=UTC)


def subject(subject_id: str, word: str) -> SubjectFacts:
    """Return facts of a subject that differ by *word*."""
    who = Subject(subject_id, word, SubjectKind.PATIENT, SubjectStatus.ACTIVE)
    return SubjectFacts(who, frozenset({subject_id}))


def patient(patient_id: str, word: str) -> PatientFacts:
    """Return facts of a patient that differ by *word*."""
    who = Subject(patient_id, word, SubjectKind.PATIENT, SubjectStatus.ACTIVE)
    return PatientFacts(who, None, None, frozenset({patient_id}))


def recording(recording_id: str, patient_id: str | None, word: str) -> RecordingFacts:
    """Return facts of a recording of *patient_id* that differ by *word*."""
    what = Recording(recording_id, word, RecordingState.ACTIVE, owner_id=patient_id)
    fact = Fact(what, "recording-pipeline", LONG_AGO)
    return RecordingFacts(fact, None, None, (), Attribution(Standing.AGREED, patient_id))


def containments(*ids: str) -> tuple[Containment, ...]:
    """Return containments that are in force."""
    return tuple(Containment(one, ContainmentScope()) for one in ids)


class StillClock:
    """A monotonic clock that moves when told to, and a microsecond whenever it is read."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        self.seconds += 1e-6
        return self.seconds


@dataclass(frozen=True)
class State:
    """The registry at one revision. `touched` is None where everything was."""

    revision: int
    nonce: str
    values: Mapping[Key, Value]
    touched: frozenset[Key] | None = frozenset()


@dataclass
class FakeRegistry:
    """Keeps every state that it ever was in; reads are exact and cost nothing.

    Attributes:
        clock: Says when a query was sent.
        states: The present history, by revision.
        times: When which state came in force, of all histories.
        calls: Every query, in order.
        broken: What every query fails with.
        broken_look: What every look fails with.
        before_load: Called with the keys before a load takes its snapshot.
    """

    clock: Callable[[], float]
    states: list[State] = field(default_factory=list)
    times: list[tuple[float, State]] = field(default_factory=list)
    calls: list[tuple[str, frozenset[Key]]] = field(default_factory=list)
    broken: Exception | None = None
    broken_look: Exception | None = None
    before_load: Callable[[frozenset[Key]], None] = lambda keys: None
    _nonces: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._enter(State(0, "n-first", {CONTAINMENTS_KEY: ()}))

    @property
    def revision(self) -> int:
        return self.states[-1].revision

    def write(self, *, everything: bool = False, **values: Value) -> int:
        """Commit values named as in ``subject_ann=…``; return the revision."""
        keyed = {key_of(name): value for name, value in values.items()}
        return self.put(keyed, everything=everything)

    def put(self, values: Mapping[Key, Value], *, everything: bool = False) -> int:
        """Commit *values* by key; return the revision."""
        touched = None if everything else frozenset(values)
        merged = {**self.states[-1].values, **values}
        self._enter(State(self.revision + 1, f"n{next(self._nonces)}", merged, touched))
        return self.revision

    def restore(self, revision: int) -> None:
        """Put the registry back to what it was at *revision*, as a copied file would."""
        del self.states[revision + 1 :]
        self.times.append((self.clock(), self.states[-1]))

    def look(self) -> Look:
        now = self._queried("look")
        if self.broken_look is not None:
            raise self.broken_look
        return Look(now.revision, now.nonce, self.clock())

    def changes(self, after: int, after_nonce: str) -> Changes:
        now = self._queried("changes")
        known = after < len(self.states) and self.states[after].nonce == after_nonce
        later = self.states[after + 1 :] if known else []
        complete = known and all(state.touched is not None for state in later)
        touched = [(state.revision, state.touched) for state in later if state.touched]
        told = tuple(touched) if complete else ()
        return Changes(now.revision, now.nonce, told, complete, self.clock())

    def load(self, keys: Collection[Key]) -> Load:
        asked = frozenset(keys)
        self.before_load(asked)
        now = self._queried("load", asked)
        values: dict[Key, Value] = {key: now.values.get(key) for key in keys}
        for value in [*values.values()]:
            if isinstance(value, RecordingFacts) and value.attribution.patient_id is not None:
                whose = Key("patient", value.attribution.patient_id)
                values[whose] = now.values.get(whose)
        return Load(now.revision, now.nonce, values, self.clock())

    def count(self, query: str) -> int:
        """Return how many queries of one kind there were."""
        return sum(name == query for name, _ in self.calls)

    def _queried(self, query: str, keys: frozenset[Key] = frozenset()) -> State:
        self.calls.append((query, keys))
        if self.broken is not None:
            raise self.broken
        return self.states[-1]

    def _enter(self, state: State) -> None:
        self.states.append(state)
        self.times.append((self.clock(), state))


def key_of(name: str) -> Key:
    """Return the key that a name such as ``subject_ann`` stands for."""
    space, _, one = name.partition("_")
    for known in ("subject", "recording", "patient"):
        if space == known:
            return Key(known, one)
    return CONTAINMENTS_KEY


def facts_at(state: State, question: FactsQuestion) -> Facts:
    """Return the facts of *question*, read off *state*."""
    what = state.values.get(Key("recording", question.recording_id))
    who = state.values.get(Key("subject", question.subject_id))
    stopped = state.values[CONTAINMENTS_KEY]
    whose: Value = None
    if isinstance(what, RecordingFacts) and what.attribution.patient_id is not None:
        whose = state.values.get(Key("patient", what.attribution.patient_id))
    return Facts(
        who if isinstance(who, SubjectFacts) else None,
        what if isinstance(what, RecordingFacts) else None,
        whose if isinstance(whose, PatientFacts) else None,
        stopped if isinstance(stopped, tuple) else (),
        state.revision,
    )


class Job:
    """One call on a thread: it runs when told to, and its result arrives when told to."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self.has_run = False
        self._call = call
        self._result: Any = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Make the call, and keep what came of it."""
        self.has_run = True
        try:
            self._result = self._call()
        except Exception as error:  # noqa: BLE001  # a thread carries whatever was raised
            self._error = error

    def deliver(self) -> None:
        """Hand over what came of the call, made now if it has not been."""
        if not self.has_run:
            self.run()
        if not self.future.cancelled() and self._error is not None:
            self.future.set_exception(self._error)
        elif not self.future.cancelled():
            self.future.set_result(self._result)


class SteppedThreads(Executor):
    """Threads that do nothing by themselves."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.most_jobs = 0
        self.came = asyncio.Event()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        job = Job(lambda: fn(*args, **kwargs))
        self.jobs.append(job)
        self.came.set()
        self.most_jobs = max(self.most_jobs, len(self.jobs))
        return job.future

    def take(self, position: int = 0) -> Job:
        """Return a job that is under way, to be run and delivered by whoever asks."""
        return self.jobs.pop(position)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # the signature of Executor
        self.jobs.clear()


async def turns(times: int = 6) -> None:
    """Let everybody on the event loop have their turn."""
    for _ in range(times):
        await asyncio.sleep(0)


async def settle(*threads: SteppedThreads) -> None:
    """Run and deliver everything until nothing is under way."""
    await turns()
    while any(one.jobs for one in threads):
        for one in threads:
            while one.jobs:
                one.take().deliver()
        await turns()


def question(subject_id: str = "ann", recording_id: str = "r1") -> FactsQuestion:
    """Return a question."""
    return FactsQuestion(subject_id, recording_id)


def revisions(answers: Sequence[Facts]) -> set[int]:
    """Return the revisions of *answers*."""
    return {facts.revision for facts in answers}
