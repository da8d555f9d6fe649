"""The callers file, read as strictly as the rules are: every defect with its place and a hint."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from authz_service.identity.caller_row import HEADER as COLUMNS
from authz_service.identity.caller_rules import MAY, CallerRule
from authz_service.identity.callers_file import MAX_CALLERS, is_caller, read_callers
from authz_service.pdp.errors import CallersRefusedError
from authz_service.tables.reading import MAX_FILE_BYTES
from tests.unit.identity.caller_files import (
    EVERY_RPC,
    GATEWAY,
    HEADER,
    LOOPBACK,
    callers_of,
    gateway,
    problems_of,
    rule_in,
)

SHIPPED = Path(__file__).resolve().parents[3] / "policies" / "callers.csv"


def test_the_shipped_file_is_sound_and_beyond_doubt() -> None:
    callers = read_callers(SHIPPED, EVERY_RPC, plaintext=True)

    assert set(callers.rules) == {"loopback"}
    assert callers.warnings == ()


def test_the_page_about_the_file_explains_every_word_of_it() -> None:
    page = (SHIPPED.parents[1] / "docs" / "callers.md").read_text(encoding="utf-8")

    words = {*COLUMNS, *MAY}
    assert {word for word in words if f"\n| `{word}` |" in page} == words


def test_a_row_is_read_cell_by_cell() -> None:
    row = (
        f"# who may\n\n {GATEWAY}, CheckAccess | BatchCheckAccess|WriteFacts, uk|ca , LIST|VIEW,"
        " TREAT,recording as pipeline | grant as desk, explain\n"
    )

    assert rule_in(row) == CallerRule(
        GATEWAY,
        frozenset({"CheckAccess", "BatchCheckAccess", "WriteFacts"}),
        frozenset({"uk", "ca"}),
        frozenset({"LIST", "VIEW"}),
        frozenset({"TREAT"}),
        {"recording": "pipeline", "grant": "desk"},
        frozenset({"explain"}),
    )


def test_an_empty_cell_is_nothing_and_a_star_is_everything() -> None:
    nothing, everything = rule_in("loopback,,,,,,\n"), rule_in("loopback,*,*,*,*,*,*\n")

    assert (nothing.rpcs, nothing.tenants, nothing.may) == (frozenset(), frozenset(), frozenset())
    assert nothing.writes == {}
    assert (everything.rpcs, everything.tenants, everything.writes) == (None, None, None)
    assert everything.may == MAY
    assert (nothing.may_explain, everything.may_explain) == (False, True)


def test_a_kind_without_a_source_leaves_it_to_the_caller() -> None:
    rule = rule_in("loopback,*,*,*,*,recording as pipeline|attendance,\n")

    assert rule.writes == {"recording": "pipeline", "attendance": None}
    assert rule_in("loopback,*,*,*,*,*,\n").writes is None


def test_a_file_that_was_cut_off_grants_less_and_counts() -> None:
    """Whatever is cut off a row but its last cell is a defect."""
    row = gateway("CheckAccess|ListDecisions", may="explain|read_log").removesuffix("\n")

    assert rule_in(row.removesuffix("|read_log")).may == {"explain"}
    cut = range(len(row) - 2, len(GATEWAY), -1)
    more = [length for length in cut if not problems_of(row[:length])]
    assert [row[:length].rpartition(",")[2] for length in more] == ["explain", ""]


def test_the_revision_is_that_of_every_byte() -> None:
    content = (HEADER + LOOPBACK).encode()

    revision = callers_of(content).revision

    assert revision == hashlib.sha256(content).hexdigest()
    assert callers_of(b"#\n" + content).revision != revision


@pytest.mark.parametrize(
    ("rows", "line", "column", "message", "hint"),
    [
        pytest.param(b"", 0, 0, "not the header", "write caller,rpcs", id="empty"),
        pytest.param(b"# nobody\n\n", 0, 0, "not the header", "above", id="comments-only"),
        pytest.param(HEADER.encode(), 0, 0, "there is no caller", "one row", id="nobody"),
        pytest.param(b"# x\ncaller,rpc\n", 2, 1, "not the header", "above", id="another-header"),
        pytest.param(LOOPBACK.encode(), 1, 1, "not the header", "above", id="no-header"),
        pytest.param(
            HEADER.encode() + HEADER.encode() + LOOPBACK.encode(),
            2, 1, "'caller' is no caller", "SPIFFE", id="header-twice",
        ),
        pytest.param(
            b"\xef\xbb\xbf" + (HEADER + LOOPBACK).encode(),
            1, 1, "byte-order mark", "UTF-8", id="byte-order-mark",
        ),
        pytest.param(
            (HEADER + LOOPBACK).replace("\n", "\r\n").encode(),
            1, 48, "carriage return", "line feed", id="dos-lines",
        ),
        pytest.param(HEADER.encode() + b"\xff\n", 2, 1, "not UTF-8", "save", id="not-utf-8"),
        pytest.param("loopback\t,*,*,*,*,*,\n", 2, 9, "a tab", "spaces", id="tab"),
        pytest.param("loop\0back,*,*,*,*,*,\n", 2, 5, "a NUL", "plain", id="nul"),
        pytest.param("# \u202e\n" + LOOPBACK, 2, 3, "U+202E", "remove", id="backwards"),
        pytest.param("l\u043eopback,*,*,*,*,*,\n", 2, 2, "u043e", "ASCII", id="cyrillic"),
        pytest.param("loopback,*,\u00a0*,*,*,*,\n", 2, 12, "xa0", "ASCII", id="odd-space"),
        pytest.param('"loopback",*,*,*,*,*,\n', 2, 1, "a quote", "without", id="quote"),
        pytest.param(
            "loopback,*,*,*,*,*, # mine\n", 2, 21, "same line", "of its own", id="comment-behind"
        ),
        pytest.param("loopback,*,*,*,*,*\n", 2, 19, "6 fields, not 7", "may", id="short"),
        pytest.param("loopback,*,*,*,*,*,,\n", 2, 21, "8 fields, not 7", "may", id="long"),
        pytest.param("loopback;*;*;*;*;*;\n", 2, 20, "1 fields", "may", id="no-commas"),
        pytest.param("Loopback,*,*,*,*,*,\n", 2, 1, "'Loopback' is no", "loopback", id="capital"),
        pytest.param(",*,*,*,*,*,\n", 2, 1, "'' is no caller", "SPIFFE", id="no-name"),
        pytest.param(
            "spiffe://clinic.example,*,*,*,*,,\n", 2, 1, "it has no path", "SPIFFE", id="no-path"
        ),
        pytest.param(
            "spiffe://clinic.example/../x,*,*,*,*,,\n", 2, 1, "segment '..'", "SPIFFE", id="dot-dot"
        ),
        pytest.param(
            LOOPBACK + "\n" + LOOPBACK, 4, 1, "line 2 is the row", "one row", id="second-row"
        ),
        pytest.param(
            gateway("CheckAcess"), 2, 33, "no RPC is called 'CheckAcess'",
            "did you mean CheckAccess?", id="misspelt-rpc",
        ),
        pytest.param(
            gateway("CheckAccess||ListRecordings"), 2, 45, "RPC is missing", "joined", id="nothing"
        ),
        pytest.param(
            gateway("CheckAccess|"), 2, 45, "RPC is missing", "joined", id="nothing-at-the-end"
        ),
        pytest.param(
            gateway("CheckAccess| CheckAccess"), 2, 46, "stands twice", "keep one", id="rpc-twice"
        ),
        pytest.param(
            gateway("CheckAccess|*"), 2, 45, "beside other words", "alone", id="star-and-word"
        ),
        pytest.param(gateway(tenants="a b"), 2, 45, "'a b' is no tenant", "uk-nhs", id="tenant"),
        pytest.param(gateway(tenants="uk|uk"), 2, 48, "twice", "keep", id="tenant-twice"),
        pytest.param(gateway(tenants="uk|*"), 2, 48, "beside", "alone", id="tenant-and-star"),
        pytest.param(gateway(tenants="uk|"), 2, 48, "tenant is missing", "word", id="no-tenant"),
        pytest.param(
            gateway(actions="view"), 2, 47, "no action is called 'view'", "mean VIEW?", id="action"
        ),
        pytest.param(
            gateway(purposes="SALES"), 2, 52, "no purpose is called", "known are", id="purpose"
        ),
        pytest.param(
            gateway(may="explian"), 2, 60, "no power is called 'explian'", "mean explain?",
            id="power",
        ),
        pytest.param(
            "loopback,*,*,*,*,song as x,\n", 2, 18, "no kind of fact is called 'song'",
            "<kind> as <source>", id="kind",
        ),
        pytest.param(
            "loopback,*,*,*,*,attendence as x,\n", 2, 18, "'attendence'", "mean attendance?",
            id="misspelt-kind",
        ),
        pytest.param(
            "loopback,*,*,*,*,grant as x|consent|grant as y,\n", 2, 37, "grant stands twice",
            "one source", id="kind-twice",
        ),
        pytest.param(
            "loopback,*,*,*,*,recording as a b,\n", 2, 31, "'a b' is no source", "joined",
            id="source",
        ),
        pytest.param(
            "loopback,*,*,*,*,recording as a as b,\n", 2, 31, "'a as b' is no source", "joined",
            id="two-sources",
        ),
        pytest.param(
            "loopback,*,*,*,*,recording as ,\n", 2, 18, "'recording as'", "mean recording?",
            id="source-missing",
        ),
        pytest.param(
            "loopback,*,*,*,*,|recording,\n", 2, 18, "kind of fact is missing", "word",
            id="kind-missing",
        ),
        pytest.param(
            "loopback,*,*,*,*,*|grant,\n", 2, 18, "beside other words", "alone", id="star-and-kind"
        ),
        pytest.param(
            "loopback,*,*,*,*,grant as loopback,\n", 2, 27, "loopback is no source", "the system",
            id="loopback-as-source",
        ),
    ],
)  # fmt: skip
def test_a_defect_is_told_with_its_place_and_a_hint(
    rows: str | bytes, line: int, column: int, message: str, hint: str
) -> None:
    problem = problems_of(rows)[0]

    assert (problem.kind, problem.file) == ("invalid", "callers.csv")
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message
    assert hint in problem.hint


def test_every_defect_is_told_at_once() -> None:
    rows = (
        gateway("CheckAcess", "u k", "VEIW", "PATRQ", "recordin as x", "explan")
        + "loopback,*\n"
        + "nobody,*,*,*,*,,\n"
    )

    found = [(problem.line, problem.column) for problem in problems_of(rows)]

    in_one_row = [(2, column) for column in (33, 44, 48, 53, 59, 73)]
    assert found == [*in_one_row, (3, 11), (4, 1)]


def test_a_row_with_a_misspelt_word_is_told_that_and_not_what_follows_from_it() -> None:
    rows = gateway("WriteFact", actions="", purposes="", writes="grant as desk")

    (problem,) = problems_of(rows)

    assert "did you mean WriteFacts?" in problem.hint


def test_on_loopback_there_has_to_be_a_row_for_it() -> None:
    (problem,) = problems_of(gateway(), plaintext=True)

    assert "has no row for loopback" in problem.message
    assert problems_of(gateway() + LOOPBACK, plaintext=True) == ()


def test_over_tls_there_has_to_be_a_row_for_somebody_else() -> None:
    (problem,) = problems_of(LOOPBACK, plaintext=False)

    assert "nobody calls as that over TLS" in problem.message
    assert problems_of(gateway() + LOOPBACK, plaintext=False) == ()


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("loopback", True),
        (GATEWAY, True),
        ("gateway", False),
        ("spiffe://clinic.example", False),
        (GATEWAY + "\n", False),
        ("spiffe://clinic.example/" + "x" * 2048, False),
    ],
)
def test_a_caller_is_named_as_its_certificate_names_it(text: str, *, sound: bool) -> None:
    assert is_caller(text) is sound


def test_too_many_callers_are_refused() -> None:
    rows = [f"spiffe://d/s{number},GetActivePolicy,,,,,\n" for number in range(MAX_CALLERS + 1)]

    assert problems_of("".join(rows[:MAX_CALLERS])) == ()
    (problem,) = problems_of("".join(rows))
    assert (problem.line, problem.message) == (MAX_CALLERS + 2, "there are more than 1000 callers")


def refusal(path: Path) -> str:
    """Return why the file at *path* is refused."""
    with pytest.raises(CallersRefusedError) as refused:
        read_callers(path, EVERY_RPC)
    (problem,) = refused.value.problems
    assert problem.file == str(path)
    return problem.message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.csv").write_text("#" * (MAX_FILE_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.csv")

    assert refusal(tmp_path / "gone.csv") == "cannot be read: no such file or directory"
    assert refusal(tmp_path / "pipe.csv") == "cannot be read: not a regular file"
    assert refusal(tmp_path) == "cannot be read: is a directory"
    assert "more than 1048576 bytes" in refusal(tmp_path / "large.csv")


def test_problems_are_told_from_the_top_of_the_file(tmp_path: Path) -> None:
    """The tab is found before anything else, and is on the last line."""
    path = tmp_path / "callers.csv"
    path.write_text(HEADER + "loopback,Nothing,*,*,*,*,\nspiffe://a.org/b,*,*\t,*,*,*,\n")

    with pytest.raises(CallersRefusedError) as refused:
        read_callers(path, EVERY_RPC)

    assert [problem.line for problem in refused.value.problems] == [2, 3]
