"""What `authz serve` runs: one process, or a parent with its workers, until a signal."""

from __future__ import annotations

import asyncio
import signal

import structlog
import uvloop

from authz_service.app import SOFTWARE, Service
from authz_service.parent import Parent
from authz_service.runtime import forbid_core_dumps, leave_stuck_threads
from authz_service.settings import Settings
from authz_service.supervision.journals import warn_of_others
from authz_service.telemetry.logs import set_up_logs

log = structlog.get_logger(__name__)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, and drain; return the exit code.

    Raises:
        StartError: The service cannot start.
    """
    forbid_core_dumps()
    set_up_logs(settings.log_format)
    uvloop.run(_workers(settings) if settings.workers > 1 else _alone(settings))
    leave_stuck_threads()
    return 0


async def _alone(settings: Settings) -> None:
    """Serve until told to stop; a signal that comes during the start counts after it."""
    service = Service(settings)
    stopping = _heed_signals(service)
    await service.start()
    try:
        warn_of_others(settings.journal_dir, workers=0)
    except OSError as error:
        log.warning("journals_not_looked_for", why=str(error))
    _say_started(settings, service)
    await stopping.wait()
    log.info("service_draining")
    await service.drain()
    log.info("service_stopped")


async def _workers(settings: Settings) -> None:
    """Serve with workers until told to stop; a signal ends a start as well."""
    parent = Parent(settings)
    stopping = _heed_signals(parent)
    starting = asyncio.create_task(parent.start())
    ordered = asyncio.create_task(stopping.wait())
    await asyncio.wait((starting, ordered), return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        await starting
        _say_started(settings, parent)
        await stopping.wait()
    log.info("service_draining")
    await parent.drain()
    await starting
    log.info("service_stopped")


def _heed_signals(served: Service | Parent) -> asyncio.Event:
    """Return what SIGTERM and SIGINT set; SIGHUP has *served* read the policy again."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, served.reload_soon)
    return stopping


def _say_started(settings: Settings, served: Service | Parent) -> None:
    """Say where it is served."""
    log.info(
        "service_started",
        port=served.port,
        http_port=served.http_port,
        workers=settings.workers,
        software=SOFTWARE,
        fixed_clock=settings.fixed_clock,
    )
