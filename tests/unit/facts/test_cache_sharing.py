"""Who misses together loads together; who leaves disturbs nobody; what is stuck fails fast."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from authz_service.facts.cache import FactsCache
from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.reader import Key, Look
from authz_service.pdp.errors import FactsUnavailableError
from tests.fake_registry import FakeRegistry, question, recording, settle, subject, turns
from tests.unit.facts.cache_on_steps import Stage, staged, started

ANN_R1 = question("ann", "r1")
BOB_R2 = question("bob", "r2")
QUICK = CacheBounds(timeout_seconds=0.05)


async def test_sixty_four_misses_at_once_are_one_load() -> None:
    stage = await started(CacheBounds())
    stage.registry.calls.clear()

    answers = [stage.ask(question(f"s{i}", f"r{i}")) for i in range(64)]
    await settle(stage.looks, stage.loads)
    await asyncio.gather(*answers)

    assert [call for call, _ in stage.registry.calls] == ["load"]


async def test_misses_while_all_loaders_are_busy_go_together_with_the_next_load() -> None:
    stage = await started(CacheBounds(loaders=2))
    answers = []
    for i in range(64):
        answers.append(stage.ask(question(f"s{i}", f"r{i}")))
        await turns()
    assert len(stage.loads.jobs) == 2

    await settle(stage.looks, stage.loads)
    await asyncio.gather(*answers)

    assert stage.registry.count("load") == 1 + 3


async def test_a_key_is_not_loaded_twice_at_the_same_time() -> None:
    stage = await started(CacheBounds())
    first = stage.ask(ANN_R1)
    await turns()
    second = stage.ask(ANN_R1)
    await turns()

    assert len(stage.loads.jobs) == 1
    await settle(stage.loads)
    assert await first == await second


async def test_a_big_batch_is_loaded_in_parts() -> None:
    stage = await started(CacheBounds(max_load_keys=10))
    many = [question(f"s{i}", f"r{i}") for i in range(25)]

    answers = await stage.answer(*many)

    assert len(answers) == 25
    assert max(len(keys) for _, keys in stage.registry.calls) == 10
    assert stage.loads.most_jobs == 2


async def test_who_leaves_does_not_take_the_load_along() -> None:
    stage = await started(CacheBounds())
    leaving, staying = stage.ask(ANN_R1), stage.ask(ANN_R1)
    await turns()

    leaving.cancel()
    await settle(stage.loads)

    assert leaving.cancelled()
    assert (await staying)[0].recording is not None
    assert stage.cache.cached(ANN_R1, 0) is not None


async def test_who_leaves_does_not_take_the_look_along() -> None:
    stage = await started(CacheBounds())
    await stage.answer(ANN_R1)
    stage.clock.seconds += 0.06
    leaving, staying = stage.ask(ANN_R1), stage.ask(ANN_R1)
    await turns()

    leaving.cancel()
    await settle(stage.looks)

    assert (await staying)[0].revision == 1
    assert stage.registry.count("look") == 2


async def test_a_failed_look_fails_all_who_wait_and_the_next_call_tries_again() -> None:
    stage = await started(CacheBounds())
    await stage.answer(ANN_R1)
    stage.registry.broken = FactsUnavailableError("it is locked")
    stage.clock.seconds += 0.06
    asked = [stage.ask(ANN_R1) for _ in range(8)]
    await settle(stage.looks)

    outcomes = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(one) for one in outcomes] == [FactsUnavailableError] * 8
    assert stage.cache.cached(ANN_R1, 0) is None
    assert stage.registry.count("look") == 2
    stage.registry.broken = None
    assert (await stage.answer(ANN_R1))[0].revision == 1


async def test_a_failed_look_stands_for_a_while_so_that_no_crowd_meets_who_comes_back() -> None:
    stage = await started(CacheBounds(retry_seconds=60))
    await stage.answer(ANN_R1)
    stage.registry.broken = FactsUnavailableError("it is starting")
    stage.clock.seconds += 0.06
    with pytest.raises(FactsUnavailableError):
        await stage.answer(ANN_R1)
    asked = len(stage.registry.calls)

    for question_after_it in (ANN_R1, BOB_R2):
        with pytest.raises(FactsUnavailableError, match="it is starting"):
            await stage.ask(question_after_it)

    assert len(stage.registry.calls) == asked


async def test_a_failed_load_fails_those_who_miss_it_and_no_others() -> None:
    stage = await started(CacheBounds())
    await stage.answer(ANN_R1)
    stage.registry.broken = FactsUnavailableError("it is locked")

    with pytest.raises(FactsUnavailableError, match="it is locked"):
        await stage.answer(BOB_R2)

    assert stage.cache.cached(ANN_R1, 0) is not None
    stage.registry.broken = None
    assert (await stage.answer(BOB_R2))[0].recording is not None


async def test_a_bug_in_the_reader_reaches_those_who_wait() -> None:
    stage = await started(CacheBounds())
    stage.registry.broken = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        await stage.answer(ANN_R1)


async def test_a_stuck_look_fails_everybody_in_time_then_at_once_and_recovers() -> None:
    stage = await started(QUICK)
    await stage.answer(ANN_R1)
    stage.clock.seconds += 0.06
    with pytest.raises(FactsUnavailableError):
        await stage.cache.facts_for((ANN_R1,), 0)
    before = time.monotonic()
    with pytest.raises(FactsUnavailableError):
        await stage.cache.facts_for((ANN_R1,), 0)
    assert time.monotonic() - before < 0.04
    assert (stage.looks.most_jobs, stage.cache.usable) == (1, False)

    await settle(stage.looks)

    assert stage.cache.usable
    assert stage.cache.cached(ANN_R1, 0) is not None
    assert [usable for usable, _ in stage.usable] == [True, False, True]


async def test_stuck_loads_do_not_pile_up() -> None:
    stage = await started(QUICK)
    for i in range(6):
        with pytest.raises(FactsUnavailableError):
            await stage.cache.facts_for((question(f"s{i}", "r1"),), 0)
    assert stage.loads.most_jobs == 2

    await settle(stage.loads)

    assert (await stage.answer(ANN_R1))[0].recording is not None


async def test_a_stuck_thread_is_given_up_on_by_the_clock() -> None:
    """With real threads: the look blocks, the caller does not."""
    blocked, free = threading.Event(), threading.Event()

    class Stuck(FakeRegistry):
        def look(self) -> Look:
            if blocked.is_set():
                free.wait(10)
            return super().look()

    def told(usable: bool) -> None:  # noqa: FBT001  # as the cache tells it
        if usable:
            recovered.set()

    registry = Stuck(time.monotonic)
    registry.write(subject_ann=subject("ann", "a"), recording_r1=recording("r1", None, "r"))
    recovered = asyncio.Event()
    bounds = CacheBounds(staleness_seconds=0.0, timeout_seconds=0.1)
    cache = FactsCache(registry, bounds, on_usable=lambda usable, why: told(usable))
    await cache.start()
    try:
        assert (await cache.facts_for((ANN_R1,), 0))[0].revision == 1
        blocked.set()
        with pytest.raises(FactsUnavailableError):
            await cache.facts_for((ANN_R1,), 0)
        recovered.clear()
        blocked.clear()
        free.set()
        await asyncio.wait_for(recovered.wait(), 5)
        assert (await cache.facts_for((ANN_R1,), 0))[0].revision == 1
    finally:
        free.set()
        await cache.close()


async def test_start_fails_where_the_registry_is_not_usable() -> None:
    stage = staged(CacheBounds())
    stage.registry.broken = FactsUnavailableError("it is of another schema")
    starting = asyncio.ensure_future(stage.cache.start())
    await settle(stage.looks, stage.loads)

    with pytest.raises(FactsUnavailableError, match="another schema"):
        await starting

    assert not stage.cache.usable
    await stage.cache.close()


async def test_health_follows_the_registry_when_nobody_asks() -> None:
    stage = await started(CacheBounds(idle_look_seconds=0.01))
    stage.registry.broken = FactsUnavailableError("it is gone")
    stage.looks.came.clear()
    stage.clock.seconds += 1.0
    await idle_until_looked(stage)
    assert stage.usable[-1] == (False, "the registry is not usable: it is gone")

    stage.registry.broken = None
    await idle_until_looked(stage)

    assert stage.usable[-1] == (True, "")
    await stage.cache.close()


async def idle_until_looked(stage: Stage) -> None:
    """Wait until the cache looks by itself, and let it."""
    async with asyncio.timeout(5):
        await stage.looks.came.wait()
    await settle(stage.looks)
    stage.looks.came.clear()


async def test_after_closing_everybody_fails_at_once() -> None:
    stage = await started(CacheBounds())
    await stage.answer(BOB_R2)
    waiting = stage.ask(ANN_R1)
    await turns()

    await stage.cache.close()

    for asked in (waiting, stage.ask(question("eve", "r9")), stage.ask(ANN_R1, at_least=9)):
        with pytest.raises(FactsUnavailableError, match="closing"):
            await asked
    stage.clock.seconds += 0.03
    assert stage.cache.cached(BOB_R2, 0) is not None


async def test_known_facts_stay_within_their_bound() -> None:
    stage = await started(CacheBounds(max_entries=8))

    for i in range(40):
        await stage.answer(question(f"s{i}", "r1"), question(f"t{i}", f"r{i}"))
    stage.registry.put({Key("subject", f"s{i}"): subject(f"s{i}", "s") for i in range(40)})
    for i in range(40):
        await stage.answer(question(f"s{i}", "r1"), at_least=2)

    counts = stage.cache.counts()
    assert (counts.entries["subject"], counts.evicted["subject"]) == (8, 32)


async def test_a_batch_larger_than_the_cache_is_answered_all_the_same() -> None:
    stage = await started(CacheBounds(max_entries=2))
    stage.registry.put({Key("subject", f"s{i}"): subject(f"s{i}", "s") for i in range(9)})

    answers = await stage.answer(*(question(f"s{i}", "r1") for i in range(9)), at_least=2)

    assert [facts.subject and facts.subject.subject.id for facts in answers] == [
        f"s{i}" for i in range(9)
    ]


async def test_a_scan_over_unknown_ids_evicts_nothing_that_is_known() -> None:
    stage = await started(CacheBounds(max_entries=8, max_unknown=4))
    await stage.answer(ANN_R1)

    for i in range(50):
        await stage.answer(question(f"nobody{i}", f"nothing{i}"))

    assert stage.cache.counts().entries["unknown"] == 4
    assert stage.cache.cached(ANN_R1, 0) is not None


async def test_an_unknown_id_is_held_until_somebody_registers_it() -> None:
    stage = await started(CacheBounds())
    await stage.answer(question("eve", "r9"))
    unknown = stage.cache.cached(question("eve", "r9"), 0)
    assert unknown is not None
    assert (unknown.subject, unknown.recording, unknown.patient) == (None, None, None)

    stage.registry.write(subject_eve=subject("eve", "e"), recording_r9=recording("r9", "zoe", "r"))
    (known,) = await stage.answer(question("eve", "r9"), at_least=2)

    assert known.subject is not None
    assert known.recording is not None
    assert known.patient is None
    assert stage.cache.cached(question("eve", "r9"), 0) == known


async def test_the_cache_tells_what_it_holds_and_what_it_had_to_wait_for() -> None:
    stage = await started(CacheBounds())
    await stage.answer(ANN_R1)
    stage.cache.cached(ANN_R1, 0)
    await stage.answer(ANN_R1)

    counts = stage.cache.counts()

    assert counts.revision == 1
    assert counts.hits == {"subject": 2, "recording": 2, "patient": 2, "containments": 2}
    assert counts.misses == {"subject": 1, "recording": 1, "patient": 0, "containments": 0}
    assert counts.entries == {
        "subject": 1, "recording": 1, "patient": 1, "containments": 1, "unknown": 0
    }  # fmt: skip
