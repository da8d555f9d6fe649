"""Every defect of rules.csv is refused with its place and a hint."""

from __future__ import annotations

import pytest

from authz_service.pdp.model import Condition, Effect
from authz_service.policy.rules import MAX_RULES
from authz_service.tables.findings import MAX_PROBLEMS
from tests.unit.policy.policy_files import OWN_RULE, bundle_of, problems_of

GROUPS = "g2, watch, LIST\ng2, watch, VIEW\ng3, care, TREAT\n"


def rule(cells: str, rule_id: str = "r") -> str:
    return f"p, {rule_id}, {cells}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        pytest.param("", 0, 0, "no rule", "at least one", id="empty-file"),
        pytest.param("# only words\n\n", 0, 0, "no rule", "at least one", id="only-comments"),
        pytest.param(
            "# x\np, r, allow, patient, owner, VIEW, PATRQT\n",
            2,
            42,
            "7 fields, not 8",
            "<when>",
            id="a-field-too-few",
        ),
        pytest.param(
            rule("allow, patient, owner, VIEW, PATRQT, always, always"),
            1,
            52,
            "9 fields, not 8",
            "<when>",
            id="a-field-too-many",
        ),
        pytest.param("p\n", 1, 2, "1 fields", "<rule>", id="nothing-but-its-type"),
        pytest.param(
            rule("Deny, *, *, *, HMARKT, always"),
            1,
            7,
            "'Deny'",
            "exactly",
            id="effect-with-capital",
        ),
        pytest.param(
            rule("DENY, *, *, *, HMARKT, always"), 1, 7, "'DENY'", "exactly", id="effect-upper-case"
        ),
        pytest.param(rule(", *, *, *, HMARKT, always"), 1, 7, "''", "exactly", id="no-effect"),
        pytest.param(
            rule("deny # note, *, *, *, *, always"),
            1,
            12,
            "same line",
            "line of its own",
            id="comment-behind-the-effect",
        ),
        pytest.param(
            OWN_RULE.rstrip("\n") + "  # mine\n",
            1,
            54,
            "same line",
            "line of its own",
            id="comment-at-the-end",
        ),
        pytest.param(
            rule('"deny", *, *, *, *, always'),
            1,
            7,
            "a quote",
            "without quotes",
            id="quoted-effect",
        ),
        pytest.param(
            "p, r, deny, *, *, *, *, 'always'\n", 1, 25, "a quote", "without", id="single-quotes"
        ),
        pytest.param("\ufeff" + OWN_RULE, 1, 1, "byte-order mark", "UTF-8", id="byte-order-mark"),
        pytest.param("p,\town, deny, *, *, *, *, always\n", 1, 3, "a tab", "spaces", id="tab"),
        pytest.param("#\ta comment\n" + OWN_RULE, 1, 2, "a tab", "spaces", id="tab-in-a-comment"),
        pytest.param(
            OWN_RULE.replace("\n", "\r\n"), 1, 52, "carriage return", "line feed", id="dos-lines"
        ),
        pytest.param("p, own\0, deny, *, *, *, *, always\n", 1, 7, "NUL", "plain", id="nul"),
        pytest.param(
            "# x \u2028p, deny-all, deny, *, *, *, *, always\n" + OWN_RULE,
            1,
            5,
            "U+2028",
            "remove",
            id="line-separator-hides-a-rule",
        ),
        pytest.param(
            "# \u202e\n" + OWN_RULE, 1, 3, "U+202E", "remove", id="text-that-runs-backwards"
        ),
        pytest.param(
            "p, own,\u00a0deny, *, *, *, *, always\n", 1, 8, "xa0", "ASCII", id="no-break-space"
        ),
        pytest.param(
            rule("allow, p\u0430tient, owner, VIEW, PATRQT, always"),
            1,
            15,
            "u0430",
            "ASCII",
            id="cyrillic-letter",
        ),
        pytest.param(
            "P, r, deny, *, *, *, *, always\n",
            1,
            1,
            "row type 'P'",
            "begins with p",
            id="capital-p",
        ),
        pytest.param(
            "g, clinician, patient\n" + OWN_RULE, 1, 1, "row type 'g'", "roles.csv", id="role-row"
        ),
        pytest.param(
            "rule, own, allow, patient, owner, VIEW, PATRQT, always\n",
            1,
            1,
            "row type 'rule'",
            "begins with p",
            id="unknown-row-type",
        ),
        pytest.param(
            ", own, allow, patient, owner, VIEW, PATRQT, always\n",
            1,
            1,
            "''",
            "p",
            id="no-row-type",
        ),
        pytest.param(
            "p; own; allow; patient; owner; VIEW; PATRQT; always\n",
            1,
            1,
            "row type",
            "p",
            id="no-commas",
        ),
        pytest.param(
            OWN_RULE + "\n" + OWN_RULE, 3, 4, "line 1 has", "of its own", id="duplicate-rule-id"
        ),
        pytest.param(
            rule("deny, *, *, *, HMARKT, always", "-r"), 1, 4, "'-r'", "letters", id="bad-rule-id"
        ),
        pytest.param(
            rule("deny, *, *, *, HMARKT, always", "a b"),
            1,
            4,
            "'a b'",
            "letters",
            id="space-in-rule-id",
        ),
        pytest.param(rule("deny, *, *, *, *, always", ""), 1, 4, "''", "letters", id="no-rule-id"),
        pytest.param(
            rule("allow, clinicain, owner, VIEW, TREAT, always"),
            1,
            14,
            "no role is called 'clinicain'",
            "did you mean clinician?",
            id="unknown-role",
        ),
        pytest.param(
            rule("deny, *, *, LIST|vew, *, always"),
            1,
            24,
            "no action is called 'vew'",
            "did you mean VIEW?",
            id="unknown-action-second-in-its-cell",
        ),
        pytest.param(
            rule("deny, *, *, LIST |  view, *, always"), 1, 27, "'view'", "VIEW?", id="case-counts"
        ),
        pytest.param(
            rule("deny, *, owners, *, *, always"),
            1,
            16,
            "'owners'",
            "owner?",
            id="unknown-relation",
        ),
        pytest.param(
            rule("deny, *, *, *, TRAET, always"), 1, 22, "'TRAET'", "TREAT?", id="unknown-purpose"
        ),
        pytest.param(
            rule("deny, *, *, *, zzzzz, always"), 1, 22, "'zzzzz'", "known are BTG,", id="no-idea"
        ),
        pytest.param(
            rule("deny, *, *, watch, *, always"), 1, 19, "'watch'", "known are", id="unknown-group"
        ),
        pytest.param(
            rule("deny, *, *, VIEW|, *, always"),
            1,
            24,
            "the action is missing",
            "joined by |",
            id="a-bar-too-many",
        ),
        pytest.param(
            rule("deny, *, , VIEW, *, always"),
            1,
            16,
            "the relation is missing",
            "word",
            id="empty-cell",
        ),
        pytest.param(
            rule("deny, *, *, VIEW|*, *, always"),
            1,
            24,
            "beside other words",
            "alone",
            id="star-and",
        ),
        pytest.param(
            rule("deny, *, *, VIEW|LIST|VIEW, *, always"),
            1,
            29,
            "twice",
            "keep one",
            id="word-twice",
        ),
        pytest.param(
            rule("allow, clinician, *, VIEW, TREAT, mfa"),
            1,
            25,
            "for rules that deny",
            "names the relations",
            id="allow-with-any-relation",
        ),
        pytest.param(
            rule("deny, *, *, *, *, "), 1, 25, "'' is no condition", "always", id="no-condition"
        ),
        pytest.param(
            rule("deny, *, *, *, *, mfs"),
            1,
            25,
            "'mfs' is no",
            "did you mean mfa?",
            id="unknown-condition",
        ),
        pytest.param(
            rule("deny, *, *, *, *, sealed and nto mfa"),
            1,
            36,
            "'nto mfa'",
            "mfa",
            id="misspelt-not",
        ),
        pytest.param(
            rule("deny, *, *, *, *, mfa or sealed"),
            1,
            25,
            "'mfa or sealed'",
            "one rule for each",
            id="or",
        ),
        pytest.param(
            rule("deny, *, *, *, *, mfa && sealed"), 1, 25, "is no condition", "", id="ampersands"
        ),
        pytest.param(
            rule("deny, *, *, *, *, mfa and not mfa"),
            1,
            37,
            "mfa stands twice",
            "once",
            id="contradiction",
        ),
        pytest.param(
            rule("deny, *, *, *, *, mfa and mfa"),
            1,
            33,
            "mfa stands twice",
            "once",
            id="condition-twice",
        ),
        pytest.param(
            rule("deny, *, *, *, *, always and mfa"),
            1,
            25,
            "'always'",
            "alone",
            id="always-and-more",
        ),
        pytest.param(
            rule("deny, *, *, *, *, not always"), 1, 29, "'always'", "alone", id="not-always"
        ),
        pytest.param(rule("deny, *, *, *, *, not not mfa"), 1, 29, "'not mfa'", "", id="not-not"),
        pytest.param(rule("deny, *, *, *, *, mfa and"), 1, 25, "'mfa and'", "", id="and-nothing"),
        pytest.param(
            rule("deny, *, *, *, *, mfa").rstrip("\n"),
            1,
            28,
            "ends within a line",
            "half written",
            id="cut-where-more-may-have-followed",
        ),
    ],
)
def test_a_defect_of_rules_is_refused_where_it_stands(
    text: str, line: int, column: int, message: str, hint: str
) -> None:
    """A file that Casbin would read otherwise than its author is not read at all."""
    problems = problems_of(rules=text)

    found = [problem for problem in problems if (problem.line, problem.column) == (line, column)]
    assert len(problems) == 1, problems
    assert len(found) == 1, problems
    assert (found[0].kind, found[0].file) == ("invalid", "rules.csv")
    assert message in found[0].message
    assert hint in found[0].hint
    assert found[0].hint


def test_bytes_that_are_no_text_are_refused_where_they_stand() -> None:
    problems = problems_of(rules=b"# ok\n# caf\xe9\n" + OWN_RULE.encode())

    assert [(p.file, p.line, p.column) for p in problems] == [("rules.csv", 2, 6)]


def test_all_defects_are_told_at_once() -> None:
    """One look shows everything, over all files and lines."""
    problems = problems_of(
        rules="p, a, Allow, patient, ownr, VIEW, PATRQT, always\nq, b\n" + OWN_RULE,
        roles="g, a\n",
        groups="g2, watch, VEIW\n",
        model="[matchers]\nm = eval(p.when)\n",
        day="cases: 1\n",
    )

    assert [(p.file, p.line, p.column) for p in problems if p.file == "rules.csv"] == [
        ("rules.csv", 2, 1),
        ("rules.csv", 1, 7),
        ("rules.csv", 1, 23),
    ]
    assert {p.file for p in problems} == {
        "rules.csv",
        "roles.csv",
        "groups.csv",
        "model.conf",
        "cases/day.yaml",
    }


def test_rubbish_has_its_defects_counted_not_listed_for_ever() -> None:
    problems = problems_of(rules="x\n" * (MAX_PROBLEMS - 10) + OWN_RULE)
    more = problems_of(model="x\n" * (MAX_PROBLEMS + 10))

    assert len(problems) == MAX_PROBLEMS - 10
    assert len(more) == MAX_PROBLEMS + 1
    assert "14 more" in more[-1].message


def test_a_policy_has_at_most_a_thousand_rules() -> None:
    lines = [rule("deny, *, *, *, HMARKT, always", f"r{i}") for i in range(MAX_RULES)]

    assert not problems_of(rules="".join(lines))
    problems = problems_of(rules="".join([*lines, OWN_RULE]))
    assert [(p.line, p.message) for p in problems] == [(1001, "there are more than 1000 rules")]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "p, everything, allow, *, owner|attending|other_participant|treating|guardian|delegate"
            "|grantee|emergency|legal|quality|custodian, *, *, always\n",
            id="everything-by-relation",
        ),
        pytest.param(
            "p, emergency-everything, allow, *, emergency, *, *, always",
            id="no-line-feed-after-always",
        ),
        pytest.param("p, none, deny, *, *, *, *, always\n", id="only-a-rule-that-denies"),
        pytest.param("p,own,allow,patient,owner,VIEW,PATRQT,always\n", id="no-spaces"),
        pytest.param(
            "  # the child's \u201cown\u201d caf\u00e9\n\n"
            "  p ,  own , allow, patient , owner, VIEW | LIST , PATRQT , mfa  and  not  sealed \n",
            id="spaces-everywhere",
        ),
    ],
)
def test_what_is_sound_is_read(text: str) -> None:
    """Alignment and comments are the author's; a bundle needs no cases."""
    assert problems_of(rules=text) == ()


def test_a_rule_is_read_whole() -> None:
    bundle = bundle_of(
        rules="# x\np, r, deny, clinician|support, legal, watch|EXPORT, care|BTG,"
        " not mfa and sealed\n",
        groups=GROUPS,
    )

    (read,) = bundle.rules
    assert (read.id, read.effect, read.line) == ("r", Effect.DENY, 2)
    assert read.roles == {"clinician", "support"}
    assert read.relations == {"legal"}
    assert read.actions == {"LIST", "VIEW", "EXPORT"}
    assert read.purposes == {"TREAT", "BTG"}
    assert read.when.holding == {Condition.SEALED}
    assert read.when.absent == {Condition.MFA}
