"""Small bundles for tests, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

from authz_service.pdp.errors import PolicyProblem, PolicyRefusedError
from authz_service.pdp.model import Action, Condition, PurposeOfUse, Relation, Situation
from authz_service.policy.bundle import Bundle, parse_bundle
from authz_service.policy.casbin_ruleset import CasbinRuleset
from authz_service.policy.directory import BundleFile
from authz_service.policy.model_conf import casbin_model

SHIPPED = Path(__file__).parents[3] / "policies"
OWN_RULE = "p, own, allow, patient, owner, VIEW, PATRQT, always\n"

CASE_FACTS = """\
clock: "2021-03-10T09:00:00Z"
facts:
- tenant: {id: t, time_zone: UTC}
- subject: {id: pat, tenant_id: t, kind: PATIENT, status: ACTIVE}
- consultation: {id: con, tenant_id: t, patient_id: pat, started_at: "2021-03-01T10:00:00Z"}
- recording: {id: rec, tenant_id: t, state: ACTIVE, consultation_id: con, owner_id: pat,
              created_at: "2021-03-01T10:15:00Z"}
- attendance: {id: rec, participants: [{subject_id: pat, kind: PATIENT}]}
cases:
"""
OWN_CASE = """\
- id: own
  says: A patient watches their own.
  ask: {subject: pat, recording: rec, action: VIEW, purpose_of_use: PATRQT}
  expect: {effect: ALLOW, reason: RULE_ALLOWED, rule: own}
"""


def files_of(**changed: str | bytes) -> list[BundleFile]:
    """Return a sound bundle with files replaced: ``rules``, ``roles``, ``groups``, ``model``.

    Any other name is that of a file of cases.
    """
    texts: dict[str, str | bytes] = {
        "model.conf": casbin_model() + "\n",
        "rules.csv": OWN_RULE,
        "roles.csv": "",
        "groups.csv": "",
    }
    names = {"rules": "rules.csv", "roles": "roles.csv", "groups": "groups.csv"}
    names["model"] = "model.conf"
    for key, text in changed.items():
        texts[names.get(key, f"cases/{key}.yaml")] = text
    return [
        BundleFile(name, text.encode() if isinstance(text, str) else text)
        for name, text in texts.items()
    ]


def bundle_of(**changed: str | bytes) -> Bundle:
    """Return the bundle of such files."""
    return parse_bundle(files_of(**changed))


def ruleset_of(**changed: str | bytes) -> CasbinRuleset:
    """Return the ruleset of such files."""
    return CasbinRuleset(bundle_of(**changed))


def problems_of(**changed: str | bytes) -> tuple[PolicyProblem, ...]:
    """Return what is wrong with such files, nothing for a sound bundle."""
    try:
        bundle_of(**changed)
    except PolicyRefusedError as refused:
        return refused.problems
    return ()


def write_bundle(directory: Path, **changed: str | bytes) -> Path:
    """Write such files to *directory* and return it."""
    for name, content in files_of(**changed):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def situation(
    roles: str = "",
    relations: str = "",
    action: Action = Action.VIEW,
    purpose: PurposeOfUse = PurposeOfUse.PATRQT,
    conditions: str = "",
) -> Situation:
    """Return a situation from words separated by spaces."""
    return Situation(
        frozenset(roles.split()),
        frozenset(Relation(word) for word in relations.split()),
        action,
        purpose,
        frozenset(Condition(word) for word in conditions.split()),
    )
