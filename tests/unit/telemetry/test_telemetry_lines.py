"""What is logged: one closed line a decision, JSON or readable, and no values of anybody's."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from authz_service.operations.lists import ListRequest
from authz_service.operations.records import (
    CallContext,
    DecisionRecord,
    EventRecord,
    ListRecord,
    RecordKind,
)
from authz_service.pdp.model import AccessRequest, Action, Decision, Effect, PurposeOfUse, Reason
from authz_service.telemetry.decision_lines import DecisionLines
from authz_service.telemetry.logs import is_readable, set_up_logs

NOON = datetime(2020, 6, 9, 12, 0, 0, 250_000, tzinfo=UTC)
REQUEST = AccessRequest("ana", "ra1", Action.VIEW, PurposeOfUse.PATRQT)


def decision(request: AccessRequest | None = REQUEST) -> DecisionRecord:
    """Return a record."""
    effect = Decision(Effect.DENY, Reason.NO_RULE_MATCHED, patient_id="bob")
    return DecisionRecord("d1", NOON, CallContext("loopback", "r1"), request, effect, "ab", 7, 42)


def page() -> ListRecord:
    """Return the record of a page of a list."""
    request = ListRequest("ana", Action.LIST, PurposeOfUse.PATRQT, patient_id="bob")
    context = CallContext("loopback", "r1")
    return ListRecord("d0", NOON, context, request, 1, 3, is_last=True, policy_revision="ab",
                      facts_revision=7, elapsed_microseconds=42)  # fmt: skip


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """Put structlog and the root logger back."""
    before, handlers, level = structlog.get_config(), logging.root.handlers, logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers = handlers
    logging.root.setLevel(level)


def test_a_decision_is_one_line_of_closed_fields() -> None:
    stream = io.StringIO()

    DecisionLines(readable=False, stream=stream)([decision()])

    assert json.loads(stream.getvalue()) == {
        "event": "access_decided",
        "level": "info",
        "timestamp": "2020-06-09T12:00:00.250000Z",
        "decision_id": "d1",
        "request_id": "r1",
        "caller": "loopback",
        "subject_id": "ana",
        "action": "VIEW",
        "recording_id": "ra1",
        "effect": "DENY",
        "reason": "NO_RULE_MATCHED",
        "rule": None,
        "policy_revision": "ab",
        "facts_revision": 7,
        "elapsed_microseconds": 42,
    }


def test_a_page_is_one_line_whatever_its_rows() -> None:
    """It says how much was looked at, and how much shown; the rows are in the journal."""
    stream = io.StringIO()
    row = decision()._replace(kind=RecordKind.PRESENTED)

    DecisionLines(readable=False, stream=stream)([page(), row])

    read = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert read == [
        {
            "event": "list_presented",
            "level": "info",
            "timestamp": "2020-06-09T12:00:00.250000Z",
            "decision_id": "d0",
            "request_id": "r1",
            "caller": "loopback",
            "subject_id": "ana",
            "action": "LIST",
            "rows": 1,
            "considered": 3,
            "is_last": True,
            "policy_revision": "ab",
            "facts_revision": 7,
            "elapsed_microseconds": 42,
        }
    ]


def test_only_decisions_are_lines_and_each_batch_is_written_whole() -> None:
    stream = io.StringIO()
    lines = DecisionLines(readable=False, stream=stream)

    lines([decision(), EventRecord("facts_written", NOON, None, "op"), decision(None)])
    lines([])
    lines([decision()])

    read = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["subject_id"] for line in read] == ["ana", None, "ana"]
    assert stream.getvalue().endswith("}\n")


def test_a_line_for_people_names_the_same() -> None:
    stream = io.StringIO()

    DecisionLines(readable=True, stream=stream)([decision()])

    assert "access_decided" in stream.getvalue()
    assert "subject_id=ana" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.usefixtures("logs_as_before")
def test_a_stack_trace_shows_no_values(log_format: str) -> None:
    """A trace with the values of variables would show whatever a question or a fact holds."""
    stream = io.StringIO()
    set_up_logs(log_format, stream)
    birth_date = "1984-05-02"

    numbers: dict[int, int] = {}

    try:
        numbers[len(birth_date)]
    except KeyError as error:
        structlog.get_logger("x").error("rpc_failed", exc_info=error)

    assert "KeyError" in stream.getvalue()
    assert birth_date not in stream.getvalue().replace('birth_date = "1984-05-02"', "")


@pytest.mark.usefixtures("logs_as_before")
def test_libraries_are_heard_from_warnings_on_in_the_same_form() -> None:
    stream = io.StringIO()
    set_up_logs("json", stream)

    for name in ("casbin.policy", "alembic.runtime", "asyncio", "sqlalchemy"):
        logging.root.manager.getLogger(name).info("whole policies")
        logging.root.manager.getLogger(name).warning("something %s", "odd")

    read = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {(line["event"], line["level"]) for line in read} == {("something odd", "warning")}


@pytest.mark.parametrize(
    ("log_format", "readable"), [("json", False), ("console", True), ("auto", False)]
)
def test_what_is_no_terminal_gets_json(log_format: str, readable: bool) -> None:  # noqa: FBT001  # a parameter
    assert is_readable(log_format, io.StringIO()) is readable


class Writes(io.StringIO):
    """Notes each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def write(self, text: str) -> int:
        self.sizes.append(len(text))
        return super().write(text)


@pytest.mark.parametrize(("shared", "writes"), [(False, 1), (True, 13)])
def test_lines_of_several_workers_do_not_run_into_each_other(*, shared: bool, writes: int) -> None:
    """A pipe takes 4096 bytes whole; more may be cut where another process writes."""
    stream = Writes()

    DecisionLines(readable=False, stream=stream, shared=shared)([decision()] * 150)

    assert len(stream.sizes) == writes
    assert all(size <= 4096 for size in stream.sizes) is shared
    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["decision_id"] for line in lines] == ["d1"] * 150


def test_a_file_takes_the_lines_of_a_batch_in_one_write(tmp_path: Path) -> None:
    """Of workers too: nothing of another comes in between."""
    with (tmp_path / "log").open("w") as file:
        stream: Any = Counted(file)
        DecisionLines(readable=False, stream=stream, shared=True)([decision()] * 150)

    assert stream.flushes == 1
    assert (tmp_path / "log").read_text().count("\n") == 150


class Counted:
    """A stream that counts how often it is flushed."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.flushes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def flush(self) -> None:
        self.flushes += 1
        self._file.flush()


@pytest.mark.usefixtures("logs_as_before")
def test_what_a_library_repeats_is_one_line_and_no_longer_than_it_has_to_be() -> None:
    """A client may be able to have a library say something with each packet."""
    stream = io.StringIO()
    set_up_logs("json", stream)

    library = logging.root.manager.getLogger("a.library")
    for number in range(300):
        library.error("call %d went wrong", number)
    library.error("x" * 100_000)

    first, other = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert first["event"] == "call 0 went wrong"
    assert other["event"] == "x" * 1000
