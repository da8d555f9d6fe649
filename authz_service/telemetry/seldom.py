"""What happens thousands of times a second is said once a minute, with how often it happened."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

SECONDS = 60.0
"""How long nothing more is said of a kind of event, once it was said."""
_MOST_KINDS = 1000


class Seldom:
    """Knows what was said when. For one thread."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        """Begin with nothing said, on the clock *now*, in seconds."""
        self._now = now
        self._said: dict[str, tuple[float, int]] = {}

    def due(self, kind: str) -> int | None:
        """Return how often *kind* happened unsaid, where it is time to say it; None otherwise.

        The first time is said at once. Kinds beyond the first thousand share one minute.
        """
        if kind not in self._said and len(self._said) >= _MOST_KINDS:
            kind = ""
        now = self._now()
        said_at, unsaid = self._said.get(kind, (-SECONDS, 0))
        if now - said_at < SECONDS:
            self._said[kind] = (said_at, unsaid + 1)
            return None
        self._said[kind] = (now, 0)
        return unsaid

    def left(self, kind: str) -> int:
        """Return how often *kind* happened unsaid, to be said at the end."""
        return self._said.get(kind, (0.0, 0))[1]
