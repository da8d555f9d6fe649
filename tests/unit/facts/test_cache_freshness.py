"""What the cache answers is what the registry says: at one revision, and no older than allowed."""

from __future__ import annotations

import asyncio

import pytest

from authz_service.facts.cache_bounds import CacheBounds
from authz_service.pdp.errors import FactsUnavailableError, RevisionAheadError
from tests.fake_registry import (
    containments,
    facts_at,
    patient,
    question,
    recording,
    revisions,
    settle,
    subject,
    turns,
)
from tests.unit.facts.cache_on_steps import Stage, started

BOUNDS = CacheBounds(staleness_seconds=0.05)
ANN_R1 = question("ann", "r1")
BOB_R2 = question("bob", "r2")


async def warmed(bounds: CacheBounds = BOUNDS) -> Stage:
    """Return a cache that holds what ANN_R1 rests on."""
    stage = await started(bounds)
    await stage.answer(ANN_R1)
    stage.registry.calls.clear()
    return stage


async def test_what_is_held_is_answered_without_waiting() -> None:
    stage = await warmed()

    facts = stage.cache.cached(ANN_R1, 0)

    assert facts == facts_at(stage.registry.states[1], ANN_R1)
    assert stage.registry.calls == []


@pytest.mark.parametrize(
    ("asked", "at_least"),
    [
        pytest.param(question("eve", "r1"), 0, id="subject-not-held"),
        pytest.param(question("ann", "r2"), 0, id="recording-not-held"),
        pytest.param(ANN_R1, 2, id="revision-not-reached"),
    ],
)
async def test_what_is_not_held_has_to_be_waited_for(asked: object, at_least: int) -> None:
    stage = await warmed()
    assert isinstance(asked, type(ANN_R1))

    assert stage.cache.cached(asked, at_least) is None


async def test_a_look_older_than_the_bound_is_not_rested_on() -> None:
    stage = await warmed()

    stage.clock.seconds += 0.051

    assert stage.cache.cached(ANN_R1, 0) is None
    assert (await stage.answer(ANN_R1))[0].revision == 1
    assert stage.registry.calls == [("look", frozenset())]


async def test_steady_traffic_never_waits_for_a_look() -> None:
    """Half way to the bound, one look is sent in the background, and only one."""
    stage = await warmed()
    stage.clock.seconds += 0.03

    assert stage.cache.cached(ANN_R1, 0) is not None
    assert stage.cache.cached(ANN_R1, 0) is not None
    assert len(stage.looks.jobs) == 1

    await settle(stage.looks)
    stage.clock.seconds += 0.03
    assert stage.cache.cached(ANN_R1, 0) is not None


async def test_a_revocation_is_obeyed_once_the_bound_has_passed() -> None:
    stage = await warmed()
    stage.registry.write(patient_ann=patient("ann", "revoked"))
    stage.clock.seconds += 0.051

    (facts,) = await stage.answer(ANN_R1)

    assert facts == facts_at(stage.registry.states[2], ANN_R1)


async def test_a_moved_revision_drops_exactly_what_was_touched() -> None:
    stage = await warmed()
    await stage.answer(BOB_R2)
    stage.registry.write(recording_r1=recording("r1", "bob", "corrected"))
    stage.clock.seconds += 0.051

    (facts,) = await stage.answer(BOB_R2)

    assert facts == facts_at(stage.registry.states[2], BOB_R2)
    assert stage.cache.cached(ANN_R1, 0) is None
    assert stage.registry.calls[-2:] == [("look", frozenset()), ("changes", frozenset())]


async def test_a_write_between_a_load_and_its_insertion_is_never_overlooked() -> None:
    """The load saw the old state; before it is held, a look sees that the state is gone."""
    stage = await started(BOUNDS)
    asked = stage.ask(ANN_R1)
    await turns()
    load = stage.loads.take()
    load.run()
    stage.registry.write(recording_r1=recording("r1", "bob", "corrected"))
    stage.clock.seconds += 0.06
    stage.ask(BOB_R2).cancel()
    looking = stage.ask(at_least=2)
    await settle(stage.looks)
    await looking

    load.deliver()
    await settle(stage.looks, stage.loads)

    assert list(await asked) == [facts_at(stage.registry.states[2], ANN_R1)]
    assert stage.cache.cached(ANN_R1, 2) == facts_at(stage.registry.states[2], ANN_R1)


async def test_a_load_ahead_of_the_last_look_waits_for_another_look() -> None:
    stage = await warmed()
    stage.registry.write(recording_r1=recording("r1", "bob", "corrected"))

    (facts,) = await stage.answer(question("bob", "r2"))

    assert facts.revision == 2
    assert stage.cache.cached(ANN_R1, 0) is None


async def test_a_key_changed_twice_under_a_load_is_loaded_until_it_is_true() -> None:
    stage = await started(BOUNDS)
    asked = stage.ask(ANN_R1)
    for word in ("second", "third"):
        await turns()
        load = stage.loads.take()
        load.run()
        revision = stage.registry.write(subject_ann=subject("ann", word))
        looking = stage.ask(at_least=revision)
        await settle(stage.looks)
        await looking
        load.deliver()

    await settle(stage.looks, stage.loads)

    assert list(await asked) == [facts_at(stage.registry.states[3], ANN_R1)]


@pytest.mark.parametrize("restored_to", [0, 1, 2])
async def test_a_restored_registry_shares_nothing_with_what_was_held(restored_to: int) -> None:
    """Whether it went back, or came back to the same revision by other writes."""
    stage = await warmed()
    stage.registry.write(subject_ann=subject("ann", "lost by the restore"))
    await stage.answer(ANN_R1, at_least=2)
    stage.registry.restore(restored_to)
    if restored_to == 1:
        stage.registry.write(subject_ann=subject("ann", "written after the restore"))
    stage.clock.seconds += 0.051

    (facts,) = await stage.answer(ANN_R1)

    assert facts == facts_at(stage.registry.states[-1], ANN_R1)
    assert stage.cache.cached(ANN_R1, 0) == facts


async def test_a_load_is_no_look_at_a_registry_that_cannot_be_relied_on() -> None:
    """A standby that lags, or a read-only database, still answers loads: with rights revoked."""
    stage = await started(BOUNDS)
    stage.registry.broken_look = FactsUnavailableError("it is read-only")
    stage.clock.seconds += 0.051

    with pytest.raises(FactsUnavailableError, match="read-only"):
        await stage.answer(ANN_R1)

    assert stage.cache.cached(ANN_R1, 0) is None


async def test_a_load_from_before_a_restore_is_thrown_away() -> None:
    stage = await started(BOUNDS)
    stage.registry.write(subject_ann=subject("ann", "lost by the restore"))
    asked = stage.ask(ANN_R1)
    await turns()
    load = stage.loads.take()
    load.run()
    stage.registry.restore(1)
    stage.registry.write(subject_ann=subject("ann", "written after the restore"))

    load.deliver()
    await settle(stage.looks, stage.loads)

    (facts,) = await asked
    assert facts == facts_at(stage.registry.states[2], ANN_R1)


async def test_a_load_from_another_history_is_not_mixed_with_what_is_held() -> None:
    """Restored and written to within one look: the load alone shows it."""
    stage = await warmed()
    for _ in range(3):
        stage.registry.write(subject_eve=subject("eve", "lost by the restore"))
    await stage.answer(ANN_R1, at_least=4)
    stage.registry.restore(1)
    stage.registry.write(
        subject_ann=subject("ann", "written after the restore"),
        recording_r2=recording("r2", "ann", "written after the restore"),
    )

    (facts,) = await stage.answer(question("ann", "r2"))

    assert facts == facts_at(stage.registry.states[2], question("ann", "r2"))


async def test_a_load_from_before_all_that_is_remembered_is_thrown_away() -> None:
    """Two keys were touched, and only the last of them is remembered."""
    stage = await started(CacheBounds(max_touched=1))
    asked = stage.ask(ANN_R1)
    await turns()
    load = stage.loads.take()
    load.run()
    stage.registry.write(subject_ann=subject("ann", "a2"))
    stage.registry.write(subject_bob=subject("bob", "b2"))
    looking = stage.ask(at_least=3)
    await settle(stage.looks)
    await looking

    load.deliver()
    await settle(stage.looks, stage.loads)

    assert list(await asked) == [facts_at(stage.registry.states[3], ANN_R1)]


async def test_after_a_restore_far_back_facts_are_held_again() -> None:
    """Nothing remembered of the lost history keeps new facts out."""
    stage = await started(CacheBounds(max_touched=1))
    for word in ("a2", "a3", "a4"):
        stage.registry.write(subject_ann=subject("ann", word), subject_bob=subject("bob", word))
    await stage.answer(ANN_R1, at_least=4)
    stage.registry.restore(1)
    stage.clock.seconds += 0.051

    (facts,) = await stage.answer(ANN_R1)

    assert facts.revision == 1
    assert stage.cache.cached(ANN_R1, 0) == facts


async def test_a_change_of_everything_drops_everything() -> None:
    """A tenant touches everything."""
    stage = await warmed()
    stage.registry.put({}, everything=True)
    stage.clock.seconds += 0.051

    (facts,) = await stage.answer(ANN_R1)

    assert facts.revision == 2
    assert stage.cache.counts().dropped == 4
    assert stage.registry.count("load") == 1


async def test_a_containment_reaches_every_question() -> None:
    stage = await warmed()
    stage.registry.write(containments=containments("c1"))
    stage.clock.seconds += 0.051

    (facts,) = await stage.answer(ANN_R1)

    assert [one.id for one in facts.containments] == ["c1"]


async def test_a_recording_that_changes_hands_brings_its_new_patient() -> None:
    stage = await warmed()
    stage.registry.write(
        recording_r1=recording("r1", "carl", "c"), patient_carl=patient("carl", "c")
    )

    (facts,) = await stage.answer(ANN_R1, at_least=2)

    assert facts == facts_at(stage.registry.states[2], ANN_R1)
    assert facts.patient is not None


async def test_a_touched_patient_is_loaded_without_the_recording() -> None:
    stage = await warmed()
    stage.registry.write(patient_ann=patient("ann", "turned sixteen"))

    await stage.answer(ANN_R1, at_least=2)

    assert [
        [key.space for key in keys] for call, keys in stage.registry.calls if call == "load"
    ] == [["patient"]]


async def test_a_revision_that_exists_is_reached_by_a_look_sent_now() -> None:
    stage = await warmed()
    stage.clock.seconds += 0.001
    stage.registry.write(subject_bob=subject("bob", "b2"))

    (facts,) = await stage.answer(ANN_R1, at_least=2)

    assert facts.revision == 2


async def test_a_look_sent_before_the_question_does_not_refuse_it() -> None:
    """A look under way may have missed the write that the caller has seen."""
    stage = await warmed()
    stage.clock.seconds += 0.03
    stage.cache.cached(ANN_R1, 0)
    early = stage.looks.take()
    early.run()
    stage.clock.seconds += 0.001
    stage.registry.write(subject_ann=subject("ann", "a2"))
    asked = stage.ask(ANN_R1, at_least=2)
    await turns()

    early.deliver()
    await settle(stage.looks, stage.loads)

    assert revisions(await asked) == {2}


async def test_a_revision_ahead_of_the_registry_is_refused() -> None:
    stage = await warmed()
    stage.clock.seconds += 0.001

    with pytest.raises(RevisionAheadError) as refused:
        await stage.answer(ANN_R1, at_least=7)

    assert (refused.value.wanted, refused.value.reached) == (7, 1)


async def test_with_no_staleness_allowed_each_question_has_a_look_of_its_own() -> None:
    stage = await warmed(CacheBounds(staleness_seconds=0.0))
    for _ in range(3):
        stage.clock.seconds += 0.001
        asked = stage.ask(ANN_R1)
        await turns()
        look = stage.looks.take()
        look.run()
        stage.clock.seconds += 0.001
        look.deliver()
        assert revisions(await asked) == {1}

    assert stage.registry.count("look") == 3


async def test_a_load_slower_than_the_bound_counts_where_nothing_touched_it() -> None:
    """A big batch under constant writes to others: its values are proven true by a look."""
    stage = await started(BOUNDS)
    asked = stage.ask(ANN_R1)
    for _ in range(12):
        await turns()
        for job in [*stage.loads.jobs]:
            stage.loads.take()
            job.run()
            stage.clock.seconds += 0.06
            stage.registry.write(subject_eve=subject("eve", "busy"))
            job.deliver()
        await settle(stage.looks)
        if asked.done():
            break

    (facts,) = await asked
    assert facts == facts_at(stage.registry.states[facts.revision], ANN_R1)


async def test_a_load_slower_than_the_bound_and_outrun_by_a_write_does_not_count() -> None:
    """It would take a snapshot that is both young and true; there is none, and nobody guesses."""
    stage = await started(BOUNDS)
    asked = stage.ask(ANN_R1)
    for written in range(20):
        await turns()
        for job in [*stage.loads.jobs]:
            stage.loads.take()
            job.run()
            stage.clock.seconds += 0.06
            stage.registry.write(subject_ann=subject("ann", f"a{written}"))
            job.deliver()
        await settle(stage.looks)

    with pytest.raises(FactsUnavailableError):
        await asyncio.wait_for(asked, 1)


async def test_a_batch_is_answered_at_one_revision_while_its_keys_change_all_the_time() -> None:
    """Each load is outrun by a write to a key of the batch; in the end one snapshot answers."""
    stage = await started(BOUNDS)
    asked = stage.ask(ANN_R1, BOB_R2)
    written = 0
    while not asked.done():
        await turns()
        for job in [*stage.loads.jobs]:
            stage.loads.take()
            job.run()
            written += 1
            stage.clock.seconds += 0.001
            stage.registry.write(
                subject_ann=subject("ann", f"a{written}"), subject_bob=subject("bob", f"b{written}")
            )
            looking = stage.ask(at_least=stage.registry.revision)
            await settle(stage.looks)
            await looking
            job.deliver()
        await settle(stage.looks)
        assert written < 10

    answers = await asked
    (revision,) = revisions(answers)
    state = stage.registry.states[revision]
    assert list(answers) == [facts_at(state, ANN_R1), facts_at(state, BOB_R2)]


async def test_a_registry_slower_than_the_bound_is_unavailable() -> None:
    """Nothing that it says can be young enough when it arrives."""
    stage = await warmed()
    stage.clock.seconds += 0.06
    asked = stage.ask(ANN_R1)
    for _ in range(20):
        await turns()
        for threads in (stage.looks, stage.loads):
            for job in [*threads.jobs]:
                threads.take()
                job.run()
                stage.clock.seconds += 0.06
                job.deliver()

    with pytest.raises(FactsUnavailableError):
        await asyncio.wait_for(asked, 1)
