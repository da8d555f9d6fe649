"""Every call is known by a request id: in its answer, its trailing metadata and its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from authz_service.audit.verify import read_records
from authz_service.pdp.model import is_id
from tests.e2e.client import Client, client_of, failing, question
from tests.service_thread import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def asked(client: Client, metadata: Sequence[tuple[str, str]] = ()) -> tuple[Any, str]:
    """Ask; return the answer, and the request id in the trailing metadata."""
    answer, call = client.access.CheckAccess.with_call(
        question("mara", "rec-mara"), timeout=10, metadata=metadata
    )
    return answer, dict(call.trailing_metadata())["x-request-id"]


def test_a_request_id_is_echoed_in_the_answer_and_in_its_metadata(shared_client: Client) -> None:
    answer, trailing = asked(shared_client, [("x-request-id", "req-17.a_b")])

    assert (answer.request_id, trailing) == ("req-17.a_b", "req-17.a_b")


@pytest.mark.parametrize("malformed", ["two words", "a" * 129, "-x", "a%0A", ""])
def test_a_request_id_that_is_absent_or_malformed_is_made(
    shared_client: Client, malformed: str
) -> None:
    metadata = [("x-request-id", malformed)] if malformed else []

    made = {asked(shared_client, metadata)[1] for _ in range(3)}

    assert len(made) == 3
    assert all(is_id(request_id) for request_id in made)
    assert malformed not in made


def test_a_failure_carries_the_request_id_too(shared_client: Client) -> None:
    failure = failing(
        shared_client.access.CheckAccess,
        question("", "rec-mara"),
        timeout=10,
        metadata=[("x-request-id", "req-of-a-failure")],
    )

    assert failure.request_id == "req-of-a-failure"


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE, id="well-formed"),
        pytest.param(f"00-{'0' * 32}-00f067aa0ba902b7-01", None, id="all-zeros"),
        pytest.param(f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None, id="upper-case"),
        pytest.param("nonsense", None, id="malformed"),
    ],
)
def test_the_trace_is_recorded(tmp_path: Path, traceparent: str, trace_id: str | None) -> None:
    with serving(tmp_path) as service, client_of(service) as client:
        asked(client, [("traceparent", traceparent), ("x-request-id", "traced")])

    (decision,) = [r for r in read_records(tmp_path / "journal") if r["kind"] == "DECISION"]
    assert (decision["request_id"], decision["trace_id"]) == ("traced", trace_id)
