"""roles.csv and groups.csv: chains are followed to their end, or refused."""

from __future__ import annotations

import pytest

from authz_service.pdp.model import Action, Effect
from authz_service.pdp.ruleset import RuleMatch
from tests.unit.policy.policy_files import bundle_of, problems_of, ruleset_of, situation


def chain(links: int) -> str:
    """Return a chain of roles, ``r1`` inheriting the next, down to ``r<links + 1>``."""
    rows = [f"g, r{i}, r{i + 1}\n" for i in range(1, links + 1)]
    return "".join(rows) + f"g, r{links + 1}, none\n"


@pytest.mark.parametrize(
    ("roles", "line", "column", "message", "hint"),
    [
        pytest.param("p, a, clinician\n", 1, 1, "row type 'p'", "begin with g", id="row-type"),
        pytest.param("g2, watch, VIEW\n", 1, 1, "row type 'g2'", "begin with g", id="group-row"),
        pytest.param("g, scribe\n", 1, 10, "2 fields, not 3", "<inherits>", id="too-few"),
        pytest.param(
            "g, scribe, clinician, support\n", 1, 23, "4 fields", "<inherits>", id="too-many"
        ),
        pytest.param(
            "g, scribe, clinicain\n", 1, 12, "'clinicain'", "mean clinician?", id="inherits-a-typo"
        ),
        pytest.param("g, VIEW, clinician\n", 1, 4, "'VIEW'", "no other word", id="word-as-role"),
        pytest.param("g, none, clinician\n", 1, 4, "'none'", "no other word", id="none-as-role"),
        pytest.param("g, *, clinician\n", 1, 4, "'*'", "an id", id="everybody-inherits"),
        pytest.param("g, a b, clinician\n", 1, 4, "'a b'", "an id", id="no-id"),
        pytest.param("g, scribe, *\n", 1, 12, "'*'", "known are", id="inherits-everything"),
        pytest.param(
            "g, scribe, clinician\ng, scribe, clinician\n", 2, 4, "line 1", "one", id="row-twice"
        ),
        pytest.param("g, scribe, scribe\n", 1, 12, "circle", "break", id="inherits-itself"),
        pytest.param(
            "g, a, b\ng, b, c\ng, c, a\n", 3, 7, "circle: ", "break it", id="circle-of-three"
        ),
        pytest.param(
            "g, clinician, none\n", 1, 15, "known without", "remove", id="needless-declaration"
        ),
        pytest.param(
            "g, a, support\ng, a, none\n", 2, 7, "known without", "remove", id="none-and-some"
        ),
        pytest.param(chain(11), 1, 8, "more than 10 links", "flatten", id="chain-of-eleven"),
        pytest.param("g, scribe, clinician", 1, 21, "ends within", "half", id="cut"),
    ],
)
def test_a_defect_of_roles_is_refused_where_it_stands(
    roles: str, line: int, column: int, message: str, hint: str
) -> None:
    problems = problems_of(roles=roles)

    assert [(p.file, p.line, p.column) for p in problems] == [("roles.csv", line, column)], problems
    assert message in problems[0].message
    assert hint in problems[0].hint


@pytest.mark.parametrize(
    ("groups", "line", "column", "message", "hint"),
    [
        pytest.param("g, watch, VIEW\n", 1, 1, "row type 'g'", "g2 or g3", id="row-type"),
        pytest.param("g2, watch\n", 1, 10, "2 fields", "<word>", id="too-few"),
        pytest.param("g2, VIEW, LIST\n", 1, 5, "'VIEW'", "no word", id="named-like-an-action"),
        pytest.param("g2, owner, LIST\n", 1, 5, "'owner'", "no word", id="named-like-a-relation"),
        pytest.param("g2, TREAT, LIST\n", 1, 5, "'TREAT'", "no word", id="named-like-a-purpose"),
        pytest.param("g3, always, TREAT\n", 1, 5, "'always'", "no word", id="named-always"),
        pytest.param("g3, *, TREAT\n", 1, 5, "'*'", "no word", id="named-star"),
        pytest.param("g2, , LIST\n", 1, 5, "''", "no word", id="no-name"),
        pytest.param("g2, watch, VEIW\n", 1, 12, "'VEIW'", "mean VIEW?", id="unknown-action"),
        pytest.param("g3, care, VIEW\n", 1, 11, "'VIEW'", "known are", id="action-for-a-purpose"),
        pytest.param("g2, watch, *\n", 1, 12, "'*'", "known are", id="everything"),
        pytest.param("g2, watch, LIST|VIEW\n", 1, 12, "'LIST|VIEW'", "", id="two-words-in-a-row"),
        pytest.param(
            "g2, watch, VIEW\ng2, watch, VIEW\n", 2, 5, "repeats line 1", "remove", id="row-twice"
        ),
        pytest.param("g2, a, b\ng2, b, a\n", 2, 8, "circle", "break", id="circle"),
        pytest.param(
            "g2, both, VIEW\ng3, both, TREAT\n", 2, 5, "already", "rename", id="one-name-two-kinds"
        ),
    ],
)
def test_a_defect_of_groups_is_refused_where_it_stands(
    groups: str, line: int, column: int, message: str, hint: str
) -> None:
    problems = problems_of(groups=groups)

    found = [(p.file, p.line, p.column) for p in problems]
    assert found == [("groups.csv", line, column)], problems
    assert message in problems[0].message
    assert hint in problems[0].hint


def test_an_action_group_is_no_purpose() -> None:
    problems = problems_of(groups="g2, watch, VIEW\n", rules="p, r, deny, *, *, *, watch, always\n")

    assert [(p.line, p.column) for p in problems] == [(1, 22)]


def test_a_group_may_hold_groups() -> None:
    bundle = bundle_of(
        groups="g2, all-of-it, watch\ng2, all-of-it, EXPORT\ng2, watch, VIEW\ng2, watch, LIST\n",
        rules="p, r, deny, *, *, all-of-it, *, always\n",
    )

    assert bundle.rules[0].actions == {"EXPORT", "VIEW", "LIST"}


def test_a_role_inherits_along_ten_links() -> None:
    """Ten links are followed to the end; what is not is refused, never silently cut."""
    ruleset = ruleset_of(roles=chain(10), rules="p, deep, allow, r11, legal, VIEW, *, always\n")

    assert ruleset.match(situation("r1", "legal")) == RuleMatch(Effect.ALLOW, "deep")


def test_a_role_inherits_along_every_branch_and_never_upwards() -> None:
    bundle = bundle_of(roles="g, lead, scribe\ng, lead, clinician\ng, scribe, none\n")

    assert bundle.roles["lead"] == {"lead", "scribe", "clinician"}
    assert bundle.roles["scribe"] == {"scribe"}
    assert bundle.roles["clinician"] == {"clinician"}


def test_a_rule_that_denies_reaches_those_who_inherit_its_role() -> None:
    ruleset = ruleset_of(
        roles="g, emergency_clinician, clinician\n",
        rules="p, a, allow, *, legal, *, *, always\np, d, deny, clinician, *, VIEW, *, always\n",
    )

    assert ruleset.match(situation("emergency_clinician", "legal")) == RuleMatch(Effect.DENY, "d")
    assert ruleset.match(situation("emergency_clinician", "legal", Action.LIST)) == RuleMatch(
        Effect.ALLOW, "a"
    )
