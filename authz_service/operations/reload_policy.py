"""Reading the bundle again: checked, compiled and tried out before it is put in force."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.ports import (
    Clock,
    Journal,
    LoadedPolicy,
    PolicyAttempt,
    PolicyObserver,
    PolicySource,
)
from authz_service.operations.records import CallContext, EventRecord
from authz_service.pdp.errors import JournalUnavailableError, PolicyRefusedError

log = structlog.get_logger(__name__)

_EVENTS = {
    "activated": "policy_activated",
    "unchanged": "policy_unchanged",
    "valid": "policy_validated",
}


@dataclass(frozen=True, slots=True)
class ReloadOrder:
    """Who wants the bundle read.

    Attributes:
        trigger: ``start``, ``signal`` or ``call``.
        actor: The person who asked; None for a signal.
        context: The call; None for a signal.
        dry_run: Check only.
    """

    trigger: str
    actor: str | None = None
    context: CallContext | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PreparedPolicy:
    """A bundle that was read and recorded, and has had no effect yet.

    Attributes:
        order: Who wanted it.
        attempt: What is to become of it.
        loaded: The policy; None where it was refused.
    """

    order: ReloadOrder
    attempt: PolicyAttempt
    loaded: LoadedPolicy | None

    @property
    def revision(self) -> str:
        """The bundle's revision, or an empty text where it was refused."""
        return self.loaded.ruleset.revision if self.loaded else ""


class Reload(Protocol):
    """Has the bundle read again: for this process, or for all workers as one."""

    async def __call__(self, order: ReloadOrder) -> PolicyAttempt:
        """Read the bundle and put it in force, unless this is a dry run or it is defective.

        Returns:
            What became of it. A defective bundle is an outcome, not an error: the policy that was
            in force stays in force.

        Raises:
            JournalUnavailableError: The event could not be recorded; nothing was put in force.
            PolicyNotReadyError: The workers did not agree in time; nothing was put in force.
        """
        ...


class ReloadPolicy:
    """Replaces the policy in force, one reading of the bundle at a time. Implements `Reload`."""

    def __init__(
        self,
        active: ActivePolicy,
        source: PolicySource,
        *,
        journal: Journal,
        clock: Clock,
        observer: PolicyObserver,
    ) -> None:
        """Read from *source*, activate in *active*."""
        self._active = active
        self._source = source
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, order: ReloadOrder) -> PolicyAttempt:
        async with self._one_at_a_time:
            return self.conclude(await self.prepare(order, self._source))

    async def prepare(self, order: ReloadOrder, source: PolicySource) -> PreparedPolicy:
        """Read the bundle of *source*, off the event loop, and record it: no effect yet.

        What is prepared is concluded or abandoned before anything else is prepared.

        Raises:
            JournalUnavailableError: The event could not be recorded.
        """
        try:
            loaded = await asyncio.to_thread(source.load)
        except PolicyRefusedError as refused:
            attempt = PolicyAttempt(self._clock.now(), "refused", refused.problems)
            prepared = PreparedPolicy(order, attempt, None)
        else:
            same = loaded.ruleset.revision == self._active.revision
            outcome = "valid" if order.dry_run else "unchanged" if same else "activated"
            attempt = PolicyAttempt(self._clock.now(), outcome)
            prepared = PreparedPolicy(order, attempt, loaded)
        try:
            await self._record(prepared, attempt.outcome)
        except JournalUnavailableError as error:
            self._observer.policy_loaded("unrecorded", self._active.revision)
            log.warning("policy_not_reloaded", trigger=order.trigger, why=str(error))
            raise
        return prepared

    def conclude(self, prepared: PreparedPolicy) -> PolicyAttempt:
        """Let *prepared* have its effect, in one step."""
        previous, attempt = self._active.revision, prepared.attempt
        if prepared.loaded is not None and attempt.outcome == "activated":
            self._active.activate(prepared.loaded)
        if not prepared.order.dry_run:
            self._active.latest_attempt = attempt
        self._observer.policy_loaded(attempt.outcome, self._active.revision)
        self._log(attempt, prepared.order.trigger, previous)
        return attempt

    async def abandon(self, prepared: PreparedPolicy, why: str) -> None:
        """Record that *prepared* had no effect after all; a refused one never had any.

        Raises:
            JournalUnavailableError: The event could not be recorded.
        """
        log.warning("policy_not_reloaded", trigger=prepared.order.trigger, why=why)
        self._observer.policy_loaded("abandoned", self._active.revision)
        await self._record(prepared, "abandoned")

    async def _record(self, prepared: PreparedPolicy, outcome: str) -> None:
        """Record what is to become, or became, of a reading."""
        order, previous = prepared.order, self._active.revision
        details = (
            ("outcome", outcome),
            ("trigger", order.trigger),
            ("policy_revision", prepared.revision or previous),
            ("previous_revision", previous),
            ("problems", len(prepared.attempt.problems)),
        )
        now = self._clock.now()
        event = EventRecord("policy_reloaded", now, order.context, order.actor, details)
        await self._journal.append((event,))

    def _log(self, attempt: PolicyAttempt, trigger: str, previous: str) -> None:
        """Say what became of the bundle."""
        if attempt.outcome == "refused":
            log.error(
                "policy_refused",
                trigger=trigger,
                policy_revision=previous,
                problems=[problem.message for problem in attempt.problems[:10]],
                places=[f"{problem.file}:{problem.line}" for problem in attempt.problems[:10]],
            )
        else:
            log.info(
                _EVENTS[attempt.outcome],
                trigger=trigger,
                policy_revision=self._active.revision,
                previous_revision=previous,
            )
