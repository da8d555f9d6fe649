"""How old, how many and how long: the bounds of the cache of facts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheBounds:
    """The bounds of a cache of facts.

    Attributes:
        staleness_seconds: The oldest look on which an answer may rest, counted from when it was
            sent to when the answer is given. With 0, each question waits for a look of its own.
        timeout_seconds: How long a question waits for one look or one load.
        loaders: How many loads may be under way at the same time.
        max_entries: How many subjects, how many recordings and how many patients are held.
        max_unknown: How many ids are held of which it is known that no fact knows them.
        max_load_keys: How many keys of different questions go into one load.
        quiet_turns: For how many turns of the event loop nobody has missed anything when a load is
            sent; until then it gathers. A turn takes some 3 µs. With 0 it is sent at the end of
            the turn in which something was missed first.
        max_touched: For how many keys it is remembered when they were last touched.
        retry_seconds: How long after a look that failed there is no other: who asks meanwhile is
            told of that one, and a server that comes back is not met by a crowd.
        idle_look_seconds: How often the registry is looked at when nobody asks.
    """

    staleness_seconds: float = 0.05
    timeout_seconds: float = 1.0
    loaders: int = 2
    max_entries: int = 200_000
    max_unknown: int = 10_000
    max_load_keys: int = 2_000
    quiet_turns: int = 0
    max_touched: int = 20_000
    retry_seconds: float = 0.0
    idle_look_seconds: float = 1.0
