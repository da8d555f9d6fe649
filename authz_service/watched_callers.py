"""The callers in force: read at the start, watched from then on, shown on demand."""

from __future__ import annotations

from typing import Any

from authz_service.file_watch import Contents, FileWatch
from authz_service.identity.callers import ActiveCallers
from authz_service.identity.reload_callers import CallersFile, ReloadCallers
from authz_service.operations.ports import Clock, Journal
from authz_service.pdp.plain_fields import format_instant
from authz_service.server.grpc_server import RPCS
from authz_service.settings import Settings
from authz_service.telemetry.metrics import Metrics

_SHOWN_PROBLEMS = 20


def callers_file_of(settings: Settings) -> CallersFile:
    """Return where *settings* say that the callers are, and what they have to be good for."""
    rpcs = frozenset(method for _, method in RPCS)
    return CallersFile(settings.callers_file, rpcs, plaintext=settings.insecure_loopback)


class WatchedCallers:
    """Keeps the callers in force those of their file. For one event loop."""

    def __init__(
        self,
        file: CallersFile,
        active: ActiveCallers,
        *,
        journal: Journal,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """Replace what is in *active*, read from *file* before, when the file changes."""
        self._path = file.path
        self._active = active
        self._reload = ReloadCallers(file, active, journal=journal, clock=clock, observer=metrics)
        self._watch = FileWatch((file.path,), self._changed)
        metrics.watch(
            "authz_callers_last_load_successful",
            "1 where the callers file can be read and what it holds is in force.",
            lambda: float(not (self._reload.refused or self._unreadable)),
        )

    async def start(self) -> None:
        """Record which callers are in force, and watch their file.

        Raises:
            JournalUnavailableError: It could not be recorded.
        """
        await self._reload.begin()
        self._watch.start()

    def look_soon(self) -> None:
        """Look at once whether the file has changed, as SIGHUP asks."""
        self._watch.look_soon()

    async def close(self) -> None:
        """Watch no longer."""
        await self._watch.close()

    def standing(self) -> dict[str, Any]:
        """Return what is in force, and what is wrong with the file, as JSON has it."""
        callers, refused = self._active.current, self._reload.refused
        return {
            "file": str(self._path),
            "revision": callers.revision,
            "callers": len(callers.rules),
            "warnings": len(callers.warnings),
            "in_force_since": format_instant(self._reload.since),
            "unreadable": self._unreadable,
            "refused": refused
            and {
                "at": format_instant(refused.at),
                "revision": refused.revision,
                "count": len(refused.problems),
                "problems": [each._asdict() for each in refused.problems[:_SHOWN_PROBLEMS]],
            },
        }

    @property
    def _unreadable(self) -> str:
        """Why the file cannot be read; empty where it can."""
        return self._watch.unreadable.get(self._path, "")

    async def _changed(self, contents: Contents) -> None:
        """Take what the file holds now."""
        await self._reload.take(contents[self._path])
