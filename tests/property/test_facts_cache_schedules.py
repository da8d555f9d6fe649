"""Whatever the order of looks, loads, writes and restores, an answer is a state of the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from authz_service.facts.cache import FactsCache
from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.reader import CONTAINMENTS_KEY, Key, Value
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.errors import FactsUnavailableError, RevisionAheadError
from authz_service.pdp.facts import Facts
from tests.fake_registry import (
    FakeRegistry,
    Job,
    State,
    SteppedThreads,
    StillClock,
    containments,
    facts_at,
    patient,
    recording,
    settle,
    subject,
    turns,
)

SUBJECTS = ("s1", "s2", "nobody")
RECORDINGS = ("r1", "r2", "r3", "nothing")
PATIENTS = ("p1", "p2")
STALENESS_SECONDS = 0.05
STEPS = 80


@dataclass
class Asked:
    """A question under way, and what it asked for."""

    task: asyncio.Task[Sequence[Facts]]
    questions: tuple[FactsQuestion, ...]
    at_least: int


@dataclass
class Schedule:
    """One random course of events; every answer is judged as soon as it is given."""

    random: Random
    clock: StillClock = field(default_factory=StillClock)
    looks: SteppedThreads = field(default_factory=SteppedThreads)
    loads: SteppedThreads = field(default_factory=SteppedThreads)
    asked: list[Asked] = field(default_factory=list)
    answered: int = 0
    words: int = 0

    def __post_init__(self) -> None:
        threads = {"facts-look": self.looks, "facts-load": self.loads}
        self.registry = FakeRegistry(self.clock)
        self.cache = FactsCache(
            self.registry,
            CacheBounds(
                staleness_seconds=STALENESS_SECONDS,
                loaders=self.random.choice((1, 2)),
                max_entries=self.random.choice((1, 2, 100)),
                max_unknown=self.random.choice((1, 100)),
                max_load_keys=self.random.choice((2, 100)),
                max_touched=self.random.choice((1, 3, 100)),
                timeout_seconds=60.0,
            ),
            monotonic=self.clock,
            threads_for=lambda many, name: threads[name],
        )

    async def run(self) -> None:
        """Let things happen, then let everything come to rest."""
        self.write()
        starting = asyncio.ensure_future(self.cache.start())
        await settle(self.looks, self.loads)
        await starting
        steps = (self.ask, self.read, self.write, self.run_job, self.deliver_job, self.wait)
        weights = (6, 3, self.random.choice((1, 6)), 8, 8, 2)
        for _ in range(STEPS):
            (step,) = self.random.choices((*steps, self.rare), (*weights, 0.5))
            step()
            await turns(self.random.choice((0, 1, 6)))
            self.judge()
        await self.come_to_rest()

    def some_questions(self) -> tuple[FactsQuestion, ...]:
        """Return a question or a few."""
        many = self.random.choice((1, 1, 1, 3))
        pick = self.random.choice
        return tuple(FactsQuestion(pick(SUBJECTS), pick(RECORDINGS)) for _ in range(many))

    def ask(self) -> None:
        """Ask, and do not wait."""
        questions = self.some_questions()
        at_least = self.random.choice((0, 0, self.registry.revision, self.registry.revision + 1))
        task = asyncio.ensure_future(self.cache.facts_for(questions, at_least))
        self.asked.append(Asked(task, questions, at_least))

    def read(self) -> None:
        """Ask for what needs no waiting."""
        (question, *_) = self.some_questions()
        facts = self.cache.cached(question, 0)
        if facts is not None:
            self.must_be_true([facts], (question,))

    def write(self) -> None:
        """Commit something, often to what is just being asked."""
        self.words += 1
        word = f"w{self.words}"
        values: dict[Key, Value] = {}
        for _ in range(self.random.choice((1, 1, 4))):
            values.update([self.some_value(word)])
        self.registry.put(values)

    def some_value(self, word: str) -> tuple[Key, Value]:
        """Return a key with a value that was never there before."""
        pick = self.random.choice
        match pick(("subject", "recording", "recording", "patient", "containments")):
            case "subject":
                who = pick(SUBJECTS[:2])
                return Key("subject", who), pick((subject(who, word), None))
            case "recording":
                what, whose = pick(RECORDINGS[:3]), pick((*PATIENTS, "unknown", None))
                return Key("recording", what), pick((recording(what, whose, word),) * 3 + (None,))
            case "patient":
                who = pick(PATIENTS)
                return Key("patient", who), pick((patient(who, word), None))
            case _:
                return CONTAINMENTS_KEY, containments(word)

    def jobs(self) -> list[tuple[SteppedThreads, int, Job]]:
        """Return every call that is under way. A thread takes one after the other."""
        looks = [(self.looks, 0, job) for job in self.looks.jobs[:1]]
        return looks + [(self.loads, at, job) for at, job in enumerate(self.loads.jobs)]

    def run_job(self) -> None:
        """Let a call take its snapshot."""
        waiting = [job for *_, job in self.jobs() if not job.has_run]
        if waiting:
            self.random.choice(waiting).run()

    def deliver_job(self) -> None:
        """Let a call return."""
        if jobs := self.jobs():
            threads, position, _ = self.random.choice(jobs)
            threads.take(position).deliver()

    def wait(self) -> None:
        """Let time pass: a little, about the bound, or more."""
        self.clock.seconds += self.random.choice((0.001, 0.02, 0.03, 0.06))

    def rare(self) -> None:
        """Let a tenant change, the registry fail for a moment, or a backup be restored."""
        match self.random.choice(("everything", "broken", "repaired", "repaired", "restored")):
            case "everything":
                self.registry.put({}, everything=True)
            case "broken":
                self.registry.broken = FactsUnavailableError("it is broken")
            case "repaired":
                self.registry.broken = None
            case _:
                self.registry.restore(self.random.randint(0, self.registry.revision))
                for _ in range(self.random.choice((0, 1, 3))):
                    self.write()

    def judge(self) -> None:
        """Judge what was answered since."""
        for one in [one for one in self.asked if one.task.done()]:
            self.asked.remove(one)
            error = one.task.exception()
            if error is None:
                answers = one.task.result()
                assert all(facts.revision >= one.at_least for facts in answers)
                self.must_be_true(answers, one.questions)
            else:
                assert isinstance(error, (FactsUnavailableError, RevisionAheadError))

    def must_be_true(self, answers: Sequence[Facts], questions: Sequence[FactsQuestion]) -> None:
        """Hold *answers* against every state that the bound on staleness leaves open."""
        assert len(answers) == len(questions)
        self.answered += 1
        assert any(
            [facts_at(state, question) for question in questions] == list(answers)
            for state in self.open_states()
        ), "an answer is no state of the registry, or one that is too old"

    def open_states(self) -> list[State]:
        """Return the states that were in force at any moment of the last `STALENESS_SECONDS`."""
        since = self.clock.seconds - STALENESS_SECONDS
        times = self.registry.times
        before = [at for at, (moment, _) in enumerate(times) if moment < since]
        return [state for _, state in times[before[-1] if before else 0 :]]

    async def come_to_rest(self) -> None:
        """Let every call return: all are answered, and the present state is found."""
        self.registry.broken = None
        await settle(self.looks, self.loads)
        self.judge()
        assert self.asked == []
        for what in RECORDINGS:
            last = (FactsQuestion("s1", what),)
            task = asyncio.ensure_future(self.cache.facts_for(last, 0))
            self.clock.seconds += STALENESS_SECONDS * 2
            await settle(self.looks, self.loads)
            assert list(await task) == [facts_at(self.registry.states[-1], last[0])]
        await self.cache.close()


@given(seed=st.integers(0, 2**32))
@example(seed=0)
def test_every_answer_is_a_state_of_the_registry_that_is_young_enough(seed: int) -> None:
    """An answer never mixes two moments; a revocation is never missed for longer than allowed."""
    asyncio.run(Schedule(Random(seed)).run())


def test_the_schedules_do_lead_to_answers() -> None:
    """Or the property above would hold of nothing."""
    schedules = [Schedule(Random(seed)) for seed in range(20)]

    for schedule in schedules:
        asyncio.run(schedule.run())

    assert sum(schedule.answered for schedule in schedules) > 100
