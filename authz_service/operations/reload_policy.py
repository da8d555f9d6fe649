"""Reading the bundle again: checked, compiled and tried out before it is put in force."""

from __future__ import annotations

import asyncio

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


class ReloadPolicy:
    """Replaces the policy in force, one reading of the bundle at a time."""

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

    async def __call__(
        self, *, trigger: str, actor: str | None, context: CallContext | None, dry_run: bool = False
    ) -> PolicyAttempt:
        """Read the bundle and put it in force, unless this is a dry run or it is defective.

        Args:
            trigger: ``start``, ``signal`` or ``call``.
            actor: The person who asked; None for a signal.
            context: The call; None for a signal.
            dry_run: Check only.

        Returns:
            What became of it. A defective bundle is an outcome, not an error: the policy that was
            in force stays in force.

        Raises:
            JournalUnavailableError: The event could not be recorded; nothing was put in force.
        """
        async with self._one_at_a_time:
            previous = self._active.revision
            loaded, attempt = await self._read(previous, dry_run=dry_run)
            revision = loaded.ruleset.revision if loaded else previous
            try:
                await self._record(attempt, revision, trigger, actor, context)
            except JournalUnavailableError as error:
                self._observer.policy_loaded("unrecorded", previous)
                log.warning("policy_not_reloaded", trigger=trigger, why=str(error))
                raise
            if loaded is not None and attempt.outcome == "activated":
                self._active.activate(loaded)
            if not dry_run:
                self._active.latest_attempt = attempt
            self._observer.policy_loaded(attempt.outcome, self._active.revision)
            self._log(attempt, trigger, previous)
            return attempt

    async def _read(
        self, previous: str, *, dry_run: bool
    ) -> tuple[LoadedPolicy | None, PolicyAttempt]:
        """Read the bundle off the event loop."""
        try:
            loaded = await asyncio.to_thread(self._source.load)
        except PolicyRefusedError as refused:
            return None, PolicyAttempt(self._clock.now(), "refused", refused.problems)
        same = loaded.ruleset.revision == previous
        outcome = "valid" if dry_run else "unchanged" if same else "activated"
        return loaded, PolicyAttempt(self._clock.now(), outcome)

    async def _record(
        self,
        attempt: PolicyAttempt,
        revision: str,
        trigger: str,
        actor: str | None,
        context: CallContext | None,
    ) -> None:
        """Record the reading before it has any effect."""
        details = (
            ("outcome", attempt.outcome),
            ("trigger", trigger),
            ("policy_revision", revision),
            ("previous_revision", self._active.revision),
            ("problems", len(attempt.problems)),
        )
        event = EventRecord("policy_reloaded", self._clock.now(), context, actor, details)
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
