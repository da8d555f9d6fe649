"""Errors as their user is told them."""

from __future__ import annotations

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from authz_service.cli.failures import failure_of
from authz_service.cli.status_details import read_details
from authz_service.pdp import errors
from authz_service.server.listen import ListenError
from authz_service.settings import SettingsError

INVALID = errors.PolicyProblem("invalid", "rules.csv", 3, 5, "alow is no effect", "write allow")
FAILED = errors.PolicyProblem("case_failed", "cases/a.yaml", 9, 0, "own: expected ALLOW", "see it")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        pytest.param(errors.NotFoundError("recording r"), 1, "NOT_FOUND", id="not-found"),
        pytest.param(errors.StateError("r", "no"), 1, "STATE", id="state"),
        pytest.param(errors.RevisionAheadError(9, 1), 1, "REVISION_AHEAD", id="ahead"),
        pytest.param(errors.FactsUnavailableError("gone"), 11, "FACTS_UNAVAILABLE", id="facts"),
        pytest.param(errors.JournalUnavailableError("full"), 11, "JOURNAL_UNAVAILABLE", id="disk"),
        pytest.param(errors.PolicyNotReadyError("none"), 11, "POLICY_NOT_READY", id="policy"),
        pytest.param(errors.PolicyRefusedError(INVALID), 3, "POLICY_INVALID", id="file"),
        pytest.param(errors.PolicyRefusedError(FAILED), 4, "CASE_FAILED", id="case"),
        pytest.param(errors.PolicyRefusedError(FAILED, INVALID), 3, "POLICY_INVALID", id="both"),
        pytest.param(
            errors.InvalidRequestError(errors.Violation("id", "is none")), 2, "INVALID_REQUEST",
            id="malformed",
        ),
        pytest.param(SettingsError("AUTHZ_LISTEN: no"), 2, "SETTINGS", id="settings"),
        pytest.param(errors.CallersRefusedError(INVALID), 3, "CALLERS_INVALID", id="callers"),
        pytest.param(ListenError("taken"), 1, "LISTEN", id="listen"),
        pytest.param(KeyboardInterrupt(), 1, "INTERRUPTED", id="interrupted"),
        pytest.param(PermissionError(13, "Permission denied", "f"), 1, "SYSTEM", id="system"),
        pytest.param(KeyError("pat-a"), 1, "INTERNAL", id="bug"),
    ],
)  # fmt: skip
def test_failure_has_a_code_and_a_reason(error: BaseException, code: int, reason: str) -> None:
    """Scripts rely on the code, programs on the reason."""
    failure = failure_of(error)

    assert (failure.code, failure.reason) == (code, reason)


@pytest.mark.parametrize(
    ("why", "todo"),
    [
        pytest.param("/j: no space left on device", "make room", id="full"),
        pytest.param("/j: permission denied", "give the right to write", id="forbidden"),
        pytest.param("another writer holds the journal in /j", "end the other service", id="held"),
        pytest.param("s: line 2: the hash does not match; keep a copy of /j, restore the file",
                     "from a copy", id="damaged"),
        pytest.param("/j: input/output error", "see: authz doctor", id="anything-else"),
    ],
)  # fmt: skip
def test_journal_that_does_not_open_has_a_remedy_of_its_own(why: str, todo: str) -> None:
    """Room is made for a full disk, not for another writer."""
    assert todo in failure_of(errors.JournalUnavailableError(why)).hint


def test_problem_stands_on_a_line_as_compilers_print_it() -> None:
    """An editor finds the place."""
    failure = failure_of(errors.PolicyRefusedError(INVALID))

    assert failure.details == ("rules.csv:3:5: alow is no effect (write allow)",)


def test_system_error_names_the_file() -> None:
    """Without the file nobody knows what to do."""
    failure = failure_of(PermissionError(13, "Permission denied", "facts.jsonl"))

    assert failure.message == "facts.jsonl: permission denied"


def test_bug_tells_its_kind_and_nothing_of_what_it_holds() -> None:
    """An exception's text may hold what a patient's record holds."""
    failure = failure_of(KeyError("pat-a"))

    assert "KeyError" in failure.message
    assert "pat-a" not in failure.message


def test_status_details_are_read() -> None:
    """The ErrorInfo reason and each field violation come out of the packed status."""
    status = status_pb2.Status()
    violation = error_details_pb2.BadRequest.FieldViolation(field="actor", description="is missing")
    for detail in (
        error_details_pb2.ErrorInfo(reason="INVALID_REQUEST"),
        error_details_pb2.BadRequest(field_violations=[violation]),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)

    assert read_details(status.SerializeToString()) == ("INVALID_REQUEST", ("actor: is missing",))


def test_garbled_status_details_are_passed_over() -> None:
    """What a proxy garbles must not hide the status itself."""
    assert read_details(b"\xff\xff") == (None, ())
