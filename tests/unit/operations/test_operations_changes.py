"""Writes and reloads: recorded, counted, and without effect where they cannot be recorded."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.records import EventRecord
from authz_service.operations.reload_policy import ReloadOrder, ReloadPolicy
from authz_service.operations.write_facts import WriteFacts
from authz_service.pdp.entities import Attendance
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import JournalUnavailableError, PolicyProblem, PolicyRefusedError
from authz_service.pdp.facts import Fact, FactReference
from tests.unit.operations.fakes import (
    CONTEXT,
    NOON,
    FakeJournal,
    FakePolicySource,
    FakeRegistry,
    Heard,
    StoppedClock,
    quick_journal,
)

REFUSED = PolicyRefusedError(
    PolicyProblem("invalid", "rules.csv", 3, 7, "has an unknown word", "use another")
)


def event_of(journal: FakeJournal, line: int = -1) -> EventRecord:
    """Return the event of one line."""
    (event,) = journal.lines[line]
    assert isinstance(event, EventRecord)
    return event


class Reloading:
    """The operation over fakes."""

    def __init__(self, source: FakePolicySource, journal: FakeJournal) -> None:
        self.source, self.journal, self.heard = source, journal, Heard()
        self.active = ActivePolicy(StoppedClock())
        self.reload = ReloadPolicy(
            self.active, source, journal=journal, clock=StoppedClock(), observer=self.heard
        )

    async def once(self, *, dry_run: bool = False) -> str:
        attempt = await self.reload(ReloadOrder("call", "op", CONTEXT, dry_run))
        return attempt.outcome


async def test_a_bundle_is_put_in_force_once_it_is_recorded() -> None:
    reloading = Reloading(FakePolicySource("new"), FakeJournal())

    loading = asyncio.create_task(reloading.once())
    await reloading.journal.arrived.wait()
    assert reloading.active.revision == ""
    reloading.journal.synced.set()

    assert await loading == "activated"
    assert reloading.active.revision == "new"
    event = event_of(reloading.journal)
    assert (event.event, event.actor, event.context) == ("policy_reloaded", "op", CONTEXT)
    assert dict(event.details)["policy_revision"] == "new"
    assert reloading.heard.loads == [("activated", "new")]


async def test_a_bundle_that_cannot_be_recorded_is_not_put_in_force() -> None:
    reloading = Reloading(FakePolicySource("new"), FakeJournal(refusal="full"))

    with pytest.raises(JournalUnavailableError):
        await reloading.once()

    assert reloading.active.revision == ""


async def test_a_refused_bundle_is_an_outcome_and_an_error_in_the_log() -> None:
    reloading = Reloading(FakePolicySource("good"), quick_journal())
    await reloading.once()
    reloading.source.refused = REFUSED

    with capture_logs() as logs:
        outcome = await reloading.once()

    assert outcome == "refused"
    assert reloading.active.revision == "good"
    attempt = reloading.active.latest_attempt
    assert attempt is not None
    assert attempt.problems == REFUSED.problems
    assert reloading.heard.loads[-1] == ("refused", "good")
    (line,) = [each for each in logs if each["event"] == "policy_refused"]
    assert (line["log_level"], line["places"]) == ("error", ["rules.csv:3"])


async def test_a_dry_run_leaves_no_trace_but_its_record() -> None:
    reloading = Reloading(FakePolicySource("good"), quick_journal())
    await reloading.once()
    reloading.source.revision = "tried"

    assert await reloading.once(dry_run=True) == "valid"

    assert reloading.active.revision == "good"
    latest = reloading.active.latest_attempt
    assert latest is not None
    assert latest.outcome == "activated"
    assert dict(event_of(reloading.journal).details)["outcome"] == "valid"


async def test_the_same_bundle_again_is_unchanged() -> None:
    reloading = Reloading(FakePolicySource("good"), quick_journal())

    assert [await reloading.once(), await reloading.once()] == ["activated", "unchanged"]
    assert reloading.active.activated_at == NOON


async def test_a_bundle_that_was_prepared_and_abandoned_is_recorded_as_without_effect() -> None:
    reloading = Reloading(FakePolicySource("good"), quick_journal())
    await reloading.once()
    reloading.source.revision = "new"
    prepared = await reloading.reload.prepare(ReloadOrder("signal"), reloading.source)

    await reloading.reload.abandon(prepared, "another worker was not ready")

    assert reloading.active.revision == "good"
    latest = reloading.active.latest_attempt
    assert latest is not None
    assert latest.outcome == "activated"
    details = [dict(event_of(reloading.journal, line).details) for line in (-2, -1)]
    assert [each["outcome"] for each in details] == ["activated", "abandoned"]
    assert {each["policy_revision"] for each in details} == {"new"}
    assert {each["previous_revision"] for each in details} == {"good"}
    assert reloading.heard.loads[-1] == ("abandoned", "good")


async def test_bundles_are_read_one_at_a_time() -> None:
    reloading = Reloading(FakePolicySource("good"), FakeJournal())

    both = [asyncio.create_task(reloading.once()) for _ in range(2)]
    await reloading.journal.arrived.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert reloading.source.loads == 1
    reloading.journal.synced.set()

    assert [await each for each in both] == ["activated", "unchanged"]


async def test_a_write_is_recorded_with_its_counts_and_sources() -> None:
    journal, heard = quick_journal(), Heard()
    write_facts = WriteFacts(FakeRegistry(), journal, clock=StoppedClock(), observer=heard)
    facts = [Fact(Attendance(name), source, NOON) for name, source in (("a", "x"), ("b", "w"))]

    outcome = await write_facts.write(facts, actor="op", context=CONTEXT)

    assert outcome.revision == 8
    event = event_of(journal)
    assert (event.event, event.actor) == ("facts_written", "op")
    assert dict(event.details) == {
        "facts_revision": 8,
        "written": 2,
        "skipped": 2,
        "unchanged": 1,
        "sources": ("w", "x"),
        "references": ("attendance/a", "attendance/b"),
        "contained": ("containment/k1",),
        "reviewed": ("grant/g1", "delegation/d1"),
    }
    assert heard.facts == {"written": 2, "skipped": 2, "unchanged": 1}


async def test_a_write_whose_caller_goes_away_is_recorded_all_the_same() -> None:
    """It is committed by then; a conflict that it brought must not be known to nobody."""
    journal, heard = FakeJournal(), Heard()
    registry = FakeRegistry(conflicting=("ra1",))
    write_facts = WriteFacts(registry, journal, clock=StoppedClock(), observer=heard)
    writing = asyncio.create_task(
        write_facts.write([Fact(Attendance("a"), "x", NOON)], actor="op", context=CONTEXT)
    )
    await journal.arrived.wait()

    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    journal.synced.set()
    await write_facts.finish(10)

    assert [event_of(journal, line).event for line in (0, 1)] == [
        "facts_written",
        "conflicts_found",
    ]
    assert heard.conflicts == 1


async def test_a_change_that_never_ends_does_not_keep_the_service_from_ending() -> None:
    write_facts = WriteFacts(FakeRegistry(), FakeJournal(), clock=StoppedClock(), observer=Heard())
    writing = asyncio.create_task(
        write_facts.write([Fact(Attendance("a"), "x", NOON)], actor="op", context=CONTEXT)
    )
    await asyncio.sleep(0)

    with capture_logs() as logs:
        await asyncio.wait_for(write_facts.finish(0.01), timeout=5)

    assert [(each["event"], each["count"]) for each in logs] == [("changes_abandoned", 1)]
    writing.cancel()


async def test_what_could_not_be_recorded_is_not_written() -> None:
    journal, heard = FakeJournal(refusal="full"), Heard()
    write_facts = WriteFacts(FakeRegistry(), journal, clock=StoppedClock(), observer=heard)

    with pytest.raises(JournalUnavailableError):
        await write_facts.write([Fact(Attendance("a"), "x", NOON)], actor="op", context=CONTEXT)

    assert heard.facts == {}


async def test_a_conflict_that_a_write_brings_is_counted_recorded_and_said() -> None:
    journal, heard = quick_journal(), Heard()
    registry = FakeRegistry(conflicting=("ra1",))
    write_facts = WriteFacts(registry, journal, clock=StoppedClock(), observer=heard)

    with capture_logs() as logs:
        await write_facts.write([Fact(Attendance("a"), "x", NOON)], actor="op", context=CONTEXT)

    assert event_of(journal).event == "conflicts_found"
    assert dict(event_of(journal).details)["recording_ids"] == ("ra1",)
    assert heard.conflicts == 1
    assert [(each["event"], each["log_level"]) for each in logs] == [("conflicts_found", "warning")]


async def test_a_deletion_names_what_is_gone() -> None:
    journal = quick_journal()
    write_facts = WriteFacts(FakeRegistry(), journal, clock=StoppedClock(), observer=Heard())

    await write_facts.delete([FactReference(FactKind.GRANT, "g1")], actor="op", context=CONTEXT)

    assert dict(event_of(journal).details)["references"] == ("grant/g1",)


async def test_the_words_of_a_resolution_are_kept_out_of_the_record() -> None:
    journal = quick_journal()
    write_facts = WriteFacts(FakeRegistry(), journal, clock=StoppedClock(), observer=Heard())

    await write_facts.resolve("ra1", actor="op", reason="she called us", context=CONTEXT)

    assert "she called us" not in repr(journal.lines)
    assert len(str(dict(event_of(journal).details)["reason_digest"])) == 64
