"""A list holds what checks allow one by one, whatever the world, and whatever is written between.

The whole path on each database: candidates by SQL, facts out of the cache, and the operations.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.facts.opening import cache_over, lists_over
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations import page_filling
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.batch_check_access import BatchCheckAccess, Semantics
from authz_service.operations.list_recordings import ListOutcome, ListRecordings
from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey, ListRequest
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import CandidateSource, LoadedPolicy
from authz_service.operations.records import CallContext, Record
from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp.entities import Entity, Recording
from authz_service.pdp.errors import InvalidRequestError, StateError
from authz_service.pdp.facts import Fact, FactReference
from authz_service.pdp.model import AccessRequest, Action, Effect, Instant, PurposeOfUse
from authz_service.pdp.ruleset import Ruleset
from authz_service.policy.source import BundleSource
from authz_service.telemetry.meters import FactsMeter
from tests.contract.facts.registry_cases import SteppingClock, SystemClock, empty
from tests.property.pdp_worlds import (
    CONTAINMENTS,
    ENTITIES,
    INSTANTS,
    NOW,
    OPEN,
    SUPPORTED_REQUESTS,
    WORLDS,
    as_fact,
)

POLICIES = Path(__file__).resolve().parents[3] / "policies"
ASKER = CallContext("loopback", "r")
MANY = tuple(f"m{number:02}" for number in range(32))
NEW = tuple(f"n{number}" for number in range(4))
EVERY = ("r1", "r2", "r3", *MANY, *NEW)


def made_at(recording_id: str) -> Instant:
    """Return when a recording was made: two at a time, new ones among the others."""
    if recording_id in MANY:
        return INSTANTS[0] + timedelta(minutes=1 + int(recording_id[1:]) // 2)
    if recording_id in NEW:
        return INSTANTS[0] + timedelta(minutes=2 + 5 * int(recording_id[1:]))
    return INSTANTS[1]


def in_its_place(entity: Entity) -> Entity:
    """Return *entity* with the instant that its id stands for, if it has one."""
    if isinstance(entity, Recording) and entity.created_at is not None:
        return replace(entity, created_at=made_at(entity.id))
    return entity


def recorded(recording_id: str, number: int) -> tuple[Entity, ...]:
    """Return a sound recording of p1 or p2, in turn."""
    owner_id, booked = (("p1", "c1"), ("p2", "c2"))[number % 2]
    people = (
        e.Participant(owner_id, w.ParticipantKind.PATIENT),
        e.Participant("s1", w.ParticipantKind.CLINICIAN),
    )
    active, made = w.RecordingState.ACTIVE, made_at(recording_id)
    return (
        e.Recording(recording_id, "t1", active, booked, owner_id, created_at=made),
        e.Attendance(recording_id, people),
    )


@st.composite
def changed(draw: st.DrawFn) -> Entity:
    """One of the many, changed in some way, or a new one."""
    recording_id = draw(st.sampled_from((*MANY, *NEW, *NEW, *NEW)))
    recording, _ = recorded(recording_id, draw(st.integers(0, 1)))
    assert isinstance(recording, Recording)
    return replace(
        recording,
        state=draw(st.sampled_from((w.RecordingState.ACTIVE, *w.RecordingState))),
        sealed=draw(st.booleans()),
        owner_id=draw(st.sampled_from((recording.owner_id, recording.owner_id, "p2", None))),
        created_at=draw(st.sampled_from((recording.created_at, recording.created_at, None))),
    )


new_ones = st.sampled_from(NEW).map(lambda one: recorded(one, int(one[1:])))
entities: st.SearchStrategy[tuple[Entity, ...]] = new_ones | st.one_of(
    ENTITIES, ENTITIES, changed(), changed(), CONTAINMENTS
).map(lambda entity: (in_its_place(entity),))
deletions = st.builds(
    FactReference,
    st.sampled_from((w.FactKind.RECORDING, w.FactKind.ATTENDANCE)),
    st.sampled_from(EVERY),
) | st.builds(
    FactReference,
    st.sampled_from((w.FactKind.DELEGATION, w.FactKind.GRANT, w.FactKind.RELATIONSHIP)),
    st.sampled_from(("d1", "d4", "g1", "g4", "l1", "l3")),
)


class Change(NamedTuple):
    """What is written, and what is deleted, between two pages."""

    written: Sequence[Sequence[Entity]]
    deleted: Sequence[FactReference]


changes = st.builds(
    Change, st.lists(entities, min_size=1, max_size=4), st.lists(deletions, max_size=2)
)
denied = st.lists(st.sampled_from(MANY), max_size=24, unique=True)


USUAL = (
    ("s1", PurposeOfUse.TREAT),
    ("s1", PurposeOfUse.TREAT),
    ("p1", PurposeOfUse.PATRQT),
    ("p2", PurposeOfUse.PATRQT),
    ("p3", PurposeOfUse.FAMRQT),
    ("s2", PurposeOfUse.TREAT),
)


@st.composite
def questions(draw: st.DrawFn, largest: int) -> ListRequest:
    """A question that mostly somebody asks who is allowed something, in pages of any size."""
    odd: AccessRequest = draw(SUPPORTED_REQUESTS)
    subject_id, purpose = draw(st.sampled_from((*USUAL, (odd.subject_id, odd.purpose_of_use))))
    window = draw(st.sampled_from(((None, None), (None, None), (made_at("m04"), made_at("m29")))))
    return ListRequest(
        subject_id,
        draw(st.sampled_from((Action.LIST, Action.VIEW, odd.action))),
        purpose,
        odd.tenant_id,
        odd.assurance,
        odd.authenticated_at,
        odd.matter_id,
        draw(st.sampled_from((None, None, "p1", "p2"))) if subject_id[0] == "s" else None,
        *window,
        page_size=draw(st.integers(1, 5) | st.integers(1, largest)),
    )


class NowClock:
    """Stands still."""

    def now(self) -> Instant:
        return NOW


class Paper:
    """A journal that keeps what it was given."""

    def __init__(self) -> None:
        self.lines: list[Sequence[Record]] = []

    def require_usable(self) -> None: ...

    async def append(self, records: Sequence[Record]) -> None:
        self.lines.append(records)


class Unheard:
    """Counts nothing."""

    def listed(self, action: str, rows: int, candidates: int, seconds: float) -> None: ...

    def alarmed(self, reason: str) -> None: ...

    def decided(self, effect: str, reason: str, action: str, seconds: float) -> None: ...


class Interrupted:
    """Candidates, before each chunk of which something may happen.

    Attributes:
        before_chunks: What happens, one before each chunk from the second on.
        asked: How many chunks there were.
    """

    def __init__(self, candidates: CandidateSource) -> None:
        self._candidates = candidates
        self.before_chunks: list[Callable[[], Awaitable[None]]] = []
        self.asked = 0

    async def candidates(
        self, question: CandidateQuestion, *, after: ListKey | None, limit: int, at_least: int
    ) -> CandidatePage:
        self.asked += 1
        if self.asked > 1 and self.before_chunks:
            await self.before_chunks.pop(0)()
        return await self._candidates.candidates(
            question, after=after, limit=limit, at_least=at_least
        )


class Clinic:
    """A registry on a database, with the two operations over it."""

    def __init__(self, registry: SqlRegistry, reader: SqlReader, ruleset: Ruleset) -> None:
        self.facts = cache_over(
            reader,
            staleness_seconds=0,
            max_entries=10_000,
            metrics=FactsMeter(),
            on_usable=lambda _usable, _why: None,
        )
        self.candidates = lists_over(reader, self.facts)
        self.interrupted = Interrupted(self.candidates)
        self.paper = Paper()
        clock, heard, numbers = NowClock(), Unheard(), count()
        policy = ActivePolicy(clock)
        policy.activate(LoadedPolicy(ruleset, 1, 0))
        self._registry = registry
        self._day = count()
        self.list = ListRecordings(
            policy,
            self.facts,
            self.paper,
            candidates=self.interrupted,
            tokens=PageTokens(b"k" * 32, "recordings"),
            clock=clock,
            observer=heard,
            new_id=lambda: f"d{next(numbers)}",
        )
        self._check = BatchCheckAccess(
            policy, self.facts, self.paper, clock=clock, observer=heard, new_id=str
        )

    async def write(self, entities: Iterable[Entity]) -> None:
        """Write what may be written; what the rules of writing refuse is left out."""
        seen_at = INSTANTS[0] + timedelta(hours=next(self._day))
        facts = {
            (type(one), one.id): replace(as_fact(one), observed_at=seen_at) for one in entities
        }
        await self._write_or_halve(list(facts.values()))

    async def _write_or_halve(self, facts: list[Fact[Any]]) -> None:
        try:
            await self._registry.write(facts, actor="ada")
        except (StateError, InvalidRequestError):
            if len(facts) > 1:
                await self._write_or_halve(facts[: len(facts) // 2])
                await self._write_or_halve(facts[len(facts) // 2 :])

    async def change(self, change: Change) -> None:
        await self.write(entity for some in change.written for entity in some)
        for reference in change.deleted:
            try:
                await self._registry.delete((reference,), actor="ada")
            except StateError:
                continue  # it denies something, and stays

    async def page(self, request: ListRequest) -> ListOutcome:
        return await self.list(request, ASKER, at_least=0, started_ns=0)

    async def allowed(self, request: ListRequest) -> list[str]:
        """Return what checks allow among all that *request* asks for, newest first."""
        asked = [
            AccessRequest(
                request.subject_id, each, request.action, request.purpose_of_use,
                request.tenant_id, request.assurance, request.authenticated_at, request.matter_id,
            )
            for each in EVERY
        ]  # fmt: skip
        answers = await self._check(
            asked, ASKER, semantics=Semantics.EXECUTE_ALL, at_least=0, started_ns=0
        )
        found = [
            record.request.recording_id
            for record in answers.records
            if record.request is not None
            and record.decision.effect is Effect.ALLOW
            and request.patient_id in (None, record.decision.patient_id)
            and _is_within(record.request.recording_id, request)
        ]
        return sorted(found, key=lambda one: (made_at(one), one), reverse=True)


def _is_within(recording_id: str, request: ListRequest) -> bool:
    made, start, end = made_at(recording_id), request.created_from, request.created_to
    return (start is None or start <= made) and (end is None or made < end)


@asynccontextmanager
async def clinic(url: str, ruleset: Ruleset) -> AsyncIterator[Clinic]:
    """Open a clinic on the registry at *url*."""
    registry, reader = SqlRegistry(url, SteppingClock()), SqlReader(url, SystemClock())
    opened = Clinic(registry, reader, ruleset)
    await opened.facts.start()
    try:
        yield opened
    finally:
        opened.candidates.close()
        await opened.facts.close()
        reader.close()
        registry.close()


@cache
def shipped() -> Ruleset:
    return BundleSource(POLICIES).load().ruleset


rulesets = st.sampled_from(("open", "shipped"))


def ruleset_called(name: str) -> Ruleset:
    return OPEN if name == "open" else shipped()


def world_of(known: Sequence[Fact[Any]], closed: Sequence[str]) -> list[Entity]:
    """Return the entities of a world with many recordings, some of them closed."""
    many = [entity for n, one in enumerate(MANY) for entity in recorded(one, n)]
    return [
        *many,
        *(in_its_place(fact.entity) for fact in known),
        *(
            replace(entity, state=w.RecordingState.QUARANTINED)
            for entity in many
            if isinstance(entity, Recording) and entity.id in closed
        ),
    ]


def ids(page: ListOutcome) -> list[str]:
    return [row.record.request.recording_id for row in page.rows if row.record.request]


@pytest.mark.slow
@given(WORLDS, denied, rulesets, st.lists(questions(40), min_size=4, max_size=4))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_list_is_what_checks_allow(
    registry_url: str,
    known: list[Fact[Any]],
    closed: list[str],
    policy: str,
    asked: list[ListRequest],
) -> None:
    """All of it, newest first, each once; every page but the last full; every row on record."""
    empty(registry_url)

    async def compare() -> None:
        async with clinic(registry_url, ruleset_called(policy)) as here:
            await here.write(world_of(known, closed))
            for request in asked:
                pages = [await here.page(request)]
                while pages[-1].next_page_token:
                    on = request._replace(page_token=pages[-1].next_page_token)
                    pages.append(await here.page(on))
                recorded = [len(line) - 1 for line in here.paper.lines[-len(pages) :]]
                found = [one for page in pages for one in ids(page)]
                assert found == await here.allowed(request)
                assert all(len(page.rows) == request.page_size for page in pages[:-1])
                assert pages[-1].rows or len(pages) == 1
                assert recorded == [len(page.rows) for page in pages]

    asyncio.run(compare())


@pytest.mark.slow
@given(WORLDS, denied, rulesets, questions(7), st.lists(changes, min_size=1, max_size=5))
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_write_between_pages_lets_a_list_show_too_much(
    registry_url: str,
    known: list[Fact[Any]],
    closed: list[str],
    policy: str,
    asked: ListRequest,
    between: list[Change],
) -> None:
    """Nothing that a check would deny at that moment; all that was allowed throughout, once."""
    empty(registry_url)

    async def compare() -> None:
        async with clinic(registry_url, ruleset_called(policy)) as here:
            await here.write(world_of(known, closed))
            request, found, later = asked, list[str](), iter(between)
            allowed = await here.allowed(request)
            throughout = set(allowed)
            while True:
                page = await here.page(request)
                assert [one for one in ids(page) if one not in allowed] == []
                found += ids(page)
                if not page.next_page_token:
                    break
                change = next(later, None)
                if change is not None:
                    await here.change(change)
                    allowed = await here.allowed(request)
                    throughout &= set(allowed)
                request = request._replace(page_token=page.next_page_token)
            assert found == sorted(set(found), key=lambda one: (made_at(one), one), reverse=True)
            assert throughout <= set(found)

    asyncio.run(compare())


@pytest.mark.slow
@given(WORLDS, denied, rulesets, questions(7), st.lists(changes, min_size=1, max_size=5))
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_write_between_the_chunks_of_a_page_makes_it_differ_from_checks(
    registry_url: str,
    known: list[Fact[Any]],
    closed: list[str],
    policy: str,
    asked: ListRequest,
    between: list[Change],
) -> None:
    """The page is what checks allow on the revision that it names, no more and no less."""
    empty(registry_url)

    async def compare() -> None:
        async with clinic(registry_url, ruleset_called(policy)) as here:
            await here.write(world_of(known, closed))
            here.interrupted.before_chunks = [partial(here.change, one) for one in between]
            page = await here.page(asked)
            allowed = await here.allowed(asked)
            assert ids(page) == allowed[: asked.page_size]
            assert page.record.is_last == (len(allowed) <= asked.page_size)
            assert page.record.facts_revision == here.facts.revision

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(page_filling, "FEWEST_CANDIDATES", 1)
        asyncio.run(compare())
