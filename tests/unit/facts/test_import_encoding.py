"""A line is read in one way only, however fast; and becomes what COPY writes back unharmed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.facts import import_crew, import_lines
from authz_service.facts.import_crew import prepared
from authz_service.facts.import_encoding import grain_of
from authz_service.facts.import_lines import Chunk, chunks_of, fact_on
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import InvalidRequestError

SUBJECT = (
    '{"subject": {"id": "ana", "tenant_id": "uk", "kind": "PATIENT", "status": "ACTIVE"},'
    ' "source": "s", "observed_at": "2020-01-01T00:00:00Z"}'
)
TENANT = (
    '{"tenant": {"id": "t", "time_zone": "UTC", "proxy_suspended_from_age": 3},'
    ' "source": "s", "observed_at": "2020-01-01T00:00:00Z"}'
)
PIECES = (
    '"id": "ana"', '"id": "bob"', '"id" : "eve"', '"tenant_id": "uk"', '"kind": "PATIENT"',
    '"status": "ACTIVE"', '"family": ["x", "x"]', '"family": [":", ":"]', '"birth_date": "\\u0031"',
    '"status":\t"ACTIVE"',
)  # fmt: skip
ENDS = (
    '"source": "s"', '"source": "t"', '"observed_at": "2020-01-01T00:00:00Z"',
    '"observed_at": "2020-01-01T01:00:00.5+01:00"', '"revision": 1', '"revision": 1e999',
)  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Draw a line that may hold a key twice, white space anywhere, escapes and oddities."""
    inner = ", ".join(draw(st.lists(st.sampled_from(PIECES), max_size=6)))
    outer = draw(st.lists(st.sampled_from(ENDS), max_size=4))
    outer.insert(draw(st.integers(0, len(outer))), f'"subject": {{{inner}}}')
    return ("{" + ", ".join(outer) + "}").encode()


def read(line: bytes, reading: Callable[[bytes, str], Any]) -> Any:
    """Return the fact on *line*, or the complaint."""
    try:
        return reading(line, "f:1: ")
    except InvalidRequestError as error:
        return str(error)


@given(lines())
def test_reading_fast_is_reading_strictly(line: bytes) -> None:
    assert read(line, fact_on) == read(line, import_lines._with_every_complaint)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(SUBJECT.replace('"uk"', '"uk", "tenant_id": "us"'), id="key-twice"),
        pytest.param(SUBJECT.replace('"uk"', '"uk", "tenant_id" : "uk"'), id="twice-and-spaced"),
        pytest.param(SUBJECT[:-1] + ', "source": "t"}', id="outer-key-twice"),
        pytest.param(SUBJECT.replace('"uk"', '"uk", "tenant_\\u0069d": "us"'), id="escaped-key"),
    ],
)
def test_a_key_that_stands_twice_is_seen(line: str) -> None:
    with pytest.raises(InvalidRequestError, match="stands twice"):
        fact_on(line.encode(), "")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([SUBJECT, SUBJECT], id="a-fact-twice"),
        pytest.param([SUBJECT, "{"], id="no-json"),
        pytest.param(
            [SUBJECT.replace('"uk"', '"\\ud800"')],
            id="half-a-character",
        ),
        pytest.param(
            [TENANT],
            id="refused-by-a-rule",
        ),
    ],
)  # fmt: skip
def test_what_takes_a_closer_look_is_not_made_ready(lines: list[str]) -> None:
    assert grain_of(Chunk(0, [line.encode() for line in lines])) is None


def test_blank_lines_are_no_facts() -> None:
    grain = grain_of(Chunk(7, [b"\n", SUBJECT.encode(), b" \n"]))

    assert grain is not None
    assert grain.batches[FactKind.SUBJECT].places == [1]
    assert grain.last == 1


def facts() -> Iterator[bytes]:
    """Yield enough lines for processes to be worth it."""
    for number in range(6_000):
        yield SUBJECT.replace("ana", f"p{number}").encode()


def test_an_import_goes_on_where_its_processes_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they were at is done here."""
    started: list[int] = []
    start = import_crew._Crew._start

    def noted(crew: Any) -> None:
        start(crew)
        started.append(crew._mine.popen.pid)

    monkeypatch.setattr(import_crew._Crew, "_start", noted)
    ids: list[str] = []
    for chunk, grain in prepared(chunks_of(facts(), 0)):
        assert grain is not None
        ids += grain.batches[FactKind.SUBJECT].ids
        for pid in started[:1] if chunk.before == 0 else ():
            os.kill(pid, 9)

    assert started
    assert ids == [json.loads(line)["subject"]["id"] for line in facts()]


def test_a_chunk_is_bounded_in_lines_and_in_bytes() -> None:
    long = b" " * 700_000

    assert [len(one.lines) for one in chunks_of([b"{}"] * 2_500, 3)] == [1000, 1000, 500]
    assert [one.before for one in chunks_of([long] * 5, 3)] == [3, 5, 7]
