"""`authz decisions list` and `show`, against a service that answers as a test tells it to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from authz_service.api.v1 import decision_log_pb2 as pb
from authz_service.api.v1 import decision_log_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as words
from tests.unit.cli.cli_runs import NOBODY, document, run

DECISION = "0190163d-8694-739b-aea5-966c26f8ad91"
ALLOWED: dict[str, Any] = {
    "format": 1,
    "kind": "DECISION",
    "decision_id": DECISION,
    "evaluated_at": "2020-06-09T12:00:00Z",
    "request_id": "r1",
    "trace_id": None,
    "caller": "loopback",
    "callers_revision": "c1",
    "subject_id": "olga",
    "tenant_id": None,
    "recording_id": "rec-lio",
    "patient_id": "lio",
    "action": "VIEW",
    "effect": "ALLOW",
    "reason": "RULE_ALLOWED",
    "rule": "guardian-view",
    "obligations": [],
    "situation": {
        "roles": ["patient"],
        "relations": ["guardian"],
        "purpose": "FAMRQT",
        "conditions": ["mfa"],
    },
    "evidence": {"guardian": [{"kind": "delegation", "id": "d1", "revision": 7}]},
    "policy_revision": "p1",
    "facts_revision": 12,
    "elapsed_microseconds": 250,
    "software": "authz-service/0.1.0",
}
BOUND = {
    **ALLOWED,
    "effect": "DENY",
    "reason": "SEALED",
    "rule": None,
    "situation": {"roles": None, "relations": None, "purpose": "TREAT", "conditions": None},
    "evidence": {},
    "obligations": [{"id": "step-up", "parameters": {"assurance": "MULTI_FACTOR"}}],
}
LISTED = {
    "format": 1,
    "kind": "LISTED",
    "decision_id": DECISION,
    "evaluated_at": "2020-06-09T12:00:00Z",
    "subject_id": "olga",
    "action": "LIST",
    "rows": 3,
    "considered": 4,
    "is_last": True,
}


class FakeLog(grpc_api.DecisionLogServiceServicer):
    """Holds records, shown page by page; keeps what it was asked."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = [json.dumps(record) for record in records]
        self.pages: list[pb.ListDecisionsRequest] = []

    def GetDecision(self, request: pb.GetDecisionRequest, context: Any) -> pb.GetDecisionResponse:  # noqa: N802  # the RPC's name
        for text in self.records:
            if json.loads(text)["decision_id"] == request.decision_id:
                return pb.GetDecisionResponse(decision=_message(text))
        _fail(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        raise AssertionError

    def ListDecisions(  # noqa: N802  # the RPC's name
        self, request: pb.ListDecisionsRequest, context: Any
    ) -> pb.ListDecisionsResponse:
        self.pages.append(request)
        start = int(request.page_token or 0)
        end = start + request.page_size
        more = str(end) if end < len(self.records) else ""
        decisions = [_message(text) for text in self.records[start:end]]
        return pb.ListDecisionsResponse(decisions=decisions, next_page_token=more)


class SilentLog(grpc_api.DecisionLogServiceServicer):
    """A service whose store cannot be read."""

    def GetDecision(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        _fail(context, grpc.StatusCode.UNAVAILABLE, "DECISIONS_UNAVAILABLE")

    def ListDecisions(self, request: Any, context: Any) -> Any:  # noqa: N802  # the RPC's name
        _fail(context, grpc.StatusCode.UNAVAILABLE, "DECISIONS_UNAVAILABLE")


def _message(text: str) -> pb.DecisionRecord:
    return pb.DecisionRecord(
        json=text, journal_id="j-1", journal_sequence=42, journal_line_hash="ab" * 32
    )


def _fail(context: Any, code: grpc.StatusCode, reason: str) -> None:
    status = status_pb2.Status(code=code.value[0], message=reason.lower())
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason))
    status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, reason.lower())


@contextmanager
def serving(log: grpc_api.DecisionLogServiceServicer) -> Iterator[str]:
    """Serve *log*; give its address."""
    server = grpc.server(ThreadPoolExecutor(1))
    grpc_api.add_DecisionLogServiceServicer_to_server(log, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def numbered(count: int) -> list[dict[str, Any]]:
    """Return so many records."""
    return [{**ALLOWED, "decision_id": f"d{number}"} for number in range(count)]


def test_every_filter_reaches_the_service() -> None:
    log = FakeLog()

    with serving(log) as address:
        result = run(
            "decisions", "list", "--subject", "olga", "--recording", "rec-lio", "--patient", "lio",
            "--caller", "loopback", "--effect", "deny", "--reason", "sealed", "--kind",
            "presented", "--from", "2020-06-01T00:00:00Z", "--to", "2020-07-01T02:00:00+02:00",
            "--address", address,
        )  # fmt: skip

    expected = pb.ListDecisionsRequest(
        subject_id="olga", recording_id="rec-lio", patient_id="lio", caller="loopback",
        effect=words.EFFECT_DENY, reason=words.REASON_SEALED, kind=pb.RECORD_KIND_PRESENTED,
        page_size=50,
    )  # fmt: skip
    expected.evaluated_from.FromJsonString("2020-06-01T00:00:00Z")
    expected.evaluated_to.FromJsonString("2020-07-01T00:00:00Z")
    assert log.pages == [expected]
    assert (result.exit_code, "no record" in result.stdout) == (0, True)


def test_a_listing_is_a_row_for_each_record() -> None:
    with serving(FakeLog(ALLOWED, BOUND, LISTED)) as address:
        result = run("decisions", "list", "--address", address)

    rows = [line.split() for line in result.stdout.splitlines()]
    at = "2020-06-09T12:00:00Z"
    assert rows[1:] == [
        [at, "DECISION", "ALLOW", "RULE_ALLOWED", "olga", "VIEW", "rec-lio", DECISION],
        [at, "DECISION", "DENY", "SEALED", "olga", "VIEW", "rec-lio", DECISION],
        [at, "LISTED", "3", "rows", "-", "olga", "LIST", "-", DECISION],
    ]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("words_typed", "sizes", "count", "more"),
    [
        pytest.param((), [50], 50, True, id="fifty-by-default"),
        pytest.param(("--limit", "3"), [3], 3, True, id="limit"),
        pytest.param(("--limit", "700"), [500, 200], 700, True, id="more-than-a-page"),
        pytest.param(("--limit", "5000"), [500, 500], 901, False, id="more-than-there-are"),
        pytest.param(("--all",), [500, 500], 901, False, id="all"),
    ],
)
def test_pages_are_fetched_until_there_is_enough(
    words_typed: tuple[str, ...], sizes: list[int], count: int, *, more: bool
) -> None:
    log = FakeLog(*numbered(901))

    with serving(log) as address:
        found = document(
            run("decisions", "list", *words_typed, "--format", "json", "--address", address)
        )

    assert [page.page_size for page in log.pages] == sizes
    assert found["decisions"] == numbered(901)[:count]
    assert found["more"] is more


def test_that_more_follow_is_said_beside_the_table() -> None:
    with serving(FakeLog(*numbered(3))) as address:
        result = run("decisions", "list", "--limit", "2", "--address", address)

    assert len(result.stdout.splitlines()) == 3
    assert "more follow" in result.stderr


def test_a_record_is_a_page_with_the_facts_behind_each_relation() -> None:
    with serving(FakeLog(ALLOWED)) as address:
        result = run("decisions", "show", DECISION, "--address", address)

    fields = dict(line.split("  ", 1) for line in result.stdout.splitlines()[1:] if line.strip())
    shown = {name.strip(): value.strip() for name, value in fields.items() if name.strip()}
    assert result.stdout.startswith("ALLOW  RULE_ALLOWED\n")
    assert (shown["caller"], shown["callers file"]) == ("loopback", "c1")
    assert shown["purpose"] == "FAMRQT"
    assert shown["relations"] == "guardian"
    assert shown["journal line"] == "42"
    assert shown["line's hash"] == "ab" * 32
    assert "  guardian" in result.stdout
    assert "by delegation d1 (revision 7)" in result.stdout


def test_a_record_bound_before_any_policy_says_so() -> None:
    with serving(FakeLog(BOUND)) as address:
        result = run("decisions", "show", DECISION, "--address", address)

    assert result.stdout.startswith("DENY  SEALED\n")
    assert result.stdout.count("not looked at: decided before any policy") == 3
    assert "step-up assurance=MULTI_FACTOR" in result.stdout


def test_a_page_of_a_list_is_shown_with_its_extent() -> None:
    with serving(FakeLog(LISTED)) as address:
        result = run("decisions", "show", DECISION, "--address", address)

    assert result.stdout.startswith("LISTED\n")
    lines = {line.rstrip() for line in result.stdout.splitlines()}
    assert {"rows            3", "considered      4", "is last         yes"} <= lines


def test_a_record_as_json_is_its_own_bytes() -> None:
    """What a verifier hashes must not be written anew."""
    with serving(FakeLog(ALLOWED)) as address:
        result = run("decisions", "show", DECISION, "--format", "json", "--address", address)

    assert result.stdout == json.dumps(ALLOWED) + "\n"


@pytest.mark.parametrize(
    ("log", "words_typed", "code", "reason"),
    [
        (FakeLog(), ("show", DECISION), 1, "NOT_FOUND"),
        (SilentLog(), ("show", DECISION), 11, "DECISIONS_UNAVAILABLE"),
        (SilentLog(), ("list",), 11, "DECISIONS_UNAVAILABLE"),
    ],
)
def test_failures_end_with_the_code_of_the_contract(
    log: Any, words_typed: tuple[str, ...], code: int, reason: str
) -> None:
    with serving(log) as address:
        result = run("decisions", *words_typed, "--format", "json", "--address", address)

    assert result.exit_code == code
    assert document(result)["error"]["reason"] == reason


@pytest.mark.parametrize(
    ("words_typed", "code"),
    [
        (("list", "--subject", "a b"), 2),
        (("list", "--effect", "MAYBE"), 2),
        (("list", "--reason", "BECAUSE"), 2),
        (("list", "--kind", "EVENT"), 2),
        (("list", "--from", "yesterday"), 2),
        (("list", "--limit", "0"), 2),
        (("list", "--limit", "5", "--all"), 2),
        (("list", "--address", NOBODY), 11),
        (("show", DECISION, "--address", NOBODY), 11),
        (("show",), 2),
    ],
)
def test_exit_codes(words_typed: tuple[str, ...], code: int) -> None:
    result = run("decisions", *words_typed)

    assert result.exit_code == code
    assert result.stderr.strip()
