"""`authz facts`, and a check without a service, on a registry of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from tests.unit.cli.cli_runs import (
    MIXED_UP,
    PEOPLE,
    SOUND,
    document,
    line,
    recorded,
    run,
    small_bundle,
)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an empty registry, which is not there yet, as the setting names it."""
    monkeypatch.setenv("AUTHZ_REGISTRY_URL", f"sqlite:///{tmp_path / 'registry.db'}")
    monkeypatch.setenv("AUTHZ_POLICY_DIR", str(small_bundle(tmp_path / "policies")))
    return tmp_path / "registry.db"


def load(tmp_path: Path, text: str, *words: str) -> Result:
    """Import *text* as a file."""
    path = tmp_path / "facts.jsonl"
    path.write_text(text, encoding="utf-8")
    return run("facts", "import", str(path), "--actor", "jo.doe", *words)


@pytest.mark.usefixtures("registry")
def test_import_makes_the_registry_and_sums_up(tmp_path: Path) -> None:
    """A first import needs no other step before it."""
    result = load(tmp_path, SOUND)

    assert result.exit_code == 0
    done, following = result.stdout.splitlines()
    assert done.endswith("6 lines done: 6 written, 0 skipped, 0 unchanged")
    assert "authz facts conflicts" in following


@pytest.mark.usefixtures("registry")
def test_import_from_a_pipe() -> None:
    """A dash reads what another program writes."""
    result = run("facts", "import", "-", "--actor", "jo", "--format", "json", typed=SOUND)

    found = document(result)
    assert (found["written"], found["finished"], found["files"][0]["name"]) == (6, True, "stdin")


@pytest.mark.usefixtures("registry")
def test_bad_line_is_named_and_what_came_before_it_stays(tmp_path: Path) -> None:
    """The line number leads to the mistake; mended and imported again, nothing is written twice."""
    broken = load(tmp_path, PEOPLE + '{"subject": {"id": "c', "--format", "json")
    mended = load(tmp_path, PEOPLE + line("subject", id="cy", tenant_id="t", kind="STAFF",
                                          status="ACTIVE"), "--format", "json")  # fmt: skip

    assert (broken.exit_code, document(broken)["written"], mended.exit_code) == (1, 3, 0)
    assert f"{tmp_path / 'facts.jsonl'}:4: " in broken.stderr
    assert (document(mended)["written"], document(mended)["unchanged"]) == (1, 3)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\x00\n", id="nul"),
        pytest.param("[]\n", id="no-object"),
        pytest.param('{"tenant": {"id": "t"}, "tenant": {"id": "t"}}\n', id="key-twice"),
        pytest.param(line("tenant", id="t t", time_zone="UTC"), id="no-id"),
        pytest.param(line("tenant", id="t", time_zone="Mars/Olympus"), id="no-zone"),
        pytest.param(line("tenant", id="t", time_zone="UTC", colour="red"), id="no-field"),
    ],
)
def test_odd_lines_are_refused(text: str, tmp_path: Path) -> None:
    """Nothing is guessed; the first line is the one at fault."""
    result = load(tmp_path, text)

    assert result.exit_code == 1
    assert "facts.jsonl:1: " in result.stderr


def test_missing_file_leaves_no_registry_behind(registry: Path) -> None:
    """A misspelt name is said before anything is made."""
    result = run("facts", "import", str(registry.parent / "nope.jsonl"), "--actor", "jo")

    assert result.exit_code == 1
    assert "no such file" in result.stderr
    assert not registry.exists()


@pytest.mark.usefixtures("registry")
def test_export_is_what_import_reads(tmp_path: Path) -> None:
    """What is exported, imported elsewhere and exported again is the same, byte for byte."""
    load(tmp_path, MIXED_UP)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"

    run("facts", "export", str(first))
    run("facts", "import", str(first), "--actor", "jo", "--registry-url", elsewhere)
    run("facts", "export", str(second), "--registry-url", elsewhere)

    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_text(encoding="utf-8").splitlines()) == 9
    assert first.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("registry")
def test_export_to_stdout_is_json_lines_and_nothing_else(tmp_path: Path) -> None:
    """A pipe gets facts only; the count goes to stderr."""
    load(tmp_path, SOUND)

    result = run("facts", "export")

    assert [len(json.loads(each)) for each in result.stdout.splitlines()] == [3] * 6
    assert "6 facts" in result.stderr


@pytest.mark.usefixtures("registry")
def test_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    """A file that somebody relies on is replaced whole or not at all."""
    kept = tmp_path / "facts.jsonl"
    kept.write_text("yesterday's\n", encoding="utf-8")

    result = run("facts", "export", str(kept), "--force")

    assert result.exit_code == 11
    assert f"(sqlite:///{tmp_path / 'registry.db'})" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["facts.jsonl", "policies"]
    assert kept.read_text(encoding="utf-8") == "yesterday's\n"


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("text", "code"), [pytest.param(SOUND, 0, id="sound"), pytest.param(MIXED_UP, 1, id="mixed-up")]
)
def test_verify_tells_a_sound_registry_from_one_that_is_not(
    text: str, code: int, tmp_path: Path
) -> None:
    """Its exit code can stand in a script."""
    load(tmp_path, text)

    result = run("facts", "verify", "--format", "json")

    assert (result.exit_code, document(result)["sound"]) == (code, code == 0)


@pytest.mark.usefixtures("registry")
def test_conflicts_name_the_witnesses(tmp_path: Path) -> None:
    """Who has to correct what can be read off."""
    load(tmp_path, MIXED_UP)

    result = run("facts", "conflicts", "--format", "json")

    (conflict,) = document(result)["conflicts"]
    assert conflict["recording_id"] == "mixed-up"
    assert {each["source"]: each["patient_id"] for each in conflict["witnesses"]} == {
        "recording-pipeline": "ana",
        "booking": "bob",
        "media-server": "bob",
    }


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        pytest.param(("ana", "hers"), 0, "RULE_ALLOWED", id="own"),
        pytest.param(("bob", "hers"), 10, "NO_RULE_MATCHED", id="a-strangers"),
        pytest.param(("ana", "mixed-up"), 10, "FACTS_CONFLICT", id="mis-attributed-named-owner"),
        pytest.param(("bob", "mixed-up"), 10, "FACTS_CONFLICT", id="mis-attributed-real-patient"),
        pytest.param(("nobody", "hers"), 10, "SUBJECT_UNKNOWN", id="unknown-subject"),
        pytest.param(("ana", "none"), 10, "RECORDING_UNKNOWN", id="unknown-recording"),
        pytest.param(
            ("ana", "hers", "--action", "EXPORT"), 10, "STEP_UP_REQUIRED", id="with-one-factor"
        ),
        pytest.param(
            ("ana", "hers", "--action", "EXPORT", "--assurance", "MULTI_FACTOR",
             "--authenticated-at", "now"), 0, "RULE_ALLOWED", id="with-two-factors",
        ),
    ],
)  # fmt: skip
def test_check_offline_decides_as_the_service_would(
    words: tuple[str, ...], code: int, reason: str, tmp_path: Path
) -> None:
    """The same facts, policy and decision; and it says that nothing was recorded."""
    load(tmp_path, MIXED_UP)

    result = run("check", *words, "--offline", "--format", "json")

    found = document(result)
    assert (result.exit_code, found["reason"], found["recorded"]) == (code, reason, False)


@pytest.mark.usefixtures("registry")
def test_check_offline_says_that_nothing_was_recorded(tmp_path: Path) -> None:
    """Nobody takes it for an answer of the service's."""
    load(tmp_path, SOUND)

    result = run("check", "ana", "hers", "--offline")

    assert "this answer was not recorded" in result.stdout


@pytest.mark.usefixtures("registry")
def test_check_offline_waits_for_no_revision(tmp_path: Path) -> None:
    """A revision that the registry has not reached is an error, not a denial."""
    load(tmp_path, SOUND)

    result = run("check", "ana", "hers", "--offline", "--at-least-revision", "99")

    assert result.exit_code == 1
    assert "99 is ahead of the registry" in result.stderr


def test_check_offline_without_registry_or_policy(registry: Path, tmp_path: Path) -> None:
    """Without facts there is no answer; with a defective policy neither."""
    without_facts = run("check", "ana", "hers", "--offline")
    load(tmp_path, SOUND)
    policy = small_bundle(tmp_path / "defective")
    (policy / "rules.csv").write_text("p, x, alow\n", encoding="utf-8")
    without_policy = run("check", "ana", "hers", "--offline", "--policy-dir", str(policy))

    assert (without_facts.exit_code, without_policy.exit_code) == (11, 3)
    assert registry.exists()


@pytest.mark.usefixtures("registry")
def test_fixed_clock_decides_offline_too(tmp_path: Path) -> None:
    """A question about that day is answered as of that day."""
    load(tmp_path, SOUND + recorded("other", owner="bob", attended="bob"))

    result = run(
        "check", "ana", "hers", "--offline", "--format", "json",
        env={"AUTHZ_FIXED_CLOCK": "2020-06-09T14:00:00Z", "AUTHZ_INSECURE_LOOPBACK": "1"},
    )  # fmt: skip

    assert document(result)["evaluated_at"] == "2020-06-09T14:00:00Z"
