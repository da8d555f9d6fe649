"""What may be held: only what is true at the one state of the registry that was looked at."""

from __future__ import annotations

from collections import OrderedDict

from authz_service.facts.cache_bounds import CacheBounds
from authz_service.facts.cache_metrics import LookResult
from authz_service.facts.holdings import Holdings
from authz_service.facts.reader import Changes, Key, Load, Look

_MAX_PASSED = 64
"""How many states are remembered; a load rarely comes from before the last one or two."""


class Entries:
    """The values held, and the state of the registry at which all of them are true.

    Belongs to one event loop; nothing here waits or blocks, so each change is seen whole.

    Attributes:
        holdings: The values; all of them true at `revision`.
        revision: The state's revision; -1 before the first look.
        nonce: That revision's nonce.
        sent_at: Everything committed before this moment is contained in the state; monotonic
            seconds.
        dropped: How many entries were dropped because something touched them.
    """

    def __init__(self, bounds: CacheBounds) -> None:
        self.holdings = Holdings(bounds.max_entries, bounds.max_unknown)
        self.revision = -1
        self.nonce = ""
        self.sent_at = float("-inf")
        self.dropped = 0
        self._bounds = bounds
        self._passed: OrderedDict[int, str] = OrderedDict()
        self._touched: OrderedDict[Key, int] = OrderedDict()
        self._floor = -1

    def apply(self, seen: Look | Changes) -> LookResult:
        """Bring what is held to the state that was *seen*, by dropping what is not true there."""
        if (seen.revision, seen.nonce) == (self.revision, self.nonce):
            self.sent_at = max(self.sent_at, seen.sent_at)
            return LookResult.UNCHANGED
        if isinstance(seen, Changes) and seen.complete and seen.revision > self.revision:
            for revision, keys in seen.touched:
                for key in keys:
                    self._touch(key, revision)
            self.sent_at = max(self.sent_at, seen.sent_at)
            result = LookResult.ADVANCED
        else:
            self._forget(seen)
            result = LookResult.RESET
        self.revision, self.nonce = seen.revision, seen.nonce
        self._passed[seen.revision] = seen.nonce
        if len(self._passed) > _MAX_PASSED:
            self._passed.popitem(last=False)
        return result

    def lags_behind(self, load: Load) -> bool:
        """Whether another look is needed to judge *load*."""
        return load.revision > self.revision or (
            load.revision == self.revision and load.nonce != self.nonce
        )

    def holds_true(self, load: Load) -> bool:
        """Whether all of *load* is true at the state held."""
        return self._admits(load) and all(
            self._touched.get(key, -1) <= load.revision for key in load.values
        )

    def insert(self, load: Load) -> int:
        """Hold what of *load* is true at the state held; return how much is thrown away.

        A value enters only if no change to its key after the load's revision was applied.
        """
        if not self._admits(load):
            return len(load.values)
        thrown_away = 0
        for key, value in load.values.items():
            if self._touched.get(key, -1) <= load.revision:
                self.holdings.put(key, value)
            else:
                thrown_away += 1
        return thrown_away

    def _admits(self, load: Load) -> bool:
        """Whether it is known how the state of *load* led to the state held.

        It is where the entries were at that very state themselves, and still know what was
        touched since. A revision alone does not say so: a backup may have been restored.
        """
        return self._floor <= load.revision and self._passed.get(load.revision) == load.nonce

    def _touch(self, key: Key, revision: int) -> None:
        """Drop *key*, and remember when it was touched: a load may be on its way with it."""
        self.dropped += self.holdings.drop(key)
        self._touched[key] = revision
        self._touched.move_to_end(key)
        if len(self._touched) > self._bounds.max_touched:
            _, forgotten = self._touched.popitem(last=False)
            self._floor = max(self._floor, forgotten)

    def _forget(self, seen: Look | Changes) -> None:
        """Drop everything: it is not known how it leads to what was *seen*."""
        self.dropped += self.holdings.clear()
        self._passed.clear()
        self._touched.clear()
        self._floor = seen.revision
        self.sent_at = seen.sent_at
