"""The obstacles that may stand in the way of an ALLOW, and the reason each is reported as.

When the policy denies, each obstacle is lifted alone, in the order of `Obstacle`; the first
lifting that would have turned the answer names the reason. Two obstacles in one way name none.
"""

from __future__ import annotations

from enum import IntEnum, auto

from authz_service.pdp.model import Reason


class Obstacle(IntEnum):
    """One thing that can be imagined away; they are tried in this order."""

    ASSURANCE = auto()
    DELEGATION_ENDED = auto()
    PATIENT_DECEASED = auto()
    DELEGATION_REVOKED = auto()
    DELEGATION_SCOPE = auto()
    BLOCK = auto()
    SUSPENDED_BY_AGE = auto()
    SUSPENDED_BY_REVIEW = auto()
    PROXY_RESTRICTED = auto()
    CONFIDENTIAL_FROM_PROXY = auto()
    RELATIONSHIP_ENDED = auto()
    GRANT_ENDED = auto()
    GRANT_REVOKED = auto()


REASONS_OF_OBSTACLES: dict[Obstacle, Reason] = {
    Obstacle.ASSURANCE: Reason.STEP_UP_REQUIRED,
    Obstacle.DELEGATION_ENDED: Reason.DELEGATION_EXPIRED,
    Obstacle.PATIENT_DECEASED: Reason.DELEGATION_EXPIRED,
    Obstacle.DELEGATION_REVOKED: Reason.DELEGATION_REVOKED,
    Obstacle.DELEGATION_SCOPE: Reason.DELEGATION_SCOPE,
    Obstacle.BLOCK: Reason.SAFEGUARDING_BLOCK,
    Obstacle.SUSPENDED_BY_AGE: Reason.PROXY_SUSPENDED,
    Obstacle.SUSPENDED_BY_REVIEW: Reason.PROXY_SUSPENDED,
    Obstacle.PROXY_RESTRICTED: Reason.PROXY_RESTRICTED,
    Obstacle.CONFIDENTIAL_FROM_PROXY: Reason.CONFIDENTIAL_FROM_PROXY,
    Obstacle.RELATIONSHIP_ENDED: Reason.RELATIONSHIP_EXPIRED,
    Obstacle.GRANT_ENDED: Reason.GRANT_EXPIRED,
    Obstacle.GRANT_REVOKED: Reason.GRANT_REVOKED,
}
"""What each obstacle is reported as."""

CONDITION_OBSTACLES = frozenset(
    {Obstacle.ASSURANCE, Obstacle.PROXY_RESTRICTED, Obstacle.CONFIDENTIAL_FROM_PROXY}
)
"""Those whose lifting leaves every relation as it is."""

EXPLAINED_TO_ALL: dict[Reason, Reason] = {
    Reason.RULE_ALLOWED: Reason.ALLOWED,
    Reason.STEP_UP_REQUIRED: Reason.STEP_UP_REQUIRED,
    Reason.INVALID_REQUEST: Reason.INVALID_REQUEST,
}


def is_explained_to_all(reason: Reason) -> bool:
    """Whether every caller is told *reason*, or of an ALLOW that it is one."""
    return reason in EXPLAINED_TO_ALL


def reason_for(reason: Reason, *, may_explain: bool) -> Reason:
    """Return *reason* as a caller is told it: in full only where the caller may explain."""
    if may_explain:
        return reason
    return EXPLAINED_TO_ALL.get(reason, Reason.NOT_AVAILABLE)
