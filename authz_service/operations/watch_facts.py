"""The verb of those who keep up with the registry: every change in order, then those that follow.

Nothing is held between one part and the next, so somebody who reads slowly costs nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from authz_service.operations.change_feed import ChangeFeed, ChangePosition, RevisionPart
from authz_service.operations.ports import Clock, Journal
from authz_service.operations.records import CallContext, EventRecord

SIGN_SECONDS = 10.0
"""How long nothing may change until a watcher is told that nothing has."""


class WatchFacts:
    """Tells of changes, with an event in the journal before the first of them."""

    def __init__(
        self,
        feed: ChangeFeed,
        journal: Journal,
        *,
        clock: Clock,
        sign_seconds: float = SIGN_SECONDS,
    ) -> None:
        """Read *feed*, record in *journal*; give a sign of life every *sign_seconds*."""
        self._feed = feed
        self._journal = journal
        self._clock = clock
        self._sign_seconds = sign_seconds

    async def __call__(
        self, after_revision: int, after_nonce: str, *, context: CallContext
    ) -> AsyncGenerator[RevisionPart, None]:
        """Yield what every revision after *after_revision* changed, for ever.

        A part without changes says that there is nothing new. One comes as soon as all has been
        told, so that a watcher knows that it has caught up, and in every while without changes.

        Args:
            after_revision: The last revision that the watcher knows; 0 for none.
            after_nonce: In which state it knows it; empty where it cannot say.
            context: Who watches.

        Raises:
            RevisionAheadError: The registry has not reached that revision.
            HistoryGoneError: What follows is not kept any more, or the registry is another.
            FactsUnavailableError: The registry cannot be read.
            JournalUnavailableError: The watch could not be recorded.
        """
        self._journal.require_usable()
        position = await self._feed.position_after(after_revision, after_nonce)
        await self._record(position, context)
        is_sign_due = True
        while True:
            page = await self._feed.page(position)
            for part in page.parts:
                yield part
            position = page.end
            if page.is_last:
                if is_sign_due:
                    yield RevisionPart(position.state)
                is_sign_due = not await self._feed.moved_on(position.state, self._sign_seconds)

    async def _record(self, position: ChangePosition, context: CallContext) -> None:
        """Record who watches from where on."""
        details = (("after_revision", position.state.revision),)
        event = EventRecord("facts_watched", self._clock.now(), context, None, details)
        await self._journal.append((event,))
