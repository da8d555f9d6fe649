"""No record, no answer: what an append promises."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from authz_service.audit.directory import segment_path
from authz_service.audit.journal import JournalOptions
from authz_service.audit.opening import open_journal
from authz_service.audit.verify import verify_journal
from authz_service.operations.records import DecisionRecord, Record
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN, QUICK, FaultyFiles, decision_record
from tests.unit.audit.journal_under_test import (
    Gate,
    Tally,
    append_all,
    ids_in,
    journal_in,
    names_in,
)


async def test_what_was_acknowledged_is_in_the_file(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "j") as journal:
        await journal.append([decision_record(1)])

        assert ids_in(tmp_path / "j") == ["decision-1"]


async def test_an_append_waits_for_its_sync(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with journal_in(tmp_path / "j", files) as journal:
        files.on_sync = gate = Gate()
        answer = asyncio.ensure_future(journal.append([decision_record(1)]))
        await gate.until_reached()
        await asyncio.sleep(0.01)

        assert not answer.done()
        gate.open.set()
        await answer


async def test_what_gathers_while_a_batch_is_written_is_one_batch_with_one_sync(
    tmp_path: Path,
) -> None:
    files, tally = FaultyFiles(), Tally()
    async with journal_in(tmp_path / "j", files, metrics=tally) as journal:
        files.on_sync = gate = Gate()
        first = asyncio.ensure_future(journal.append([decision_record(0)]))
        await gate.until_reached()
        rest = [journal.append([decision_record(number)]) for number in range(1, 64)]
        before = (files.calls["write"], files.calls["sync"])
        files.on_sync = None
        gate.open.set()
        await asyncio.gather(first, *rest)

        assert (files.calls["write"], files.calls["sync"]) == (before[0] + 1, before[1] + 2)
    assert tally.batches == [1, 63]
    assert ids_in(tmp_path / "j") == [f"decision-{number}" for number in range(64)]


async def test_the_name_of_a_new_segment_is_on_the_disk_before_a_record_is(
    tmp_path: Path,
) -> None:
    files = FaultyFiles()
    async with journal_in(tmp_path / "j", files) as journal:
        names = files.calls["sync_directory"]
        files.broken = {"sync_directory": errno.EIO}
        files.fail_at = {("sync", files.calls["sync"] + 1): errno.EIO}
        with pytest.raises(JournalUnavailableError):
            await journal.append([decision_record(1)])
        await asyncio.sleep(0.05)

        assert files.calls["sync_directory"] > names
        assert not journal.usable


async def test_the_records_of_one_append_are_one_line(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "j") as journal:
        await journal.append([decision_record(1), decision_record(2)])

    report = verify_journal(tmp_path / "j")
    assert (report.lines, report.records, report.batches) == (1, 2, 1)


async def test_a_cancelled_wait_cancels_nobody_else_and_no_record(tmp_path: Path) -> None:
    files = FaultyFiles()
    async with journal_in(tmp_path / "j", files) as journal:
        files.on_sync = gate = Gate()
        first = asyncio.ensure_future(journal.append([decision_record(0)]))
        await gate.until_reached()
        cancelled, other = (
            asyncio.ensure_future(journal.append([decision_record(number)])) for number in (1, 2)
        )
        await asyncio.sleep(0)
        cancelled.cancel()
        gate.open.set()
        await asyncio.gather(first, other)

        assert cancelled.cancelled()
    assert ids_in(tmp_path / "j") == ["decision-0", "decision-1", "decision-2"]


async def test_close_flushes_and_then_refuses(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j", ORIGIN, files=FaultyFiles())
    answers = [journal.append([decision_record(number)]) for number in range(100)]

    await journal.close()
    await asyncio.gather(*answers)
    await journal.close()

    assert len(ids_in(tmp_path / "j")) == 100
    with pytest.raises(JournalUnavailableError, match="it is closed"):
        await journal.append([decision_record(1)])


def test_a_loop_that_is_gone_does_not_hurt_the_journal(tmp_path: Path) -> None:
    files = FaultyFiles()
    journal = open_journal(tmp_path / "j", ORIGIN, files=files)
    files.on_sync = gate = Gate()

    async def leave() -> None:
        _ = journal.append([decision_record(1)])

    asyncio.run(leave())
    files.on_sync = None
    gate.open.set()

    async def stay() -> None:
        await journal.append([decision_record(2)])
        await journal.close()

    asyncio.run(stay())
    assert ids_in(tmp_path / "j") == ["decision-1", "decision-2"]


async def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "j"):
        with pytest.raises(JournalUnavailableError, match=f"holds the journal in {tmp_path / 'j'}"):
            open_journal(tmp_path / "j", ORIGIN)

    async with journal_in(tmp_path / "j") as again:
        assert again.usable


def test_a_refused_start_leaves_the_lock_free(tmp_path: Path) -> None:
    for _ in range(2):
        files = FaultyFiles(fail_at={("sync", 1): errno.EIO})
        with pytest.raises(JournalUnavailableError, match="input/output error"):
            open_journal(tmp_path / "j", ORIGIN, files=files)


async def test_a_start_on_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    await open_journal(tmp_path / "j", ORIGIN).close()
    before = names_in(tmp_path / "j")

    with pytest.raises(JournalUnavailableError, match="no space left on device"):
        open_journal(tmp_path / "j", ORIGIN, files=FaultyFiles(space_bytes=10))

    assert names_in(tmp_path / "j") == before


async def test_the_directory_is_for_the_service_alone(tmp_path: Path) -> None:
    async with journal_in(tmp_path / "a" / "j"):
        assert (tmp_path / "a" / "j").stat().st_mode & 0o777 == 0o700
        assert segment_path(tmp_path / "a" / "j", 1).stat().st_mode & 0o777 == 0o600


async def test_segments_rotate_under_load_and_the_chain_goes_across(tmp_path: Path) -> None:
    tally = Tally()
    options = replace(QUICK, segment_bytes=8_000)
    async with journal_in(tmp_path / "j", options=options, metrics=tally) as journal:
        for first in range(0, 200, 10):
            assert all((await append_all(journal, range(first, first + 10))).values())

    report = verify_journal(tmp_path / "j")
    assert report.fault is None
    assert report.segments == tally.segments > 10
    assert ids_in(tmp_path / "j") == [f"decision-{number}" for number in range(200)]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(replace(QUICK, max_pending_lines=5), id="lines"),
        pytest.param(replace(QUICK, max_pending_bytes=4_000), id="bytes"),
    ],
)
async def test_what_waits_is_bounded(tmp_path: Path, options: JournalOptions) -> None:
    files = FaultyFiles()
    async with journal_in(tmp_path / "j", files, options) as journal:
        files.on_sync = gate = Gate()
        taken: list[Awaitable[None]] = []

        def append_many() -> None:
            for number in range(100):
                taken.append(journal.append([decision_record(number)]))  # noqa: PERF401  # until one raises

        with pytest.raises(JournalUnavailableError, match="too much waits"):
            append_many()
        gate.open.set()
        await asyncio.gather(*taken)

        assert 0 < len(taken) <= 5
        await journal.append([decision_record(100)])


async def test_observers_hear_after_the_answer_and_cannot_hurt_the_journal(
    tmp_path: Path,
) -> None:
    heard: list[str] = []

    def on_written(records: Sequence[Record]) -> None:
        heard.extend(each.decision_id for each in records if isinstance(each, DecisionRecord))
        raise RuntimeError("an observer's fault")

    journal = open_journal(tmp_path / "j", ORIGIN, on_written=on_written)
    for number in range(3):
        await journal.append([decision_record(number)])
    await journal.close()

    assert heard == ["decision-0", "decision-1", "decision-2"]
