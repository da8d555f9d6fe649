"""The callers file, read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.identity.callers import (
    MAY,
    CallerRule,
    CallersFileError,
    is_caller,
    read_callers,
)
from authz_service.pdp.errors import CallerNotAllowedError

SHIPPED = Path(__file__).resolve().parents[3] / "policies" / "callers.csv"
RPCS = frozenset({"CheckAccess", "BatchCheckAccess", "WriteFacts"})
HEADER = b"caller,rpcs,tenants,actions,purposes,writes,may\n"
LIST_SERVICE = "spiffe://example.org/list-service"


def read(tmp_path: Path, content: bytes) -> dict[str, CallerRule]:
    """Read a file."""
    path = tmp_path / "callers.csv"
    path.write_bytes(content)
    return dict(read_callers(path, RPCS))


def rule(
    rpcs: str = "*", tenants: str = "*", actions: str = "*", purposes: str = "*", may: str = ""
) -> bytes:
    """Return a file with one row."""
    return HEADER + f"loopback,{rpcs},{tenants},{actions},{purposes},*,{may}\n".encode()


def test_the_shipped_file_is_sound() -> None:
    everything = frozenset({"CheckAccess"})

    assert set(read_callers(SHIPPED, everything)) == {"loopback"}


def test_a_row_is_read_cell_by_cell(tmp_path: Path) -> None:
    row = f"{LIST_SERVICE}, CheckAccess | BatchCheckAccess, uk|ca , LIST|VIEW, TREAT,, explain\n"

    rules = read(tmp_path, b"# who may\n\n" + HEADER + row.encode())

    assert rules == {
        LIST_SERVICE: CallerRule(
            LIST_SERVICE,
            frozenset({"CheckAccess", "BatchCheckAccess"}),
            frozenset({"uk", "ca"}),
            frozenset({"LIST", "VIEW"}),
            frozenset({"TREAT"}),
            {},
            frozenset({"explain"}),
        )
    }


def test_an_empty_cell_is_nothing_and_a_star_is_everything(tmp_path: Path) -> None:
    nothing = read(tmp_path, rule("", "", "", "", ""))["loopback"]
    everything = read(tmp_path, rule(may="*"))["loopback"]

    assert (nothing.rpcs, nothing.tenants, nothing.may) == (frozenset(), frozenset(), frozenset())
    assert (everything.rpcs, everything.tenants, everything.may) == (None, None, MAY)
    assert (nothing.may_explain, everything.may_explain) == (False, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"\xef\xbb\xbf" + HEADER, ":1: the first row", id="byte-order-mark"),
        pytest.param(HEADER + b"loopback\t,*,*,*,*,*,\n", ":2: holds a tab", id="tab"),
        pytest.param(HEADER + b'"loopback",*,*,*,*,*,\n', ":2: holds a quote", id="quote"),
        pytest.param(HEADER + b"loopback,*,*,*,*,*,\r\n", ":2: holds a carriage", id="crlf"),
        pytest.param(HEADER + b"loopback,*,*,*,*,*, # x\n", ":2: holds a trailing", id="comment"),
        pytest.param(HEADER + b"loopback,*,*,*,*,*,,\n", ":2: has 8 cells", id="long"),
        pytest.param(HEADER + b"Loopback,*,*,*,*,*,\n", ":2: 'Loopback' is neither", id="case"),
        pytest.param(
            HEADER + b"spiffe://example.org,*,*,*,*,*,\n",
            "nor a SPIFFE ID with a path",
            id="no-path",
        ),
        pytest.param(rule() + rule().split(b"\n")[1], ":3: loopback has a row", id="twice"),
        pytest.param(rule(rpcs="CheckAccess||WriteFacts"), ":2: rpcs: ''", id="empty-word"),
        pytest.param(rule(actions="view"), ":2: actions: 'view'", id="lower-case"),
        pytest.param(rule(rpcs="*|CheckAccess"), ":2: rpcs: '\\*'", id="star-and-word"),
        pytest.param(
            HEADER + b"loopback,*,*,*,*,recording as a b,\n", ":2: writes: ", id="bad-source"
        ),
        pytest.param(HEADER + b"loopback,*,*,*,*,song as x,\n", ":2: writes: ", id="bad-kind"),
        pytest.param(b"\xff\xfe", "is not UTF-8", id="not-utf-8"),
    ],
)
def test_a_defect_is_named_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(CallersFileError, match=said):
        read(tmp_path, content)


def test_what_a_caller_writes_is_a_kind_and_the_source_it_writes_as(tmp_path: Path) -> None:
    row = b"loopback,*,*,*,*,recording as pipeline|attendance,\n"

    assert "loopback" in read(tmp_path, HEADER + row)


@pytest.mark.parametrize(
    ("content", "question"),
    [
        pytest.param(rule(tenants="uk"), ("ca", "VIEW", "TREAT"), id="tenant"),
        pytest.param(rule(tenants="uk"), (None, "VIEW", "TREAT"), id="no-tenant"),
        pytest.param(rule(actions="LIST"), ("uk", "VIEW", "TREAT"), id="action"),
        pytest.param(rule(purposes="PATRQT"), ("uk", "VIEW", "TREAT"), id="purpose"),
    ],
)
def test_a_question_outside_the_row_is_refused(
    tmp_path: Path, content: bytes, question: tuple[str | None, str, str]
) -> None:
    with pytest.raises(CallerNotAllowedError):
        read(tmp_path, content)["loopback"].require(*question)


def test_a_question_inside_the_row_is_not(tmp_path: Path) -> None:
    one = read(tmp_path, rule("CheckAccess", "uk", "VIEW", "TREAT"))["loopback"]

    one.require("uk", "VIEW", "TREAT")
    one.require_rpc("CheckAccess")
    with pytest.raises(CallerNotAllowedError, match="may not use WriteFacts"):
        one.require_rpc("WriteFacts")


@pytest.mark.parametrize(
    ("tenants", "may", "allowed"),
    [
        pytest.param("*", "read_log", True, id="may"),
        pytest.param("*", "explain|contain", False, id="other-powers"),
        pytest.param("*", "", False, id="none"),
        pytest.param("uk", "read_log", False, id="bound-to-a-tenant"),
    ],
)
def test_the_log_is_shown_to_who_may_read_it_and_is_bound_to_no_tenant(
    tenants: str, may: str, tmp_path: Path, *, allowed: bool
) -> None:
    """A log is not divided by tenant: who may see one tenant's decisions only may not see it."""
    (caller,) = read(tmp_path, rule(tenants=tenants, may=may)).values()

    if allowed:
        caller.require_log()
    else:
        with pytest.raises(CallerNotAllowedError, match="read the decision log"):
            caller.require_log()


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("loopback", True),
        (LIST_SERVICE, True),
        ("list-service", False),
        ("spiffe://example.org", False),
        (LIST_SERVICE + "\n", False),
        ("spiffe://example.org/" + "x" * 2048, False),
    ],
)
def test_a_caller_is_named_as_its_certificate_names_it(text: str, *, sound: bool) -> None:
    assert is_caller(text) is sound
