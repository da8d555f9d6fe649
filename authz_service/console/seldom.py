"""A line in the log once a minute at most, however often there is something to say."""

from __future__ import annotations

from time import monotonic

_MINUTE_SECONDS = 60.0


class Seldom:
    """Says when a line may be logged again. For one event loop."""

    def __init__(self) -> None:
        """Let the first be said at once."""
        self._next = 0.0

    def may_say(self) -> bool:
        """Whether a minute has passed since it last said yes."""
        now = monotonic()
        if now < self._next:
            return False
        self._next = now + _MINUTE_SECONDS
        return True
