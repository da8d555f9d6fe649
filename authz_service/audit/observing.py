"""Who hears how a journal is doing."""

from __future__ import annotations

from typing import Protocol


class JournalMetrics(Protocol):
    """Counts what a journal does. Called on the journal's thread; must not raise or block."""

    def batch_written(self, records: int, size_bytes: int, seconds: float) -> None:
        """Count a batch that is on the disk, and how long write and sync took."""
        ...

    def failed(self, kind: str) -> None:
        """Count a failure of *kind*: ``full``, ``lost``, ``refused``, ``io`` or ``bug``.

        ``lost`` is a file or directory that is gone, ``refused`` one that may not be written.
        """
        ...

    def usable_changed(self, *, usable: bool) -> None:
        """Note whether the journal can write; called once at the start, too."""
        ...

    def pending(self, lines: int) -> None:
        """Note how many appends wait, before and after each batch."""
        ...

    def kept(self, segments: int, size_bytes: int) -> None:
        """Note how many segments there are, and how long they are together.

        Called by the thread that deletes segments, too.
        """
        ...


class Unmeasured:
    """Nobody counts."""

    def batch_written(self, records: int, size_bytes: int, seconds: float) -> None:
        pass

    def failed(self, kind: str) -> None:
        pass

    def usable_changed(self, *, usable: bool) -> None:
        pass

    def pending(self, lines: int) -> None:
        pass

    def kept(self, segments: int, size_bytes: int) -> None:
        pass
