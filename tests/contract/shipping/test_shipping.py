"""What was recorded is in the store: every byte, once, and cut out of it record by record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from authz_service.audit.store.failures import FailureKind, StoreFailureError
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.ports import Store
from authz_service.audit.store.shipment import Progress, Shipment
from authz_service.audit.store.shipping import Shipping
from tests.contract.shipping.journal_files import (
    NOW,
    JournalFiles,
    assert_all_there,
    decided,
    decisions,
    drained,
    event,
    listed,
    month,
    query,
    ship_all,
    shipping,
    stored_content,
    stored_records,
)


def test_every_line_is_there_byte_by_byte(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 3))
    journal.append([decided(3), decided(4), *event()], event())
    journal.append(listed())
    journal.rotate()
    journal.append(*decisions(5, 1))

    shipped = ship_all(journal, url)

    assert shipped == journal.position.sequence - 1
    assert_all_there(url, journal)
    kinds = query(
        url,
        "SELECT kind, count(*) FROM decisions WHERE journal_id = :j GROUP BY kind ORDER BY kind",
        j=journal.journal_id,
    )
    assert kinds == [("DECISION", 6), ("LISTED", 1), ("PRESENTED", 2)]


def test_a_decision_is_found_by_what_it_says(url: str, journal: JournalFiles) -> None:
    journal.append([decided(7)])

    ship_all(journal, url)

    (row,) = query(url, "SELECT * FROM decisions WHERE journal_id = :j", j=journal.journal_id)
    noon = 1_591_704_000_250_000
    assert row[:5] == ("decision-7", noon, journal.journal_id, 3, noon)
    assert row[7:] == (
        "DECISION",
        "ana",
        "uk-nhs",
        "ra1",
        "ana",
        "loopback",
        "VIEW",
        "ALLOW",
        "RULE_ALLOWED",
        "own-recording",
        "ab" * 32,
        9,
        "request-7",
    )


def test_what_was_given_up_is_not_shipped(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 2))
    journal.give_up(b'{"sequence":6,"batch":{"number":2')
    journal.append(*decisions(2, 1))

    ship_all(journal, url)

    assert_all_there(url, journal)


def test_nothing_is_shipped_before_it_is_synced(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 1))
    synced = journal.position
    journal.append(*decisions(1, 1))
    written, journal.position = journal.position, synced

    ship_all(journal, url)
    before = stored_records(url, journal)
    journal.position = written
    ship_all(journal, url)

    assert [record["decision_id"] for record in before] == ["decision-0"]
    assert_all_there(url, journal)


def test_what_is_long_goes_in_pieces(url: str, journal: JournalFiles) -> None:
    """Of a batch line nothing is cut, however small the pieces."""
    for first in range(0, 12, 4):
        journal.append(*decisions(first, 4), [decided(n) for n in range(first, first + 40)])
    work = shipping(journal, url)
    work._piece_bytes = 1

    steps = 0
    while work.step() is not None:
        work._piece_bytes = 1
        steps += 1
    work.leave()

    assert steps == journal.position.sequence - 1
    assert_all_there(url, journal)


def test_months_and_years_have_partitions_of_their_own(url: str, journal: JournalFiles) -> None:
    """Also where one line, or one piece, goes over a month's end, and time goes back."""
    ends = month(2020, 7), month(2021, 1), month(1970, 2), month(9999, 12)
    for number, end in enumerate(ends):
        journal.append(
            [decided(2 * number, end - (month(2020, 1, 2) - month(2020, 1)))],
            [decided(2 * number + 1, end)],
        )

    ship_all(journal, url)

    assert_all_there(url, journal)
    if url.startswith("postgresql"):
        ((there,),) = query(
            url, "SELECT count(*) FROM journal_lines_2020_06 WHERE journal_id = :j",
            j=journal.journal_id,
        )  # fmt: skip
        assert there == 3  # the segment's beginning, a batch's, and the 30th


class Breaking:
    """A store that fails before or after its n-th shipment was committed."""

    def __init__(self, store: Store, numbers: count[int], fail_at: int, *, after: bool) -> None:
        self._store, self._numbers, self._fail_at, self._after = store, numbers, fail_at, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def ship(
        self, journal_id: str, before: Progress | None, shipment: Shipment, shipped_at: int
    ) -> None:
        fails = next(self._numbers) % 3 == self._fail_at
        if fails and not self._after:
            raise StoreFailureError(FailureKind.SILENT, "gone")
        self._store.ship(journal_id, before, shipment, shipped_at)
        if fails:
            raise StoreFailureError(FailureKind.SILENT, "gone")


@pytest.mark.parametrize("fail_at", [0, 1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before-commit", "after-commit"])
def test_a_shipment_whose_end_is_not_known_is_there_once(
    url: str, journal: JournalFiles, fail_at: int, *, after: bool
) -> None:
    for first in range(0, 30, 10):
        journal.append(*decisions(first, 10))
    numbers = count()
    work = Shipping(
        journal,
        lambda: Breaking(open_store(url), numbers, fail_at, after=after),  # type: ignore[arg-type,return-value]  # the rest is the store's
        lambda: NOW,
    )

    failures = 0
    while True:
        work._piece_bytes = 4000
        try:
            if work.step() is None:
                break
        except StoreFailureError:
            failures += 1
    work.leave()

    assert failures >= 2
    assert_all_there(url, journal)


def test_a_transaction_that_dies_before_its_commit_leaves_nothing(
    url: str, journal: JournalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines and decisions are over already; progress and all are gone with the connection."""
    journal.append(*decisions(0, 5))
    store = open_store(url)
    shipment = shipping(journal, url).step
    work = Shipping(journal, lambda: store, lambda: NOW)
    ships = type(store).ship

    def dies(self: Store, *shipped: object) -> None:
        if url.startswith("postgresql"):
            copy = self._copy  # type: ignore[attr-defined]  # PostgreSQL's

            def copied(*rows: object) -> None:
                copy(*rows)
                self._connection.close()  # type: ignore[attr-defined]  # PostgreSQL's

            monkeypatch.setattr(self, "_copy", copied)
        else:
            self._connection.set_authorizer(_no_commit)  # type: ignore[attr-defined]  # SQLite's
        ships(self, *shipped)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(type(store), "ship", dies)
    with pytest.raises(StoreFailureError):
        work.step()
    monkeypatch.undo()

    assert stored_content(url, journal) == b""
    assert shipment() is not None
    assert_all_there(url, journal)


def _no_commit(action: int, first: str | None, *_rest: object) -> int:
    """Deny a commit."""
    import sqlite3  # noqa: PLC0415  # for its constants

    denied = action == sqlite3.SQLITE_TRANSACTION and first == "COMMIT"
    return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


def test_two_who_ship_the_same_journal_do_not_double_it(url: str, journal: JournalFiles) -> None:
    for first in range(0, 100, 10):
        journal.append(*decisions(first, 10))

    def ship(_number: int) -> int:
        work = shipping(journal, url)
        shipped = 0
        while True:
            work._piece_bytes = 8000
            try:
                shipment = work.step()
            except StoreFailureError:
                continue
            if shipment is None:
                work.leave()
                return shipped
            shipped += len(shipment.lines)

    with ThreadPoolExecutor(3) as threads:
        shipped = list(threads.map(ship, range(3)))

    assert sum(shipped) == journal.position.sequence - 1
    assert_all_there(url, journal)


def test_many_journals_go_into_one_store(url: str, journal: JournalFiles) -> None:
    others = [JournalFiles(journal.directory.with_name(f"other-{n}")) for n in range(3)]
    for each in (journal, *others):
        for first in range(0, 50, 5):
            each.append(*decisions(first, 5))

    def ship(each: JournalFiles) -> None:
        while True:
            try:
                ship_all(each, url)
            except StoreFailureError:
                continue
            return

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ship, (journal, *others)))

    for each in (journal, *others):
        assert_all_there(url, each)


def test_an_older_copy_of_the_store_is_brought_up_again(url: str, journal: JournalFiles) -> None:
    """Restored to yesterday beneath a shipper that is running: nothing is lost or doubled."""
    journal.append(*decisions(0, 5))
    work = shipping(journal, url)
    drained(work)
    yesterday = query(url, "SELECT * FROM journals WHERE journal_id = :j", j=journal.journal_id)
    journal.append(*decisions(5, 5))
    journal.rotate()
    journal.append(*decisions(10, 5))
    drained(work)

    restore(url, journal, yesterday[0])
    work.look()
    again = drained(work)
    work.leave()

    assert again == journal.position.sequence - 1 - yesterday[0][1]
    assert_all_there(url, journal)


def restore(url: str, journal: JournalFiles, row: tuple[object, ...]) -> None:
    """Take out of a store what came after a journal's row was as it is given."""
    for table in ("journal_lines", "decisions"):
        query(
            url,
            f"DELETE FROM {table} WHERE journal_id = :j AND sequence > :s",  # noqa: S608  # ours
            j=journal.journal_id,
            s=row[1],
        )
    query(
        url,
        "UPDATE journals SET sequence = :s, hash = :h, segment = :f, offset_bytes = :o, at = :a "
        "WHERE journal_id = :j",
        **dict(zip("jshfoa", row[:1] + row[1:6], strict=True)),
    )


def test_a_place_that_is_not_the_journals_own_is_found_by_its_number(
    url: str, journal: JournalFiles
) -> None:
    journal.append(*decisions(0, 5))
    journal.rotate()
    journal.append(*decisions(5, 5))
    ship_all(journal, url)
    query(
        url,
        "UPDATE journals SET segment = 77, offset_bytes = 5 WHERE journal_id = :j",
        j=journal.journal_id,
    )
    journal.append(*decisions(10, 2))

    ship_all(journal, url)

    assert_all_there(url, journal)


def test_holes_are_filled_once_the_progress_is_taken_back(url: str, journal: JournalFiles) -> None:
    """Lines that are there are not brought again; lines and decisions that are missing are."""
    for first in range(0, 30, 5):
        journal.append(*decisions(first, 5))
    ship_all(journal, url)
    for statement in (
        "DELETE FROM journal_lines WHERE journal_id = :j AND sequence IN (3, 9)",
        "DELETE FROM decisions WHERE journal_id = :j AND sequence IN (3, 10, 11)",
        "DELETE FROM journals WHERE journal_id = :j",
    ):
        query(url, statement, j=journal.journal_id)

    ship_all(journal, url)

    assert_all_there(url, journal)


def test_an_idle_look_finds_nothing_to_do(url: str, journal: JournalFiles) -> None:
    journal.append(*decisions(0, 1))
    work = shipping(journal, url)
    drained(work)

    work.look()

    assert work.step() is None
    assert (work.at is not None, work.next_at) == (True, None)
    work.leave()
