"""The words that a policy may use: closed lists, so that a misspelt word is refused, not ignored.

A misspelt word in a rule that denies would deny nobody, without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from authz_service.pdp.model import Action, Condition, PurposeOfUse, Relation
from authz_service.tables.cells import EVERYTHING

ALWAYS = "always"
"""The `when` of a rule that asks for no condition."""
NONE = "none"
"""In roles.csv: the role inherits nothing; the row only makes it known."""

PRODUCT_ROLES = frozenset(
    {
        "patient",
        "service",
        "clinician",
        "emergency_clinician",
        "support",
        "quality_reviewer",
        "legal_reviewer",
        "tenant_admin",
        "platform_admin",
    }
)
"""The roles that are known without a row in roles.csv."""

ACTIONS = frozenset(action.value for action in Action)
PURPOSES = frozenset(purpose.value for purpose in PurposeOfUse)
RELATIONS = frozenset(relation.value for relation in Relation)
CONDITIONS = frozenset(condition.value for condition in Condition)

RESERVED = (
    ACTIONS
    | PURPOSES
    | RELATIONS
    | CONDITIONS
    | PRODUCT_ROLES
    | {EVERYTHING, ALWAYS, NONE, "allow", "deny", "and", "not", "or"}
)
"""What no group may be named like, and no role but one of the product's."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that the rules of one bundle may use.

    Attributes:
        roles: The product's roles, and those that roles.csv declares.
        action_groups: Groups of actions, each with its actions.
        purpose_groups: Groups of purposes, each with its purposes.
    """

    roles: frozenset[str] = PRODUCT_ROLES
    action_groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    purpose_groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
