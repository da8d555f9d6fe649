"""Plays the lists among the cases: page by page, and against every recording in turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from authz_service.pdp.entity_plain import parse_instant
from authz_service.pdp.model import Instant
from tests.golden.scenarios import Case, Plain
from tests.golden.target import Answer, Failure, Page, Row, Target

_DEFAULT_PAGE = 50
_CHECKS_A_CALL = 1000
_OF_LISTS = {"patient_id", "created_from", "created_to", "page_size", "page_token"}


async def play_list(case: Case, question: Plain, target: Target) -> object:
    """Ask for every page of a list, compare, and return what was told.

    Raises:
        AssertionError: The list is not the expected one or not what checks allow one by one, a row
            is there twice or out of order, or a page is of the wrong length or echoes another
            question.
    """
    pages = await _pages(case, question, target)
    if isinstance(pages, Failure):
        compare_failure(case, pages)
        return pages
    rows = [row for page in pages for row in page.rows]
    found = [row.recording_id for row in rows]
    assert len(found) == len(set(found)), f"{case.id}: a recording is there twice"
    assert set(found) == set(case.expect["recordings"]), f"{case.id}: {question}"
    assert rows == sorted(rows, key=_place, reverse=True), f"{case.id}: not newest first"
    _compare_pages(case, question, pages)
    assert set(found) == await _allowed(case, question, target), f"{case.id}: not as checks say"
    return [[row.recording_id for row in page.rows] for page in pages]


def compare_failure(case: Case, got: object) -> None:
    """Compare a call that was to fail.

    Raises:
        AssertionError: It did not, or for another reason.
    """
    assert isinstance(got, Failure), f"{case.id}: answered with {got}"
    assert got.status == case.expect["status"], case.id
    if "field" in case.expect:
        assert case.expect["field"] in got.fields, case.id


async def _pages(case: Case, question: Plain, target: Target) -> Sequence[Page] | Failure:
    """Return every page, following the tokens."""
    pages: list[Page] = []
    asked = question
    while True:
        page = await target.page(asked)
        if isinstance(page, Failure):
            assert case.expects_status, f"{case.id}: {asked} failed with {page}"
            return page
        pages.append(page)
        if not page.next_page_token:
            return pages
        asked = {**question, "page_token": page.next_page_token}


def _compare_pages(case: Case, question: Plain, pages: Sequence[Page]) -> None:
    """Compare the pages with what was asked for, and with what the facts say of their rows."""
    size = question.get("page_size") or _DEFAULT_PAGE
    *full, last = pages
    assert all(len(page.rows) == size for page in full), f"{case.id}: a page is not full"
    assert len(last.rows) <= size, f"{case.id}: a page is too long"
    assert last.rows or not full, f"{case.id}: a token led to nothing"
    asked = {
        "subject_id": question["subject"]["id"],
        "action": question.get("action", "LIST"),
        "patient_id": question.get("patient_id", ""),
    }
    assert all(page.echo == asked for page in pages), f"{case.id}: a page echoes another question"
    told = {row.recording_id: row for page in pages for row in page.rows}
    for recording in _recordings(case):
        row = told.get(recording["id"])
        if row is not None:
            assert row.patient_id == recording["owner_id"], case.id
            assert row.created_at == parse_instant(recording["created_at"]), case.id


async def _allowed(case: Case, question: Plain, target: Target) -> set[str]:
    """Return the recordings that checks allow one by one, among those that are asked for."""
    defaults = {"action": "LIST", **{k: v for k, v in question.items() if k not in _OF_LISTS}}
    asked_for = [one["id"] for one in _recordings(case) if _is_asked_for(one, question)]
    allowed: set[str] = set()
    for start in range(0, len(asked_for), _CHECKS_A_CALL):
        ids = asked_for[start : start + _CHECKS_A_CALL]
        checks = [{"recording_id": each} for each in ids]
        results = await target.batch(
            {"semantics": "EXECUTE_ALL", "defaults": defaults, "checks": checks}
        )
        assert not isinstance(results, Failure), f"{case.id}: the checks failed with {results}"
        allowed |= {each for each, one in zip(ids, results, strict=True) if _allows(one)}
    return allowed


def _allows(answer: Answer | None) -> bool:
    return answer is not None and answer.effect == "ALLOW"


def _is_asked_for(recording: Plain, question: Plain) -> bool:
    """Whether the list asks for *recording*, by its owner and by when it was made."""
    if question.get("patient_id", recording.get("owner_id")) != recording.get("owner_id"):
        return False
    made, start, end = (
        _instant(text)
        for text in (
            recording.get("created_at"),
            question.get("created_from"),
            question.get("created_to"),
        )
    )
    return made is not None and (start is None or start <= made) and (end is None or made < end)


def _recordings(case: Case) -> Iterable[Plain]:
    """Return every recording of *case*, as it was written last."""
    facts = (*case.world.facts, *case.more_facts, *case.given)
    recordings: dict[str, Any] = {
        fact["recording"]["id"]: fact["recording"] for fact in facts if "recording" in fact
    }
    return recordings.values()


def _instant(text: str | None) -> Instant | None:
    return None if text is None else parse_instant(text)


def _place(row: Row) -> tuple[Instant, str]:
    return row.created_at, row.recording_id
