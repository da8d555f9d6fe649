"""A policy's golden decisions are read strictly, and hold before it may serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import PolicyRefusedError
from authz_service.pdp.model import Assurance, Effect, Reason
from authz_service.policy.case_files import MAX_CASES, SOURCES
from authz_service.policy.source import BundleSource, try_bundle, validate_bundle
from tests.unit.policy.policy_files import (
    CASE_FACTS,
    OWN_CASE,
    OWN_RULE,
    bundle_of,
    problems_of,
    write_bundle,
)

FIRST = CASE_FACTS.count("\n") + 1
"""The line on which the first case of a file begins."""


def day(case: str) -> str:
    return CASE_FACTS + case


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        pytest.param("", 1, 1, "empty", "write cases", id="empty-file"),
        pytest.param("# nothing\n", 2, 1, "empty", "write cases", id="only-a-comment"),
        pytest.param("- a\n", 1, 1, "is a mapping", "clock, facts, cases", id="a-list"),
        pytest.param("clock: [\n", 2, 1, "is not YAML", "brackets", id="cut-within-a-list"),
        pytest.param("a: b: c\n", 1, 5, "is not YAML", "colons", id="two-colons"),
        pytest.param("a: \tb\n", 1, 4, "a tab", "spaces", id="tab"),
        pytest.param("a: \x07\n", 1, 4, "U+0007", "remove", id="bell"),
        pytest.param(
            day(OWN_CASE) + "---\na: 1\n", 14, 1, "second document", "one", id="documents"
        ),
        pytest.param("clock: &a x\n", 1, 8, "anchor", "write it out", id="anchor"),
        pytest.param("clock: *a\n", 1, 8, "alias", "write it out", id="alias"),
        pytest.param("clock: !!python/name:os.system\n", 1, 8, "a tag", "none", id="tag"),
        pytest.param("? [a]\n: b\n", 1, 3, "key is not a word", "key: value", id="list-as-key"),
        pytest.param("clock: 1\nclock: 2\n", 2, 1, "'clock' stands twice", "one", id="key-twice"),
        pytest.param("a: " + "[" * 30 + "]" * 30, 1, 24, "too deep", "flatten", id="too-deep"),
        pytest.param(day(""), FIRST - 1, 7, "cases is not a list", "dash", id="cases-of-nothing"),
        pytest.param(day(OWN_CASE) + "more: 1\n", 14, 1, "no field 'more'", "known", id="more"),
        pytest.param(
            day(OWN_CASE.replace("says", "sais")), FIRST, 3, "lacks says", "add", id="no-says"
        ),
        pytest.param(
            day(OWN_CASE.replace("expect:", "expects:")),
            FIRST,
            3,
            "lacks expect",
            "add",
            id="expects",
        ),
        pytest.param(
            day(OWN_CASE.replace("pat, recording", "pat, id: x, recording")),
            FIRST + 2,
            23,
            "no field 'id'",
            "known are",
            id="unknown-field-of-a-question",
        ),
        pytest.param(
            day(OWN_CASE.replace("action: VIEW", "action: view")),
            FIRST + 2,
            47,
            "'view' is not one of LIST",
            "docs/policy.md",
            id="unknown-action",
        ),
        pytest.param(
            day(OWN_CASE.replace("subject: pat", "subject: p at")),
            FIRST + 2,
            18,
            "'p at' is not an id",
            "docs/policy.md",
            id="no-id",
        ),
        pytest.param(
            day(OWN_CASE.replace("RULE_ALLOWED", "ALLOWED_BY_RULE")),
            FIRST + 3,
            35,
            "is not one of",
            "docs/policy.md",
            id="unknown-reason",
        ),
        pytest.param(
            day(OWN_CASE.replace("effect: ALLOW", "effect: true")),
            FIRST + 3,
            20,
            "'True' is not one of ALLOW, DENY",
            "docs/policy.md",
            id="effect-as-truth-value",
        ),
        pytest.param(
            day(OWN_CASE.replace("says: A patient watches their own.", "says: ' '")),
            FIRST + 1,
            9,
            "is not a text",
            "docs/policy.md",
            id="says-nothing",
        ),
        pytest.param(
            day(OWN_CASE).replace("09:00:00Z", "09:00"), 1, 8, "is not an instant", "", id="clock"
        ),
        pytest.param(
            day(OWN_CASE).replace("state: ACTIVE", "state: OPEN"),
            6,
            45,
            "recording.state is not one of",
            "import format",
            id="fact-with-unknown-state",
        ),
        pytest.param(
            day(OWN_CASE).replace("owner_id", "ownr_id"),
            6,
            84,
            "recording.ownr_id is not a field",
            "import format",
            id="fact-with-unknown-field",
        ),
        pytest.param(
            day(OWN_CASE).replace("- tenant:", "- tenent:"),
            3,
            11,
            "tenent is not a field of a fact",
            "import format",
            id="unknown-kind-of-fact",
        ),
        pytest.param(
            day(OWN_CASE + OWN_CASE), FIRST + 4, 3, f"cases/day.yaml:{FIRST}", "own", id="id-twice"
        ),
    ],
)
def test_a_defect_of_cases_is_refused_where_it_stands(
    text: str, line: int, column: int, message: str, hint: str
) -> None:
    problems = problems_of(day=text)

    found = [p for p in problems if (p.file, p.line, p.column) == ("cases/day.yaml", line, column)]
    assert found, problems
    assert message in found[0].message
    assert hint in found[0].hint
    assert {p.kind for p in problems} == {"invalid"}


def test_case_ids_are_unique_over_all_files() -> None:
    problems = problems_of(day=day(OWN_CASE), night=day(OWN_CASE))

    assert [(p.file, p.line) for p in problems] == [("cases/night.yaml", FIRST)]


def test_there_are_at_most_so_many_cases() -> None:
    cases = [OWN_CASE.replace("id: own", f"id: own-{number}") for number in range(MAX_CASES + 1)]

    problems = problems_of(day=day("".join(cases)))

    assert [p.message for p in problems] == ["there are more than 2000 cases"]


def test_instants_need_no_quotes_and_words_are_no_truth_values() -> None:
    """YAML's guesses are not taken: what is no whole number, true, false or null is text."""
    case = OWN_CASE.replace(
        "PATRQT}", "PATRQT, assurance: MULTI_FACTOR, authenticated_at: 2021-03-10T08:59:00Z}"
    )
    text = day(case).replace("id: t,", "id: on,").replace("tenant_id: t,", "tenant_id: on,")

    (read,) = bundle_of(day=text).cases

    assert read.request.assurance is Assurance.MULTI_FACTOR
    assert read.request.authenticated_at is not None
    assert read.facts[0].entity.id == "on"


def test_every_kind_of_fact_has_a_source_of_its_own_by_default() -> None:
    """Owner, booking and attendance are three witnesses only where they are three sources."""
    corroborating = [FactKind.RECORDING, FactKind.CONSULTATION, FactKind.ATTENDANCE]

    assert set(SOURCES) == set(FactKind)
    assert len({SOURCES[kind] for kind in corroborating}) == 3


def test_a_case_that_does_not_hold_refuses_the_bundle(tmp_path: Path) -> None:
    """What was expected and what came out stand in one line, at the place of the case."""
    wrong = OWN_CASE.replace("id: own", "id: stranger").replace("rule: own", "rule: other")
    write_bundle(tmp_path, day=day(OWN_CASE + wrong))

    with pytest.raises(PolicyRefusedError) as refused:
        BundleSource(tmp_path).load()

    (problem,) = refused.value.problems
    assert problem.kind == "case_failed"
    assert (problem.file, problem.line, problem.column) == ("cases/day.yaml", FIRST + 4, 3)
    assert problem.message == (
        "stranger: expected ALLOW RULE_ALLOWED by other, came out as ALLOW RULE_ALLOWED by own"
    )
    assert problem.hint == "the case says: A patient watches their own."


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(OWN_RULE, True, id="as-expected"),
        pytest.param(OWN_RULE.replace("VIEW", "LIST"), False, id="effect-differs"),
        pytest.param(OWN_RULE.replace("p, own", "p, mine"), False, id="rule-differs"),
        pytest.param(OWN_RULE.replace("always", "mfa"), False, id="reason-differs"),
    ],
)
def test_a_case_holds_when_effect_reason_and_rule_are_as_expected(
    tmp_path: Path, rules: str, *, expected: bool
) -> None:
    write_bundle(tmp_path, rules=rules, day=day(OWN_CASE))

    trial = try_bundle(tmp_path)

    assert [outcome.holds for outcome in trial.outcomes] == [expected]
    assert len(trial.failures) == (0 if expected else 1)


def test_a_case_may_leave_the_rule_open_and_set_the_clock_and_facts(tmp_path: Path) -> None:
    case = """\
- id: later
  says: A suspended patient sees nothing.
  at: "2022-01-01T00:00:00Z"
  given:
  - subject: {id: pat, tenant_id: t, kind: PATIENT, status: SUSPENDED}
  ask: {subject: pat, recording: rec, action: VIEW, purpose_of_use: PATRQT}
  expect: {effect: DENY, reason: SUBJECT_SUSPENDED}
"""
    write_bundle(tmp_path, day=day(case + OWN_CASE))

    outcomes = try_bundle(tmp_path).outcomes

    assert [(outcome.case.id, outcome.holds) for outcome in outcomes] == [
        ("later", True),
        ("own", True),
    ]
    assert outcomes[0].case.now.year == 2022


def test_rules_that_decided_no_case_are_named(tmp_path: Path) -> None:
    idle = "p, idle, deny, *, *, *, HMARKT, always\n"
    write_bundle(tmp_path, rules=idle + OWN_RULE, day=day(OWN_CASE))

    trial = try_bundle(tmp_path)

    assert trial.unexercised == ("idle",)
    assert trial.rules == 2


def test_a_bundle_without_cases_loads_and_says_so(tmp_path: Path) -> None:
    loaded = BundleSource(write_bundle(tmp_path)).load()

    assert (loaded.rules, loaded.cases) == (1, 0)
    assert try_bundle(tmp_path).unexercised == ("own",)


def test_what_is_loaded_answers_under_the_revision_of_its_files(tmp_path: Path) -> None:
    write_bundle(tmp_path, day=day(OWN_CASE))

    loaded = BundleSource(tmp_path).load()
    bundle = validate_bundle(tmp_path)

    assert (loaded.rules, loaded.cases) == (1, 1)
    assert loaded.ruleset.revision == bundle.revision
    (case,) = bundle.cases
    assert (case.expected.effect, case.expected.reason) == (Effect.ALLOW, Reason.RULE_ALLOWED)


def test_files_are_checked_without_their_cases_being_tried(tmp_path: Path) -> None:
    write_bundle(tmp_path, day=day(OWN_CASE.replace("rule: own", "rule: other")))

    assert len(validate_bundle(tmp_path).cases) == 1


def test_each_load_reads_the_directory_anew(tmp_path: Path) -> None:
    source = BundleSource(write_bundle(tmp_path))
    first = source.load()

    (tmp_path / "rules.csv").write_text("# changed\n" + OWN_RULE)

    assert source.load().ruleset.revision != first.ruleset.revision
