"""The brake: access switched off and on again by two people, recorded before it is answered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from authz_service.operations.containments import (
    ContainmentChange,
    ContainmentsPage,
    Demand,
    is_lifted,
    scope_kinds,
)
from authz_service.operations.page_tokens import PageTokens, QuestionPart, microseconds_of
from authz_service.operations.ports import Clock, Containments, Journal
from authz_service.operations.records import CallContext, EventRecord
from authz_service.operations.under_way import UnderWay
from authz_service.operations.writes import Tenants
from authz_service.pdp.entities import Containment, ContainmentScope
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import Instant
from authz_service.pdp.plain_fields import format_instant

log = structlog.get_logger(__name__)

CONTAINMENT_TOKENS: Final = "containments"
"""The kind of list that tokens of these pages are for."""
SOURCE: Final = "containment-service"
"""The source of a containment whose caller writes that kind as none of its own."""
_LAST: Final = 2**62
"""Where a containment stands that does not say when it was set: after every instant there is."""

Details = tuple[tuple[str, str | int | tuple[str, ...]], ...]


class ContainAccess:
    """Sets and lifts containments, with an event in the journal for each.

    A change that has begun goes on to its record even when the caller goes away.
    """

    def __init__(
        self,
        containments: Containments,
        journal: Journal,
        *,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        """Change *containments*, record in *journal*, name what is set by *new_id*."""
        self._containments = containments
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._under_way = UnderWay(journal)

    async def finish(self, seconds: float) -> None:
        """Return once every change that has begun is recorded or has failed, or after *seconds*."""
        await self._under_way.finish(seconds)

    async def contain(
        self,
        scope: ContainmentScope,
        demand: Demand,
        *,
        context: CallContext,
        within: Tenants = None,
    ) -> ContainmentChange:
        """Switch access off for what *scope* covers; in force once this returns.

        Raises:
            CallerNotAllowedError: The scope names none of the tenants in *within*.
            FactsUnavailableError: The registry cannot be written.
            JournalUnavailableError: It could not be recorded; it may be in force, and may be set
                again.
        """
        return await self._under_way.to_the_end(self._contain(scope, demand, context, within))

    async def lift(
        self,
        containment_id: str,
        demand: Demand,
        *,
        context: CallContext,
        within: Tenants = None,
    ) -> ContainmentChange:
        """End a containment.

        Raises:
            NotFoundError: There is none of that id whose scope is *within*.
            StateError: It is lifted already, or the actor is who set it.
            FactsUnavailableError: The registry cannot be written.
            JournalUnavailableError: It could not be recorded; it may have been lifted.
        """
        return await self._under_way.to_the_end(self._lift(containment_id, demand, context, within))

    async def _contain(
        self, scope: ContainmentScope, demand: Demand, context: CallContext, within: Tenants
    ) -> ContainmentChange:
        """Set, and record."""
        now = self._clock.now()
        made = Containment(self._new_id(), scope, demand.reason, set_by=demand.actor, set_at=now)
        fact = Fact(made, demand.source, now)
        change = await self._containments.contain(fact, actor=demand.actor, within=within)
        log.warning("containment_set", **_fields(change, demand, context))
        await self._record("contained", change, demand, context)
        return change

    async def _lift(
        self, containment_id: str, demand: Demand, context: CallContext, within: Tenants
    ) -> ContainmentChange:
        """Lift, and record."""
        change = await self._containments.lift(containment_id, demand, within=within)
        log.warning("containment_lifted", **_fields(change, demand, context))
        await self._record("containment_lifted", change, demand, context)
        return change

    async def _record(
        self, event: str, change: ContainmentChange, demand: Demand, context: CallContext
    ) -> None:
        """Record a change."""
        made = change.containment
        details: Details = (
            ("containment_id", made.id),
            ("facts_revision", change.revision),
            *_of_scope(made.scope),
            ("reason_digest", hashlib.sha256(demand.reason.encode()).hexdigest()),
        )
        at = self._clock.now()
        await self._journal.append((EventRecord(event, at, context, demand.actor, details),))


class ListContainments:
    """Shows containments, page by page."""

    def __init__(self, containments: Containments, *, clock: Clock, tokens: PageTokens) -> None:
        """Read *containments*; sign where pages end with *tokens*."""
        self._containments = containments
        self._clock = clock
        self._tokens = tokens

    async def __call__(
        self,
        *,
        include_lifted: bool,
        page_size: int,
        page_token: str,
        context: CallContext,
        within: Tenants = None,
    ) -> ContainmentsPage:
        """Return those after the ones of *page_token*, or the first where it is empty.

        At most *page_size*, which is 1 or more; fewer only at the end.

        Raises:
            InvalidRequestError: The token belongs to another question, or to none.
            FactsUnavailableError: The registry cannot be read.
        """
        signed: tuple[QuestionPart, ...] = (context.caller, int(include_lifted))
        after = tuple(self._tokens.read(page_token, signed)) if page_token else None
        found, revision = await self._containments.read(within=within)
        now = self._clock.now()
        wanted = [one for one in found if include_lifted or not is_lifted(one, now)]
        keyed = sorted(((_key(one, now), one) for one in wanted), key=lambda pair: pair[0])
        rest = [pair for pair in keyed if after is None or pair[0] > _place(after)]
        shown = rest[:page_size]
        more = len(rest) > len(shown)
        token = self._tokens.issue(signed, _parts(shown[-1][0])) if more else ""
        return ContainmentsPage([one for _, one in shown], token, revision)


_Key = tuple[bool, int, str]


def _fields(change: ContainmentChange, demand: Demand, context: CallContext) -> dict[str, Any]:
    """Return what the log says of a change."""
    return {
        "containment_id": change.containment.id,
        "scope": sorted(scope_kinds(change.containment.scope)),
        "actor": demand.actor,
        "facts_revision": change.revision,
        "request_id": context.request_id,
    }


def _key(containment: Containment, now: Instant) -> _Key:
    """Return where *containment* stands: in force first, the newest first, then by id."""
    set_at = containment.set_at
    place = _LAST if set_at is None else -microseconds_of(set_at)
    return is_lifted(containment, now), place, containment.id


def _parts(key: _Key) -> tuple[int, int, str]:
    """Return *key* as a token holds it."""
    lifted, place, containment_id = key
    return int(lifted), place, containment_id


def _place(parts: Sequence[str | int]) -> _Key:
    """Return the key that `_parts` was given."""
    lifted, place, containment_id = parts
    return bool(lifted), int(place), str(containment_id)


def _of_scope(scope: ContainmentScope) -> Details:
    """Return what *scope* covers, as a record names it: which fields, ids, words and instants.

    The name of a release is what somebody typed; that there is one is said, and no more.
    """
    said = (
        ("audience", scope.audience and scope.audience.value),
        ("tenant_id", scope.tenant_id),
        ("action", scope.action and scope.action.value),
        ("recording_ids", scope.recording_ids),
        ("created_from", scope.created_from and format_instant(scope.created_from)),
        ("created_to", scope.created_to and format_instant(scope.created_to)),
    )
    kinds = tuple(sorted(kind.value for kind in scope_kinds(scope)))
    return (("scope", kinds), *((name, value) for name, value in said if value))
