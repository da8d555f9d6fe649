"""Journal and store contradict each other: shipping stops, and says which and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from authz_service.audit.store.failures import (
    AlarmKind,
    FailureKind,
    ShippingAlarmError,
    StoreFailureError,
)
from tests.contract.shipping.journal_files import (
    JournalFiles,
    assert_all_there,
    decisions,
    query,
    ship_all,
    shipping,
    stored_content,
)


def alarm_of(journal: JournalFiles, url: str) -> AlarmKind:
    """Ship; return the alarm that stops it, and see that nothing was written meanwhile."""
    before = stored_content(url, journal)
    with pytest.raises(ShippingAlarmError) as raised:
        ship_all(journal, url)
    assert stored_content(url, journal) == before
    return raised.value.kind


def copied(journal: JournalFiles, name: str) -> JournalFiles:
    """Return a copy of a journal that goes on by itself."""
    shutil.copytree(journal.directory, to := journal.directory.with_name(name))
    twin = JournalFiles.__new__(JournalFiles)
    for field in ("clock", "retired_bytes", "journal_id", "position", "_files", "_segment"):
        setattr(twin, field, getattr(journal, field))
    twin.directory = to
    twin.begin()
    return twin


def test_another_line_under_the_same_number(url: str, journal: JournalFiles) -> None:
    """Two journals go on from one copy: the store has the one, and refuses the other."""
    journal.append(*decisions(0, 2))
    twin = copied(journal, "twin")
    journal.begin()
    journal.append(*decisions(2, 2))
    twin.append(*decisions(7, 5))
    ship_all(journal, url)

    assert alarm_of(twin, url) is AlarmKind.CONFLICT
    assert_all_there(url, journal)


def test_another_line_beyond_what_the_progress_says(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 4))
    ship_all(journal, url)
    query(url, "DELETE FROM journals WHERE journal_id = :j", j=journal.journal_id)
    query(
        url,
        "UPDATE journal_lines SET hash = :h WHERE journal_id = :j AND sequence = 4",
        j=journal.journal_id,
        h="00" * 32,
    )

    assert alarm_of(journal, url) is AlarmKind.CONFLICT


def test_a_store_that_knows_more_than_the_journal(url: str, journal: JournalFiles) -> None:
    """The journal was set back: what it will write next is in the store already, and differs."""
    journal.append(*decisions(0, 2))
    earlier = journal.position
    journal.append(*decisions(2, 2))
    ship_all(journal, url)
    journal.position = earlier

    assert alarm_of(journal, url) is AlarmKind.AHEAD


def test_a_store_with_lines_that_the_journal_has_not(url: str, journal: JournalFiles) -> None:
    """The same, where the store's progress was taken back as well."""
    journal.append(*decisions(0, 2))
    earlier = journal.position
    journal.append(*decisions(2, 2))
    ship_all(journal, url)
    query(url, "DELETE FROM journals WHERE journal_id = :j", j=journal.journal_id)
    journal.position = earlier

    assert alarm_of(journal, url) is AlarmKind.AHEAD


def test_a_store_older_than_what_was_deleted(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 2))
    journal.rotate()
    journal.append(*decisions(2, 2))
    journal.path(1).unlink()

    assert alarm_of(journal, url) is AlarmKind.GAP


def test_a_store_that_ends_within_what_was_deleted(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 2))
    ship_all(journal, url)
    journal.append(*decisions(2, 2))
    journal.rotate()
    journal.path(1).unlink()

    assert alarm_of(journal, url) is AlarmKind.GAP


def test_a_store_that_ends_where_what_is_left_begins(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 2))
    journal.rotate()
    whole = journal.content()
    at = journal.position
    journal.append(*decisions(2, 2))
    written, journal.position = journal.position, at
    ship_all(journal, url)
    query(
        url,
        "DELETE FROM journal_lines WHERE journal_id = :j AND sequence = :s",
        j=journal.journal_id,
        s=at.sequence - 1,
    )
    last = whole.split(b"\n")[-3]
    query(
        url,
        "UPDATE journals SET sequence = :s, hash = :h, segment = 1, offset_bytes = :o "
        "WHERE journal_id = :j",
        j=journal.journal_id,
        s=at.sequence - 2,
        h=last[-66:-2].decode(),
        o=journal.path(1).stat().st_size,
    )
    journal.position = written
    journal.path(1).unlink()

    ship_all(journal, url)

    assert stored_content(url, journal).endswith(journal.path(2).read_bytes())


def test_a_file_that_was_changed(url: str, journal: JournalFiles) -> None:
    """The chain is followed as it is shipped: what was altered does not get there."""
    journal.append(*decisions(0, 3))
    content = journal.path(1).read_bytes()
    journal.path(1).write_bytes(content.replace(b'"ALLOW"', b'"ALLOV"', 1))

    assert alarm_of(journal, url) is AlarmKind.DAMAGE


def test_a_file_that_was_cut(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 3))
    ship_all(journal, url)
    journal.append(*decisions(3, 1))
    with journal.path(1).open("r+b") as stream:
        stream.truncate(journal.path(1).stat().st_size - 4000)

    with pytest.raises(ShippingAlarmError):
        ship_all(journal, url)


def test_files_that_are_gone_are_a_failure_that_may_pass(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 3))
    away = journal.directory.rename(journal.directory.with_name("away"))

    with pytest.raises(StoreFailureError) as raised:
        ship_all(journal, url)
    assert raised.value.kind is FailureKind.JOURNAL
    away.rename(journal.directory)

    ship_all(journal, url)
    assert_all_there(url, journal)


def test_an_alarm_ends_when_its_cause_does(url: str, journal: JournalFiles, tmp_path: Path) -> None:
    journal.append(*decisions(0, 3))
    content = journal.path(1).read_bytes()
    journal.path(1).write_bytes(content.replace(b'"ALLOW"', b'"ALLOV"', 1))
    work = shipping(journal, url)
    with pytest.raises(ShippingAlarmError):
        work.step()
    journal.path(1).write_bytes(content)

    assert work.step() is not None
    work.leave()
    assert_all_there(url, journal)
