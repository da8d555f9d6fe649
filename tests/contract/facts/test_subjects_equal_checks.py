"""Those who may are those whom checks allow, one by one: on each database, by SQL and in pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.facts.opening import all_lists_over, cache_over
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations import list_subjects
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.batch_check_access import BatchCheckAccess, Semantics
from authz_service.operations.list_subjects import ListSubjects, SubjectsOutcome
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import FactsSource, LoadedPolicy, SubjectSource
from authz_service.operations.records import SubjectsRecord
from authz_service.operations.subjects import SubjectPage, SubjectsQuestion, SubjectsRequest
from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp.decide import decide
from authz_service.pdp.errors import FactsUnavailableError, InvalidRequestError, StateError
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import Action, Assurance, Effect, PurposeOfUse
from authz_service.pdp.ruleset import Ruleset
from authz_service.telemetry.meters import FactsMeter
from tests.contract.facts.registry_cases import SteppingClock, SystemClock, empty
from tests.contract.facts.test_lists_equal_checks import (
    ASKER,
    NowClock,
    Paper,
    Unheard,
    ruleset_called,
    rulesets,
)
from tests.property.pdp_worlds import NOW, SOUND, WORLDS, as_fact

SERVICES = tuple(f"v{number}" for number in range(1, 8))
EVERYBODY = ("nobody", "p1", "p2", "p3", "s1", "s2", *SERVICES)

questions = st.builds(
    SubjectsRequest,
    st.sampled_from(("r1", "r1", "r2", "nothing")),
    st.sampled_from((Action.VIEW, Action.LIST, Action.DELETE)),
    st.sampled_from(PurposeOfUse),
    st.sampled_from((None, None, "t1", "t2")),
    st.sampled_from((None, Assurance.MULTI_FACTOR, Assurance.MULTI_FACTOR)),
    st.just(NOW),
    st.sampled_from((None, "m1")),
    st.integers(1, 4),
    st.just(""),
)


class Desk:
    """A registry on a database, with the operation and the checks that it has to agree with."""

    def __init__(self, facts: FactsSource, subjects: SubjectSource, ruleset: Ruleset) -> None:
        policy, clock, self.paper = ActivePolicy(NowClock()), NowClock(), Paper()
        policy.activate(LoadedPolicy(ruleset, 1, 0))
        numbers = count()
        self.who = ListSubjects(
            policy,
            subjects,
            self.paper,
            tokens=PageTokens(b"k" * 32, "subjects"),
            clock=clock,
            new_id=lambda: f"d{next(numbers)}",
        )
        self._check = BatchCheckAccess(
            policy, facts, Paper(), clock=clock, observer=Unheard(), new_id=str
        )

    async def pages(self, request: SubjectsRequest) -> list[SubjectsOutcome]:
        """Return every page of *request*."""
        found = [await self.who(request, ASKER, at_least=0, started_ns=0)]
        while found[-1].next_page_token:
            on = request._replace(page_token=found[-1].next_page_token)
            found.append(await self.who(on, ASKER, at_least=0, started_ns=0))
        return found

    async def allowed(self, request: SubjectsRequest) -> list[tuple[str, str | None, list[str]]]:
        """Return whom checks allow, among everybody, by id."""
        answers = await self._check(
            [request.about(who) for who in sorted(EVERYBODY)],
            ASKER,
            semantics=Semantics.EXECUTE_ALL,
            at_least=0,
            started_ns=0,
        )
        return [
            (
                record.request.subject_id,
                record.decision.rule,
                sorted(relation for relation, _ in record.decision.evidence),
            )
            for record in answers.records
            if record.request is not None and record.decision.effect is Effect.ALLOW
        ]


@asynccontextmanager
async def desk(url: str, ruleset: Ruleset) -> AsyncIterator[tuple[Desk, SqlRegistry]]:
    """Open a desk on the registry at *url*."""
    registry, reader = SqlRegistry(url, SteppingClock()), SqlReader(url, SystemClock())
    cache = cache_over(
        reader,
        staleness_seconds=0.05,
        max_entries=100,
        metrics=FactsMeter(),
        on_usable=lambda _usable, _why: None,
    )
    await cache.start()
    lists = all_lists_over(reader, cache)
    try:
        yield Desk(cache, lists.subjects, ruleset), registry
    finally:
        lists.close()
        await cache.close()
        reader.close()
        registry.close()


async def fill(registry: SqlRegistry, known: Sequence[Fact[Any]]) -> None:
    """Write what may be written, each fact by itself; what is refused is left out."""
    services = [
        as_fact(e.Subject(name, tenant, w.SubjectKind.SERVICE, w.SubjectStatus.ACTIVE))
        for name, tenant in zip(SERVICES, ("t1", "t1", "t1", "t1", "t1", "t2", "t1"), strict=True)
    ]
    await _write(registry, [*_last(services), *_last(known)])


def _last(known: Sequence[Fact[Any]]) -> list[Fact[Any]]:
    return list({(type(one.entity), one.entity.id): one for one in known}.values())


async def _write(registry: SqlRegistry, facts: list[Fact[Any]]) -> None:
    try:
        await registry.write(facts, actor="ada")
    except (StateError, InvalidRequestError):
        if len(facts) > 1:
            await _write(registry, facts[: len(facts) // 2])
            await _write(registry, facts[len(facts) // 2 :])


@pytest.mark.slow
@given(WORLDS, rulesets, st.lists(questions, min_size=6, max_size=6))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_those_who_may_are_those_whom_checks_allow(
    registry_url: str, known: list[Fact[Any]], policy: str, asked: list[SubjectsRequest]
) -> None:
    """All of them, by id, each once, with rule and relations; every page but the last is full."""
    empty(registry_url)

    async def compare() -> None:
        async with desk(registry_url, ruleset_called(policy)) as (here, registry):
            await fill(registry, known)
            for request in asked:
                pages = await here.pages(request)
                rows = [row for page in pages for row in page.rows]
                assert [
                    (row.subject_id, row.rule, list(row.relations)) for row in rows
                ] == await here.allowed(request)
                assert all(len(page.rows) == request.page_size for page in pages[:-1])
                assert pages[-1].rows or len(pages) == 1
                assert [line[0] for line in here.paper.lines[-len(pages) :]] == [
                    page.record for page in pages
                ]
                assert [page.record.subject_ids for page in pages] == [
                    tuple(row.subject_id for row in page.rows) for page in pages
                ]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(list_subjects, "FEWEST_CANDIDATES", 2)
        asyncio.run(compare())


FRAME = [as_fact(one) for one in SOUND]
KEEPING = SubjectsRequest("r1", Action.DELETE, PurposeOfUse.HOPERAT, page_size=3)


async def test_every_service_of_the_tenant_may_delete(registry_url: str) -> None:
    """And none of another: six of them in pages of three, by the index of services."""
    empty(registry_url)
    async with desk(registry_url, ruleset_called("shipped")) as (here, registry):
        await fill(registry, FRAME)
        first, second = await here.pages(KEEPING)

    assert [row.subject_id for row in first.rows] == ["v1", "v2", "v3"]
    assert [row.subject_id for row in second.rows] == ["v4", "v5", "v7"]
    assert first.rows[0].rule == "records-delete"
    assert isinstance(first.record, SubjectsRecord)
    assert (first.record.is_last, second.record.is_last) == (False, True)


async def test_a_token_is_good_for_its_question_and_its_caller_alone(registry_url: str) -> None:
    empty(registry_url)
    async with desk(registry_url, ruleset_called("shipped")) as (here, registry):
        await fill(registry, FRAME)
        page = await here.who(KEEPING, ASKER, at_least=0, started_ns=0)
        on = KEEPING._replace(page_token=page.next_page_token)

        for request, context in (
            (on._replace(action=Action.VIEW), ASKER),
            (on._replace(recording_id="r2"), ASKER),
            (on._replace(matter_id="m1"), ASKER),
            (on, ASKER._replace(caller="another")),
        ):
            with pytest.raises(InvalidRequestError):
                await here.who(request, context, at_least=0, started_ns=0)
        larger = await here.who(on._replace(page_size=9), ASKER, at_least=0, started_ns=0)

    assert [row.subject_id for row in larger.rows] == ["v4", "v5", "v7"]


class Moving:
    """Candidates of a registry that is another one before every chunk."""

    def __init__(self, inner: SubjectSource) -> None:
        self._inner = inner
        self.revision = 0

    async def subjects(
        self, question: SubjectsQuestion, *, after: str, limit: int, at_least: int
    ) -> SubjectPage:
        self.revision += 1
        page = await self._inner.subjects(question, after=after, limit=1, at_least=at_least)
        return page._replace(revision=self.revision)


async def test_a_page_never_rests_on_two_states(registry_url: str) -> None:
    """Where the registry never stands still there is no page, and nothing is recorded."""
    empty(registry_url)
    async with desk(registry_url, ruleset_called("shipped")) as (here, registry):
        await fill(registry, FRAME)
        moving = Moving(here.who._subjects)
        here.who._subjects = moving

        with pytest.raises(FactsUnavailableError):
            await here.who(KEEPING, ASKER, at_least=0, started_ns=0)

    assert here.paper.lines == []


async def test_others_have_their_turn_however_long_one_takes(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patient with thousands of relationships makes each judgement long: one is a stretch."""
    turns, judged = count(), list[int]()
    times = count(0, list_subjects.STRETCH_NS + 1)

    def deciding(*asked: Any, **more: Any) -> Any:
        judged.append(next(turns))
        return decide(*asked, **more)

    async def others() -> None:
        while True:
            next(turns)
            await asyncio.sleep(0)

    async with desk(sqlite_url, ruleset_called("shipped")) as (here, registry):
        await fill(registry, FRAME)
        monkeypatch.setattr(list_subjects, "decide", deciding)
        monkeypatch.setattr(list_subjects, "perf_counter_ns", lambda: next(times))
        beside = asyncio.create_task(others())
        await here.who(KEEPING, ASKER, at_least=0, started_ns=0)
        beside.cancel()

    between = [after - before - 1 for before, after in pairwise(judged)]
    assert len(judged) == 4
    assert min(between) >= 1
