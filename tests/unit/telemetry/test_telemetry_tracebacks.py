"""Errors in the log: where and of what kind, never what a driver or a parser quoted."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sqlite3
from datetime import date
from typing import Any

import psycopg
import pytest
import structlog

from authz_service.pdp.errors import FactsUnavailableError
from authz_service.telemetry.logs import set_up_logs
from authz_service.telemetry.tracebacks import text_of, told
from tests.marked import BIRTH_DATE, FREE_TEXT, PASSWORD


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return *error* as it is once it was raised."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(FactsUnavailableError("it is locked"),
                     "the registry is not usable: it is locked", id="ours"),
        pytest.param(RuntimeError("no loop"), "no loop", id="about-code"),
        pytest.param(OSError(28, "No space left", "/x"), "[Errno 28] No space left", id="disk"),
        pytest.param(ValueError(f"bad: {FREE_TEXT}"), "...", id="value"),
        pytest.param(KeyError(FREE_TEXT), "...", id="key"),
        pytest.param(psycopg.OperationalError(f"password={PASSWORD}"), "...", id="driver"),
        pytest.param(sqlite3.IntegrityError(FREE_TEXT), "...", id="row"),
        pytest.param(ValueError(), "", id="nothing-said"),
    ],
)  # fmt: skip
def test_what_an_error_holds_is_said_only_where_it_is_about_code(
    error: BaseException, text: str
) -> None:
    assert text_of(error) == text


def test_what_led_to_an_error_is_told_with_its_places() -> None:
    """Who looks for a defect sees the way to it, without the value that it tripped over."""
    first = raised(ValueError(FREE_TEXT))

    lines = told(raised(RuntimeError("a row is damaged"), first)).splitlines()

    assert [line for line in lines if not line.startswith(" ")] == [
        "Traceback (most recent call last):",
        "ValueError: ...",
        "which led to:",
        "Traceback (most recent call last):",
        "RuntimeError: a row is damaged",
    ]
    assert any(line.endswith("in raised") for line in lines)


def test_errors_that_came_together_are_all_told() -> None:
    group = BaseExceptionGroup("two", [raised(ValueError(PASSWORD)), raised(TypeError("no"))])

    assert told(group).startswith("ExceptionGroup: ...\n")
    assert "ValueError: ..." in told(group)
    assert "TypeError: no" in told(group)


def test_an_error_that_goes_round_in_a_circle_is_told_once() -> None:
    one, other = ValueError("1"), KeyError("2")
    one.__context__, other.__context__ = other, one

    assert told(one).count("ValueError") == 1


@pytest.fixture
def stream() -> Any:
    """Logs as the service writes them."""
    root, before = logging.root, (list(logging.root.handlers), logging.root.level)
    found = io.StringIO()
    set_up_logs("json", found)
    yield found
    root.handlers, root.level = before


@pytest.mark.parametrize("name", ["asyncio", "grpc", "anything"])
def test_a_library_cannot_quote_an_error_into_the_log(stream: io.StringIO, name: str) -> None:
    error = raised(ValueError(PASSWORD))

    logging.getLogger(name).error("it failed\nfuture: %r", error, exc_info=error)  # noqa: TID251  # a library's

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "it failed"
    assert "ValueError: ..." in json.loads(line)["exception"]
    assert PASSWORD not in line


async def test_a_forgotten_task_cannot_quote_its_error_into_the_log(stream: io.StringIO) -> None:
    async def fail() -> None:
        raise ValueError(FREE_TEXT)

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task

    assert "never retrieved" in stream.getvalue()
    assert FREE_TEXT not in stream.getvalue()


def test_our_own_events_tell_errors_in_the_same_way(stream: io.StringIO) -> None:
    text = f"{BIRTH_DATE}T"
    try:
        date.fromisoformat(text)
    except ValueError:
        structlog.get_logger("x").exception("rpc_failed")

    (line,) = stream.getvalue().splitlines()
    assert "ValueError: ..." in json.loads(line)["exception"]
    assert BIRTH_DATE not in line
