"""What was known at an instant is what a naive copy of that state says, whatever came after."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_service.facts.as_of import SqlHistory
from authz_service.facts.database import Database
from authz_service.facts.retention import removing
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.operations.ports import FactsQuestion
from authz_service.pdp.decide import decide
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import FactsUnavailableError, HistoryGoneError
from authz_service.pdp.model import AccessRequest, Action, Instant, PurposeOfUse
from authz_service.policy.source import BundleSource
from tests.contract.facts.histories import STARTS, History, MovedClock, State, Step, founding, steps
from tests.contract.facts.registry_cases import (
    ACTOR,
    attendance,
    block,
    consultation,
    fact,
    recording,
    reference,
    reset,
    run,
    subject,
    tenant,
    world,
)
from tests.contract.facts.test_load_equals_world import PEOPLE, RECORDINGS

EXAMPLES = int(os.environ.get("AUTHZ_TEST_HISTORIES", "25"))
RULESET = BundleSource(Path(__file__).parents[3] / "policies").load().ruleset
NOTHING = timedelta()
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def history(registry_url: str) -> Iterator[SqlHistory]:
    made = SqlHistory(registry_url)
    yield made
    made.close()


def instants_of(states: list[State]) -> st.SearchStrategy[list[Instant]]:
    """Return some edges of states."""
    edges = [one.recorded_at + by for one in states for by in (-MICROSECOND, NOTHING, MICROSECOND)]
    return st.lists(st.sampled_from(edges[1:]), min_size=2, max_size=3, unique=True)


def test_an_instant_shows_the_state_of_its_revision(registry_url: str) -> None:
    """And so does every decision; also once history before a horizon was removed.

    Most of it is tried on SQLite: what is asked of the databases is the same.
    """
    examples = EXAMPLES if registry_url.startswith("sqlite") else EXAMPLES // 5

    @given(taken=steps, chosen=st.data())
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def shows_it(taken: list[Step], chosen: st.DataObject) -> None:
        reset(registry_url)
        copied = History(registry_url)
        copied.take([founding(), *taken])
        past = SqlHistory(registry_url)

        held(past, copied, chosen.draw(instants_of(copied.states)), horizon=0)
        horizon = chosen.draw(st.sampled_from([one.revision for one in copied.states]))
        remove(registry_url, horizon)
        remove(registry_url, chosen.draw(st.integers(0, horizon)))
        copied.take(chosen.draw(steps)[:2])
        held(past, copied, chosen.draw(instants_of(copied.states)), horizon=horizon)
        past.close()

    shows_it()


def held(past: SqlHistory, copied: History, instants: Iterable[Instant], *, horizon: int) -> None:
    """Hold what was known at *instants*, about everything, against the copies."""
    for at in instants:
        then = copied.at(at)
        for who in PEOPLE:
            for what in RECORDINGS:
                same_as(past, FactsQuestion(who, what), at, then, horizon=horizon)


def same_as(
    past: SqlHistory, question: FactsQuestion, at: Instant, then: State, *, horizon: int
) -> None:
    """Hold what was known of a question *at* an instant against the copy of that state."""
    if then.revision < max(horizon, 1):
        with pytest.raises(HistoryGoneError):
            past.read(question, at)
        return
    expected = then.facts_for(*question)

    found = past.read(question, at)

    assert found == expected
    request = AccessRequest(*question, Action.VIEW, PurposeOfUse.PATRQT)
    assert decide(request, found, RULESET, at) == decide(request, expected, RULESET, at)


def remove(url: str, horizon: int) -> dict[str, int]:
    """Remove the history before *horizon*; return how many rows went, by table."""
    database = Database(url, lock_seconds=2, pool=1)
    rows: dict[str, int] = {}
    for one in removing(database, horizon):
        rows[one.table] = rows.get(one.table, 0) + one.rows
    database.close()
    return rows


@pytest.mark.parametrize(
    ("recorded", "asked", "revision"),
    [
        pytest.param((1, 2, 3), 2, 2, id="a-write-counts-from-its-own-instant-on"),
        pytest.param((1, 2, 3), 2.5, 2, id="between-two"),
        pytest.param((1, 2, 3), 9, 3, id="after-the-last"),
        pytest.param((1, 50, 2, 3), 10, 1, id="one-clock-jumped-ahead-and-ends-it"),
        pytest.param((1, 50, 2, 3), 50, 4, id="until-its-instant-has-come"),
        pytest.param((10, 20, 5, 30), 15, 1, id="one-clock-jumped-back-and-tells-nothing-early"),
        pytest.param((10, 20, 5, 30), 20, 3, id="a-write-behind-the-clock-counts-by-its-order"),
        pytest.param((10, 9, 11, 10, 12), 10, 2, id="two-replicas-a-second-apart"),
        pytest.param((10, 9, 11, 10, 12), 11, 4, id="two-replicas-a-second-later"),
        pytest.param((5, 5, 5), 5, 3, id="all-at-one-instant"),
    ],
)
async def test_the_first_write_recorded_after_an_instant_ends_it(
    registry_url: str, history: SqlHistory, recorded: tuple[int, ...], asked: float, revision: int
) -> None:
    """Revisions are the order of writes; clocks only say when, and nothing later is let in."""
    await written_each_second(registry_url, recorded)

    found = await history.facts_as_of(FactsQuestion("ana", "r1"), STARTS + SECOND * asked)

    assert found.revision == revision


async def written_each_second(url: str, recorded: Sequence[int]) -> None:
    """Write something at each of some seconds, as the clocks of the writers say."""
    for day, second in enumerate(recorded):
        registry = SqlRegistry(url, MovedClock(STARTS + SECOND * second))
        await registry.write([fact(tenant("uk"), day=day)], actor=ACTOR)
        registry.close()


async def test_links_blocks_disputes_and_deletions_are_those_of_then(
    registry_url: str, history: SqlHistory
) -> None:
    """Ana's recording: first hers, then Bob blocked, then disputed; then all of it is gone."""
    clock = MovedClock()
    registry = SqlRegistry(registry_url, clock)
    states = (
        world(),
        [fact(block(), day=1), fact(subject("bob", same_person_as=("ana",)), day=1)],
        [fact(recording("bob"), day=2), fact(consultation("bob"), day=2)],
        [fact(attendance("bob"), day=3), fact(subject("bob", tenant_id="us"), day=3)],
    )
    for state in states:
        clock.at += SECOND
        await registry.write(state, actor=ACTOR)
    question = FactsQuestion("bob", "r1")

    found = [await history.facts_as_of(question, STARTS + SECOND * one) for one in (1, 2, 3, 4)]

    people = [facts.subject.person_ids for facts in found if facts.subject is not None]
    assert [sorted(ids) for ids in people] == [["bob"], ["ana", "bob"], ["ana", "bob"], ["bob"]]
    registry.close()


@pytest.mark.parametrize(
    ("horizon", "words"),
    [
        pytest.param(0, "begins at 2022-01-01T00:00:01Z, with revision 1", id="the-first-write"),
        pytest.param(2, "begins at 2022-01-01T00:00:02Z, with revision 2", id="what-is-kept"),
    ],
)
async def test_before_the_history_the_refusal_says_from_when_on_there_is(
    registry_url: str, history: SqlHistory, horizon: int, words: str
) -> None:
    await written_each_second(registry_url, (1, 2, 3))
    remove(registry_url, horizon)

    with pytest.raises(HistoryGoneError, match=words):
        await history.facts_as_of(FactsQuestion("ana", "r1"), STARTS + SECOND * max(horizon - 1, 0))


async def test_where_nothing_was_ever_written_there_is_no_history(
    registry_url: str, history: SqlHistory
) -> None:
    with pytest.raises(HistoryGoneError, match="nothing was ever written"):
        await history.facts_as_of(FactsQuestion("ana", "r1"), STARTS)


async def test_what_is_no_change_of_its_own_is_kept_once_it_is_replaced(
    registry_url: str, history: SqlHistory
) -> None:
    """Programs before this one filled registries without a change for each fact."""
    registry = SqlRegistry(registry_url, MovedClock())
    await registry.write(world(), actor=ACTOR)
    registry.close()
    run(registry_url, "DELETE FROM fact_changes WHERE revision = 1")
    registry = SqlRegistry(registry_url, MovedClock(STARTS + SECOND))
    await registry.write([fact(recording("bob"), day=1)], actor=ACTOR)
    await registry.delete([reference(FactKind.CONSULTATION, "c1")], actor=ACTOR)
    registry.close()

    then = await history.facts_as_of(FactsQuestion("ana", "r1"), STARTS)
    now = await history.facts_as_of(FactsQuestion("ana", "r1"), STARTS + SECOND)

    assert then.recording is not None
    assert then.recording.recording.entity.owner_id == "ana"
    assert then.recording.consultation is not None
    assert now.recording is not None
    assert (now.recording.recording.entity.owner_id, now.recording.consultation) == ("bob", None)


async def test_an_instant_of_another_schema_is_not_answered(
    own_registry_url: str,
) -> None:
    run(
        own_registry_url,
        "UPDATE facts_schema SET version_num = '9999'",
        "UPDATE facts_revision SET works_from = '9999'",
    )
    past = SqlHistory(own_registry_url)

    with pytest.raises(FactsUnavailableError, match="of version 9999"):
        await past.facts_as_of(FactsQuestion("ana", "r1"), STARTS)
    past.close()
