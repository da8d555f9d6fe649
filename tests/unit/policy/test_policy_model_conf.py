"""model.conf is read for what it says, and only the supported model is accepted."""

from __future__ import annotations

import pytest

from authz_service.policy.model_conf import SECTIONS, casbin_model
from tests.unit.policy.policy_files import SHIPPED, problems_of

SOUND = casbin_model() + "\n"
MATCHER = SECTIONS["matchers"][1]
EFFECT = SECTIONS["policy_effect"][1]


@pytest.mark.parametrize(
    ("model", "line", "column"),
    [
        pytest.param(SOUND.replace(EFFECT, "some(where (p.eft == allow))"), 6, 1, id="allow-alone"),
        pytest.param(
            SOUND.replace(EFFECT, "!some(where (p.eft == deny))"), 6, 1, id="allow-by-default"
        ),
        pytest.param(
            SOUND.replace(EFFECT, "priority(p.eft) || deny"), 6, 1, id="first-rule-counts"
        ),
        pytest.param(SOUND.replace("m = ", "m = True || "), 8, 1, id="always-matches"),
        pytest.param(SOUND.replace(MATCHER, "eval(p.when)"), 8, 1, id="code-in-a-rule"),
        pytest.param(SOUND.replace("&& meets", "|| meets"), 8, 1, id="any-column-suffices"),
        pytest.param(SOUND.replace(" && meets(r.situation, p.when)", ""), 8, 1, id="no-when"),
        pytest.param(
            SOUND.replace("p = rule, eft", "p = rule, effect"), 4, 1, id="no-effect-column"
        ),
        pytest.param(
            SOUND.replace("relation, action", "action, relation"), 4, 1, id="columns-swapped"
        ),
        pytest.param(SOUND.replace("r = situation", "r = sub, obj"), 2, 1, id="another-request"),
        pytest.param(SOUND.replace("r = situation", "r2 = situation"), 2, 1, id="another-key"),
        pytest.param(SOUND + "[role_definition]\n", 9, 1, id="casbins-own-roles"),
        pytest.param(SOUND.replace("[matchers]", "[matchers"), 7, 1, id="heading-cut"),
        pytest.param(SOUND + "  m = True\n", 9, 3, id="second-matcher"),
        pytest.param(SOUND + "[matchers]\n", 9, 1, id="section-twice"),
        pytest.param("m = True\n" + SOUND, 1, 1, id="outside-of-sections"),
        pytest.param(SOUND.replace("]\nm", "]\n; old\nm"), 8, 1, id="semicolon-comment"),
        pytest.param(SOUND.replace("m = has", "m = \\\nhas"), 8, 1, id="line-continued"),
        pytest.param(SOUND.replace("m =", "m\u00a0="), 8, 1, id="no-break-space"),
        pytest.param(SOUND.replace("m = h", "m = h\t"), 8, 6, id="tab"),
        pytest.param("\ufeff" + SOUND, 1, 1, id="byte-order-mark"),
        pytest.param(
            SOUND.replace("[policy_effect]\ne = " + EFFECT + "\n", ""), 0, 0, id="no-effect"
        ),
        pytest.param("", 0, 0, id="empty"),
        pytest.param(SOUND[:-20], 8, 164, id="half-written"),
        pytest.param(SOUND.rstrip("\n"), 8, 183, id="last-line-open"),
    ],
)
def test_another_model_is_refused(model: str, line: int, column: int) -> None:
    """Any other model would change what every rule means."""
    problems = problems_of(model=model)

    assert (line, column) in [(p.line, p.column) for p in problems], problems
    assert {(p.kind, p.file) for p in problems} == {("invalid", "model.conf")}
    assert all(p.hint for p in problems)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(SOUND, id="as-it-is"),
        pytest.param(
            SOUND.replace(", ", ",   ").replace(" = ", "  =  ").replace(",   ", ", "), id="spaces"
        ),
        pytest.param("# why\n\n" + SOUND.replace("\n[", "\n\n  # what\n  ["), id="comments"),
        pytest.param((SHIPPED / "model.conf").read_text(), id="shipped"),
    ],
)
def test_comments_and_spaces_are_the_authors(model: str) -> None:
    assert problems_of(model=model) == ()
