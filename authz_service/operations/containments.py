"""Containments as those see them who set, lift, list and count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from authz_service.pdp.entities import Containment, ContainmentScope
from authz_service.pdp.entity_words import Audience
from authz_service.pdp.model import Instant


class ScopeKind(StrEnum):
    """By what a containment is limited: a closed list, by which those in force are counted."""

    EVERYONE = "everyone"
    AUDIENCE = "audience"
    TENANT = "tenant"
    ACTION = "action"
    RELEASE = "release"
    RECORDINGS = "recordings"
    CREATED = "created"


ANY_SCOPE = "any"
"""Stands beside the kinds for every containment, which may be of several of them."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Who sets or lifts a containment, why, and the system that says so."""

    actor: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class ContainmentChange:
    """A containment as it stands after a change, and the registry's revision that made it."""

    containment: Containment
    revision: int


@dataclass(frozen=True, slots=True)
class ContainmentsPage:
    """Some containments.

    Attributes:
        containments: Those in force first, the newest first of each.
        next_page_token: Where to go on; empty where nothing follows.
        revision: The registry's revision at which they were read.
    """

    containments: Sequence[Containment]
    next_page_token: str
    revision: int


def is_lifted(containment: Containment, now: Instant) -> bool:
    """Whether *containment* is no longer in force at *now*."""
    return containment.lifted_at is not None and containment.lifted_at <= now


def scope_kinds(scope: ContainmentScope) -> frozenset[ScopeKind]:
    """Return by what *scope* is limited: one kind for each field that is set."""
    of_everyone = scope.audience is Audience.EVERYONE
    present = {
        ScopeKind.EVERYONE: of_everyone,
        ScopeKind.AUDIENCE: scope.audience is not None and not of_everyone,
        ScopeKind.TENANT: scope.tenant_id is not None,
        ScopeKind.ACTION: scope.action is not None,
        ScopeKind.RELEASE: scope.created_by_release is not None,
        ScopeKind.RECORDINGS: bool(scope.recording_ids),
        ScopeKind.CREATED: scope.created_from is not None or scope.created_to is not None,
    }
    return frozenset(kind for kind, is_set in present.items() if is_set)


def counted_by_scope(containments: Iterable[Containment], now: Instant) -> Mapping[str, int]:
    """Return how many of *containments* are in force, by each kind that limits them, and in all."""
    counts = Counter(dict.fromkeys((*(kind.value for kind in ScopeKind), ANY_SCOPE), 0))
    for one in containments:
        if not is_lifted(one, now):
            counts.update(kind.value for kind in scope_kinds(one.scope))
            counts[ANY_SCOPE] += 1
    return counts
