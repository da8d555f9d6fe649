"""`authz list` against a service that lists well or wrongly, and without one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from tests.unit.cli.cli_runs import NOBODY, PEOPLE, document, recorded, run, small_bundle
from tests.unit.cli.service_fake import FakeLists, ListChange, serving


def test_a_page_is_a_table_with_what_it_rests_on() -> None:
    """Rows first, then the question and the ids that lead to the records; and where to go on."""
    with serving(FakeLists(3)) as address:
        result = run("list", "ana", "--page-size", "2", "--address", address)

    assert result.exit_code == 0
    header, first, second, empty, *fields = result.stdout.splitlines()
    assert header.split() == ["recording", "patient", "made", "at", "decision"]
    assert first.split() == ["r0", "ana", "2020-06-09T14:00:00Z", "d0"]
    assert second.split() == ["r1", "ana", "2020-06-09T14:00:00Z", "d1"]
    shown = dict(line.split("  ", 1) for line in fields[:-1])
    assert empty == ""
    assert shown["subject"].strip() == "ana"
    assert shown["action"].strip() == "LIST for PATRQT"
    assert shown["decision"].strip() == "page-0"
    assert shown["page token"].strip() == "2"
    assert "--all" in fields[-1]


def test_all_turns_every_page() -> None:
    """One question throughout, the instant of `now` included, and one document."""
    lists = FakeLists(5)

    with serving(lists) as address:
        result = run(
            "list", "ana", "--page-size", "2", "--all", "--authenticated-at", "now",
            "--address", address, "--format", "json",
        )  # fmt: skip

    found = document(result)
    assert [row["recording_id"] for row in found["recordings"]] == ["r0", "r1", "r2", "r3", "r4"]
    assert [page["rows"] for page in found["pages"]] == [2, 2, 1]
    assert (found["next_page_token"], found["recorded"]) == ("", True)
    assert [request.page_token for request in lists.asked] == ["", "2", "4"]
    assert len({request.context.authenticated_at.ToNanoseconds() for request in lists.asked}) == 1


def test_a_page_token_goes_on_where_a_page_ended() -> None:
    with serving(FakeLists(5)) as address:
        result = run(
            "list", "ana", "--page-size", "2", "--page-token", "4", "--address", address,
            "--format", "json",
        )  # fmt: skip

    assert [row["recording_id"] for row in document(result)["recordings"]] == ["r4"]


def test_every_word_of_a_list_is_sent() -> None:
    """What is typed is what is asked, instants turned into UTC."""
    lists = FakeLists(0)

    with serving(lists) as address:
        result = run(
            "list", "ana", "--action", "export", "--purpose", "hlegal", "--patient", "bea",
            "--assurance", "MULTI_FACTOR", "--authenticated-at", "2020-06-09T16:00:00+02:00",
            "--tenant", "t", "--matter", "m-1", "--from", "2020-06-01T00:00:00Z",
            "--to", "2020-06-02T02:00:00+02:00", "--at-least-revision", "5", "--address", address,
        )  # fmt: skip

    wanted = pb.ListRecordingsRequest(
        action=words.ACTION_EXPORT,
        tenant_id="t",
        patient_id="bea",
        page_size=50,
        at_least_facts_revision=5,
    )
    wanted.subject.id = "ana"
    wanted.context.purpose_of_use = words.PURPOSE_OF_USE_HLEGAL
    wanted.context.assurance = words.ASSURANCE_MULTI_FACTOR
    wanted.context.authenticated_at.FromDatetime(datetime(2020, 6, 9, 14, tzinfo=UTC))
    wanted.context.matter_id = "m-1"
    wanted.created_from.FromJsonString("2020-06-01T00:00:00Z")
    wanted.created_to.FromJsonString("2020-06-02T00:00:00Z")
    assert lists.asked == [wanted]
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "no recordings")


def _of_another_subject(response: pb.ListRecordingsResponse) -> None:
    response.subject_id = "bob"


def _of_another_action(response: pb.ListRecordingsResponse) -> None:
    response.action = words.ACTION_DELETE


def _of_another_patient(response: pb.ListRecordingsResponse) -> None:
    response.patient_id = "bob"


def _of_another_call(response: pb.ListRecordingsResponse) -> None:
    response.request_id = "r-of-somebody-else"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(_of_another_subject, "subject", id="subject"),
        pytest.param(_of_another_action, "action", id="action"),
        pytest.param(_of_another_patient, "patient", id="patient"),
        pytest.param(_of_another_call, "request id", id="call"),
    ],
)
def test_a_list_of_another_question_is_not_shown(change: ListChange, what: str) -> None:
    """Nobody reads somebody else's list."""
    with serving(FakeLists(3, change)) as address:
        result = run("list", "ana", "--address", address)

    assert result.exit_code == 1
    assert f"does not repeat the {what}" in result.stderr
    assert "r0" not in result.output


def test_a_list_that_nobody_answers_is_unavailable() -> None:
    assert run("list", "ana", "--address", NOBODY, "--timeout", "1").exit_code == 11


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of three recordings of ana's and one of bob's, and a small policy."""
    monkeypatch.setenv("AUTHZ_REGISTRY_URL", f"sqlite:///{tmp_path / 'registry.db'}")
    monkeypatch.setenv("AUTHZ_POLICY_DIR", str(small_bundle(tmp_path / "policies")))
    facts = tmp_path / "facts.jsonl"
    text = PEOPLE + recorded("his", owner="bob", attended="bob")
    for name in ("hers-1", "hers-2", "hers-3"):
        text += recorded(name, owner="ana", attended="ana")
    facts.write_text(text, encoding="utf-8")
    assert run("facts", "import", str(facts), "--actor", "jo.doe").exit_code == 0


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("words", "expected", "more"),
    [
        pytest.param(("ana", "--action", "VIEW"), "hers-3 hers-2 hers-1", False, id="her-own"),
        pytest.param(
            ("ana", "--action", "VIEW", "--page-size", "2"), "hers-3 hers-2", True, id="a-page"
        ),
        pytest.param(
            ("ana", "--action", "VIEW", "--page-size", "1", "--all"),
            "hers-3 hers-2 hers-1",
            False,
            id="all-pages",
        ),
        pytest.param(("ana",), "", False, id="without-a-rule"),
        pytest.param(("nobody", "--action", "VIEW"), "", False, id="unknown-subject"),
        pytest.param(
            ("ana", "--action", "VIEW", "--patient", "bob"), "", False, id="of-another-patient"
        ),
        pytest.param(("ana", "--action", "EXPORT"), "", False, id="a-copy-with-one-factor"),
        pytest.param(
            ("ana", "--action", "EXPORT", "--assurance", "MULTI_FACTOR", "--authenticated-at",
             "now", "--page-size", "1"), "hers-3", True, id="a-copy-with-two",
        ),
    ],
)  # fmt: skip
def test_list_offline_decides_as_the_service_would(
    words: tuple[str, ...],
    expected: str,
    more: bool,  # noqa: FBT001  # a parameter
) -> None:
    """The same facts, policy and decisions, and it says that nothing was recorded."""
    found = document(run("list", *words, "--offline", "--format", "json"))

    assert [row["recording_id"] for row in found["recordings"]] == expected.split()
    assert (bool(found["next_page_token"]), found["recorded"]) == (more, False)


@pytest.mark.usefixtures("registry")
def test_list_offline_says_that_nothing_was_recorded() -> None:
    result = run("list", "ana", "--action", "VIEW", "--offline")

    assert result.exit_code == 0
    assert "this list was not recorded" in result.stdout


@pytest.mark.usefixtures("registry")
def test_list_offline_waits_for_no_revision() -> None:
    result = run("list", "ana", "--offline", "--at-least-revision", "99")

    assert result.exit_code == 1
    assert "99 is ahead of the registry" in result.stderr
