"""`authz decisions ship`: a journal whose service is gone, brought to the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.audit.directory import WriterLock
from authz_service.audit.verify import verify_journal
from authz_service.supervision.journals import left_behind
from tests.contract.shipping.journal_files import (
    JournalFiles,
    assert_all_there,
    decisions,
    query,
    stored_records,
)
from tests.marked import PASSWORD
from tests.unit.cli.cli_runs import document, run


@pytest.fixture
def journal(tmp_path: Path) -> JournalFiles:
    made = JournalFiles(tmp_path / "journal")
    made.append(*decisions(0, 40))
    made.rotate()
    made.append(*decisions(40, 2))
    return made


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'decisions.db'}"


def ship(journal: JournalFiles, url: str, *words: str) -> tuple[int, str]:
    result = run("decisions", "ship", str(journal.directory), "--decisions-url", url, *words)
    return result.exit_code, result.output


def test_all_of_it_is_shipped(journal: JournalFiles, url: str) -> None:
    code, said = ship(journal, url)

    assert code == 0
    assert "47 lines with 42 records shipped" in said
    assert f"all 47 lines of journal {journal.journal_id} are in {url}" in said
    assert_all_there(url, journal)


def test_a_journal_that_was_shipped_is_left_behind_no_more_until_it_is_written(
    journal: JournalFiles, url: str
) -> None:
    found = [left_behind(journal.directory, 2)]
    for ship_or_write in (lambda: ship(journal, url), journal.rotate, lambda: ship(journal, url)):
        ship_or_write()
        found.append(left_behind(journal.directory, 2))

    assert found == [[journal.directory], [], [journal.directory], []]


def test_what_is_there_already_is_not_shipped_again(journal: JournalFiles, url: str) -> None:
    ship(journal, url)
    journal.append(*decisions(42, 1))

    result = run(
        "decisions", "ship", str(journal.directory), "--decisions-url", url, "--format", "json"
    )

    assert document(result) == {
        "directory": str(journal.directory),
        "journal_id": journal.journal_id,
        "store": url,
        "lines": 49,
        "shipped_lines": 2,
        "shipped_records": 1,
        "torn": [],
    }
    assert_all_there(url, journal)


def test_a_torn_end_is_mended_as_a_start_does(journal: JournalFiles, url: str) -> None:
    with journal.path(2).open("ab") as stream:
        stream.write(b'{"sequence":48,"batch":{"number":3,')

    code, said = ship(journal, url)

    assert code == 0
    assert "segment-00000002.jsonl.torn" in said
    report = verify_journal(journal.directory)
    assert (report.fault, report.torn, report.records) == (None, (), 43)
    stored = query(url, "SELECT count(*) FROM journal_lines")
    assert stored == [(51,)]
    assert len(stored_records(url, journal)) == 42


def test_a_journal_that_is_written_is_left_alone(journal: JournalFiles, url: str) -> None:
    lock = WriterLock.take(journal.directory)

    code, said = ship(journal, url)
    lock.release()

    assert code == 11
    assert "another writer holds the journal" in said
    assert not Path(url.removeprefix("sqlite:///")).exists()


def test_the_lock_is_given_back(journal: JournalFiles, url: str) -> None:
    ship(journal, url)

    WriterLock.take(journal.directory).release()


def test_damage_is_not_shipped(journal: JournalFiles, url: str) -> None:
    content = journal.path(2).read_bytes()
    journal.path(2).write_bytes(content.replace(b'"ALLOW"', b'"ALLOV"', 1))
    journal.rotate()

    code, said = ship(journal, url)

    assert code == 1
    assert "segment-00000002.jsonl" in said


def test_a_store_that_contradicts_is_an_alarm(journal: JournalFiles, url: str) -> None:
    ship(journal, url)
    query(url, "UPDATE journals SET sequence = 99")

    code, said = ship(journal, url)

    assert code == 1
    assert "the store holds 99 lines" in said
    assert "nothing was overwritten" in said


def test_a_store_that_does_not_answer(journal: JournalFiles) -> None:
    code, said = ship(journal, f"postgresql+psycopg://jo:{PASSWORD}@127.0.0.1:1/decisions")

    assert code == 11
    assert "does not answer (postgresql+psycopg://jo:***@127.0.0.1:1/decisions)" in said
    assert PASSWORD not in said


def test_a_directory_that_is_no_journal(tmp_path: Path, url: str) -> None:
    result = run("decisions", "ship", str(tmp_path), "--decisions-url", url)

    assert (result.exit_code, "holds no journal" in result.output) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_no_store_is_a_slip(journal: JournalFiles) -> None:
    code, said = ship(journal, "none")

    assert (code, "there is no store to ship to" in said) == (2, True)
