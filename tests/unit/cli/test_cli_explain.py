"""`authz explain`, `who-can` and `what-can`: offline on a registry and on an exported one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from authz_service.cli.quiet import keep_logs_off
from authz_service.facts.schema_version import migrate
from tests.service_thread import serving
from tests.unit.cli.cli_runs import NOBODY, PEOPLE, document, recorded, run, small_bundle

WORLD = (
    PEOPLE
    + recorded("ra", owner="ana", attended="ana")
    + recorded("rx", owner="ana", attended="bea")
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small policy, a registry, and its export."""
    folder = tmp_path_factory.mktemp("explaining")
    small_bundle(folder / "policies")
    (folder / "world.jsonl").write_text(WORLD, encoding="utf-8")
    url = f"sqlite:///{folder}/registry.db"
    migrate(url)
    assert run("facts", "import", str(folder / "world.jsonl"), "--registry-url", url).exit_code == 0
    exported = run("facts", "export", str(folder / "export.jsonl"), "--registry-url", url)
    assert exported.exit_code == 0
    structlog.reset_defaults()  # what the verbs set up must not outlive the fixture
    return folder


@pytest.fixture(params=["registry", "export"])
def source(request: pytest.FixtureRequest, place: Path) -> Iterator[tuple[str, ...]]:
    """The words that name the policy and where the facts are."""
    policy = ("--policy-dir", str(place / "policies"))
    if request.param == "registry":
        yield (*policy, "--offline", "--registry-url", f"sqlite:///{place}/registry.db")
    else:
        yield (*policy, "--facts", str(place / "export.jsonl"))


def test_an_allow_is_explained_at_a_glance(source: tuple[str, ...]) -> None:
    """The answer first, what would end it, what gave it, each rule, and that nobody recorded it."""
    result = run("explain", "ana", "ra", *source)

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "ALLOW  RULE_ALLOWED"
    text = result.stdout
    assert "then DENY  FACTS_INCOMPLETE" in text
    assert any(line.split()[:4] == [">", "own", "ALLOW", "yes"] for line in lines)
    assert any("action EXPORT, mfa, recent_authentication" in line for line in lines)
    assert any(line.split()[:3] == ["owner", "recording", "ra"] for line in lines)
    assert lines[-1].startswith("explained offline: this was not recorded")


def test_a_denial_says_what_disagrees(source: tuple[str, ...]) -> None:
    """No policy was asked, so there are no rules; whose recording it is, is in question."""
    result = run("explain", "ana", "rx", *source)

    assert result.exit_code == 0
    assert result.stdout.startswith("DENY  FACTS_CONFLICT")
    assert "owner, booking and attendance name different patients" in result.stdout
    assert "none: no single change would" in result.stdout
    assert "Rules" not in result.stdout


def test_a_step_up_is_the_nearest_change(source: tuple[str, ...]) -> None:
    found = document(run("explain", "ana", "ra", "--action", "export", *source, "--format", "json"))

    assert (found["answer"]["effect"], found["answer"]["reason"]) == ("DENY", "STEP_UP_REQUIRED")
    assert found["nearest_change"]["reason_after"] == "RULE_ALLOWED"
    assert "two factors" in found["nearest_change"]["description"]
    assert [(rule["rule"], rule["unmet"]) for rule in found["rules"]] == [
        ("own", ["action VIEW"]),
        ("own-copy", ["mfa", "recent_authentication"]),
    ]
    assert found["recorded"] is False
    kinds = {fact["reference"]["kind"] for fact in found["facts"]}
    assert kinds == {"subject", "tenant", "recording", "consultation", "attendance"}
    assert all(fact["source"] for fact in found["facts"])


def test_who_can_and_what_can_name_the_rule(source: tuple[str, ...]) -> None:
    """Whoever the facts are read from; a recording in conflict is nobody's."""
    who = document(run("who-can", "ra", *source, "--format", "json"))
    what = document(run("what-can", "ana", *source, "--format", "json"))
    nobody = run("who-can", "rx", *source)

    assert who["subjects"] == [{"subject_id": "ana", "rule": "own", "relations": ["owner"]}]
    assert [(row["recording_id"], row["rule"], row["relations"]) for row in what["recordings"]] == [
        ("ra", "own", ["owner"])
    ]
    assert (who["recorded"], what["recorded"], who["more"]) == (False, False, False)
    assert nobody.stdout.startswith("nobody may")


def test_text_of_who_and_what_is_a_table(source: tuple[str, ...]) -> None:
    who = run("who-can", "ra", *source).stdout.splitlines()
    what = run("what-can", "ana", *source).stdout.splitlines()

    assert who[1].split() == ["ana", "own", "owner"]
    assert what[1].split()[:2] == ["ra", "ana"]
    assert what[1].split()[-2:] == ["own", "owner"]


def test_a_service_says_what_is_said_offline(place: Path, tmp_path: Path) -> None:
    """The same explanation, but for who recorded it and when."""
    keep_logs_off()  # the service's, which is in this process and prints where the verbs do
    url, policy = f"sqlite:///{place}/registry.db", place / "policies"
    offline = ("--offline", "--registry-url", url, "--policy-dir", str(policy))
    with serving(tmp_path, registry_url=url, policy_dir=policy) as service:
        asked = [
            (words, document(run(*words, "--address", service.address, "--format", "json")))
            for words in (
                ("explain", "ana", "ra"),
                ("explain", "bea", "rx"),
                ("who-can", "ra"),
                ("what-can", "ana", "--all"),
            )
        ]

    for words, there in asked:
        here = document(run(*words, *offline, "--format", "json"))
        assert there["recorded"] is True
        assert _lasting(there) == _lasting(here)


def _lasting(found: object) -> object:
    """Return a document without what is of one call."""
    if isinstance(found, list):
        return [_lasting(each) for each in found]
    if not isinstance(found, dict):
        return found
    of_one_call = {"decision_id", "request_id", "evaluated_at", "recorded"}
    return {name: _lasting(value) for name, value in found.items() if name not in of_one_call}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("explain", "not an id", "ra"), 2, "SUBJECT"),
        (("who-can", "-x-"), 2, ""),
        (("what-can", "a b"), 2, "SUBJECT"),
        (("explain", "ana", "ra", "--as-of", "then"), 2, "--as-of"),
        (("explain", "ana", "ra", "--address", NOBODY), 11, "127.0.0.1:1"),
        (("who-can", "ra", "--facts", "none.jsonl"), 1, "none.jsonl"),
    ],
)
def test_what_cannot_be_answered_is_said_with_its_code(
    words: tuple[str, ...], code: int, said: str
) -> None:
    result = run(*words)

    assert result.exit_code == code
    assert said in result.output


def test_a_line_that_is_no_fact_is_named(place: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(WORLD + "{}\n", encoding="utf-8")

    result = run("explain", "ana", "ra", "--facts", str(bad), "--policy-dir",
                 str(place / "policies"))  # fmt: skip

    assert result.exit_code == 2
    assert f"bad.jsonl:{WORLD.count(chr(10)) + 1}" in result.output
