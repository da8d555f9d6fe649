"""`authz policy validate` and `authz policy test` on copies of the shipped bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.cli.cli_runs import SHIPPED, document, run

UNUSED = "p, never-tried, allow, patient, owner, DELETE, HLEGAL, mfa and sealed\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped bundle."""
    copy = tmp_path / "policy"
    shutil.copytree(SHIPPED, copy)
    return copy


def add(path: Path, text: str) -> int:
    """Add a line to the file at *path*; return its number."""
    before = path.read_text(encoding="utf-8")
    path.write_text(before + text, encoding="utf-8")
    return before.count("\n") + 1


def failing_case(bundle: Path) -> None:
    """Take away the rules, but for one: most golden decisions fail."""
    rules = (bundle / "rules.csv").read_text(encoding="utf-8")
    kept = [each for each in rules.splitlines() if "patient-own" in each]
    (bundle / "rules.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")


def test_shipped_bundle_is_sound_and_its_cases_hold(bundle: Path) -> None:
    """What is shipped may serve."""
    validated = run("policy", "validate", str(bundle), "--format", "json")
    tried = run("policy", "test", str(bundle), "--format", "json", "--min-coverage", "100")

    assert (validated.exit_code, tried.exit_code) == (0, 0)
    assert document(validated)["policy_revision"] == document(tried)["policy_revision"]
    assert (document(tried)["failed"], document(tried)["coverage"]["percent"]) == (0, 100.0)


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_defect_is_shown_where_it_stands(verb: str, bundle: Path) -> None:
    """An editor jumps to file, line and column; the hint stands behind."""
    number = add(bundle / "rules.csv", "p, typo, alow, patient, owner, VIEW, PATRQT, always\n")

    result = run("policy", verb, str(bundle))

    assert result.exit_code == 3
    assert result.stdout.startswith(f"{bundle / 'rules.csv'}:{number}:10: ")


def test_all_defects_are_listed_for_programs(bundle: Path) -> None:
    """A linter shows all of them at once."""
    number = add(bundle / "rules.csv", "p, typo, alow, patient, owner, VIEW, PATRQT, always\n")
    add(bundle / "rules.csv", "p, word, allow, patiend, owner, VIEW, PATRQT, always\n")

    result = run("policy", "validate", str(bundle), "--format", "json")

    found = document(result)
    places = [(each["file"], each["line"]) for each in found["problems"]]
    assert (found["valid"], places) == (False, [("rules.csv", number), ("rules.csv", number + 1)])


@pytest.mark.parametrize(
    "name", [pytest.param("nowhere", id="missing"), pytest.param("empty", id="empty")]
)
def test_directory_that_is_no_bundle(name: str, tmp_path: Path) -> None:
    """A wrong directory is an invalid policy, not a crash."""
    (tmp_path / "empty").mkdir()

    assert run("policy", "validate", str(tmp_path / name)).exit_code == 3


def test_case_that_does_not_hold_shows_both_answers(bundle: Path) -> None:
    """What was expected, what came out, and where the case stands."""
    failing_case(bundle)

    result = run("policy", "test", str(bundle))

    assert result.exit_code == 4
    (failed,) = [each for each in result.stdout.splitlines() if "team-that-treats:" in each]
    assert failed.startswith(f"FAIL  {bundle / 'cases'}")
    assert "expected ALLOW RULE_ALLOWED" in failed
    assert "came out as DENY NO_RULE_MATCHED" in failed


def test_case_that_does_not_hold_for_programs(bundle: Path) -> None:
    """Expected and actual answers are fields, not sentences."""
    failing_case(bundle)

    found = document(run("policy", "test", str(bundle), "--format", "json"))

    (case,) = [each for each in found["cases"] if each["id"] == "team-that-treats"]
    assert (case["holds"], case["expected"]["effect"], case["came_out"]["effect"]) == (
        False, "ALLOW", "DENY",
    )  # fmt: skip


def test_defective_case_is_invalid_not_failed(bundle: Path) -> None:
    """A case that cannot be read proves nothing: 3, not 4."""
    (bundle / "cases" / "odd.yaml").write_text("cases: 7\n", encoding="utf-8")

    assert run("policy", "test", str(bundle)).exit_code == 3


@pytest.mark.parametrize(
    ("least", "code"), [pytest.param("0", 0, id="any"), pytest.param("99", 6, id="99-percent")]
)
def test_rule_that_decides_no_case_lowers_coverage(least: str, code: int, bundle: Path) -> None:
    """A rule that no golden decision rests on is named, and can fail a build."""
    add(bundle / "rules.csv", UNUSED)

    result = run("policy", "test", str(bundle), "--min-coverage", least)

    assert result.exit_code == code
    assert "not covered    never-tried" in result.stdout


def test_policy_directory_comes_from_the_setting(bundle: Path) -> None:
    """Where the service finds its policy, so does the check of it."""
    add(bundle / "rules.csv", "p, x\n")

    assert run("policy", "validate", env={"AUTHZ_POLICY_DIR": str(bundle)}).exit_code == 3
