"""A bounded map from which the longest unused goes first, at next to no cost on a hit."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_SECOND_CHANCES = 32
_FREED_BY_PUT = 4


class Cell(Generic[V]):
    """A value with the mark that it was used. Whoever reads the value sets the mark."""

    __slots__ = ("used", "value")

    def __init__(self, value: V) -> None:
        self.value = value
        self.used = False


class Shelf(Generic[K, V]):
    """At most *max_cells* values; first in, first out, with a second chance for what was used.

    A hit costs a dictionary look-up and a mark. An eviction passes at most 32 marked cells, so
    that none ever walks through the whole shelf. What is cleared is freed little by little as new
    values come: to free hundreds of thousands at once would stop the event loop for a second.

    Attributes:
        cells: What is held, the next to be evicted first. Read it; change it by the methods.
        evicted: How many values had to make room since the start.
    """

    __slots__ = ("_max_cells", "_rubble", "cells", "evicted")

    def __init__(self, max_cells: int) -> None:
        self._max_cells = max_cells
        self._rubble: list[OrderedDict[K, Cell[V]]] = []
        self.cells: OrderedDict[K, Cell[V]] = OrderedDict()
        self.evicted = 0

    def use(self, key: K) -> V | None:
        """Return the value of *key* and mark it as used; None where it is not held."""
        cell = self.cells.get(key)
        if cell is None:
            return None
        cell.used = True
        return cell.value

    def put(self, key: K, value: V) -> None:
        """Hold *value*, in place of what was held under *key*."""
        if self._rubble:
            self._free_some()
        cell = self.cells.get(key)
        if cell is not None:
            cell.value = value
            return
        if len(self.cells) >= self._max_cells:
            self._evict()
        self.cells[key] = Cell(value)

    def drop(self, key: K) -> bool:
        """Forget *key*; whether it was held."""
        return self.cells.pop(key, None) is not None

    def clear(self) -> int:
        """Forget everything; how much that was."""
        held = len(self.cells)
        if held:
            self._rubble.append(self.cells)
            self.cells = OrderedDict()
        return held

    def _free_some(self) -> None:
        """Free a few of the values that were cleared."""
        cleared = self._rubble[-1]
        for _ in range(min(_FREED_BY_PUT, len(cleared))):
            cleared.popitem()
        if not cleared:
            self._rubble.pop()

    def _evict(self) -> None:
        """Make room for one."""
        self.evicted += 1
        for _ in range(min(_SECOND_CHANCES, len(self.cells))):
            key, cell = self.cells.popitem(last=False)
            if not cell.used:
                return
            cell.used = False
            self.cells[key] = cell
        self.cells.popitem(last=False)
