"""A journal that no service writes any more, brought to the decision store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from authz_service.audit.files import LocalFiles
from authz_service.audit.opening import Orphan, take_orphan
from authz_service.audit.segment import Origin
from authz_service.audit.shipped import mark_shipped
from authz_service.audit.store.engines import shown
from authz_service.audit.store.failures import FailureKind, ShippingAlarmError, StoreFailureError
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.shipment import Shipment
from authz_service.audit.store.shipper import NO_STORE
from authz_service.audit.store.shipping import Shipping
from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError, failure_of
from authz_service.cli.options import Format
from authz_service.cli.output import print_json, print_line, screen
from authz_service.cli.quiet import keep_logs_off
from authz_service.cli.wording import counted
from authz_service.clocks import SystemClock
from authz_service.pdp.errors import JournalInUseError, JournalUnavailableError
from authz_service.settings import load_settings

_PASSING = {FailureKind.LOCKED, FailureKind.SLOW}
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.25


@dataclass(slots=True)
class _Shipped:
    """What was brought over by this run."""

    lines: int = 0
    records: int = 0


def ship_journal(directory: str, overrides: dict[str, str | None], form: Format) -> ExitCode:
    """Ship the journal in *directory* to its end; print what became of it.

    Raises:
        CommandError: There is no journal, a service writes it, or it is damaged; the store is
            silent or of another schema; or it contradicts the journal.
    """
    keep_logs_off()
    url = load_settings(overrides).decisions_url
    if url == NO_STORE:
        raise CommandError(
            "there is no store to ship to",
            code=ExitCode.USAGE,
            reason="SETTINGS",
            hint="name one with --decisions-url, or set AUTHZ_DECISIONS_URL",
        )
    with _named_store(url) as store:
        orphan = _taken(Path(directory))
        try:
            shipped = _ship(orphan, url)
            _mark(orphan, store)
        finally:
            orphan.lock.release()
    _report(orphan, shipped, store, form)
    return ExitCode.OK


@contextmanager
def _named_store(url: str) -> Iterator[str]:
    """Lend the name of the store; what fails there is said with it, without a password."""
    name = shown(url)
    try:
        yield name
    except StoreFailureError as failure:
        said = failure_of(failure)
        said.message += f" ({name})"
        raise said from failure
    except ShippingAlarmError as alarm:
        raise CommandError(
            f"{alarm.why} ({name})",
            reason="SHIPPING_ALARM",
            hint=f"nothing was overwritten; see {alarm.kind.value} in docs/decisions.md",
        ) from alarm


def _taken(directory: Path) -> Orphan:
    """Return the journal in *directory*, which nobody may write meanwhile."""
    if not (directory / "journal.id").is_file():
        raise CommandError(f"{directory} holds no journal", reason="NOT_FOUND")
    try:
        return take_orphan(directory, Origin(SystemClock(), f"authz/{version('authz-service')}"))
    except JournalInUseError as used:
        raise failure_of(used) from used
    except JournalUnavailableError as damaged:
        failure = failure_of(damaged)
        failure.code = ExitCode.ERROR
        raise failure from damaged


def _ship(orphan: Orphan, url: str) -> _Shipped:
    """Ship all of *orphan*, with a bar on a terminal."""
    work = Shipping(orphan, lambda: open_store(url), _now)
    shipped = _Shipped()
    console = screen(stderr=True)
    columns = (TextColumn("lines"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal
    try:
        with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
            task = bar.add_task("ship", total=orphan.position.sequence - 1)
            while (shipment := _stepped(work)) is not None:
                shipped.lines += len(shipment.lines)
                shipped.records += shipment.records
                bar.update(task, completed=shipment.end.sequence)
    finally:
        work.leave()
    return shipped


def _mark(orphan: Orphan, store: str) -> None:
    """Have the journal itself say that all of it is in the store, so that nobody asks again."""
    try:
        mark_shipped(LocalFiles(), orphan.directory, orphan.position, store)
    except OSError as error:
        raise CommandError(
            f"all is shipped, but {orphan.directory} could not be marked: {error.strerror}",
            hint="make it writable, and run the command again",
        ) from error


def _stepped(work: Shipping) -> Shipment | None:
    """Ship the next piece; wait a while for a store that others keep busy."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return work.step()
        except StoreFailureError as failure:
            if failure.kind not in _PASSING:
                raise
        time.sleep(_PAUSE_SECONDS)
    return work.step()


def _report(orphan: Orphan, shipped: _Shipped, store: str, form: Format) -> None:
    """Print what became of it."""
    lines = orphan.position.sequence - 1
    if form is Format.JSON:
        print_json(
            {
                "directory": str(orphan.directory),
                "journal_id": orphan.journal_id,
                "store": store,
                "lines": lines,
                "shipped_lines": shipped.lines,
                "shipped_records": shipped.records,
                "torn": [torn.kept_as for torn in orphan.torn],
            }
        )
        return
    for torn in orphan.torn:
        print_line(f"{orphan.directory}: a torn end was cut off, and kept as {torn.kept_as}")
    print_line(
        f"{orphan.directory}: {counted(shipped.lines, 'line')} with "
        f"{counted(shipped.records, 'record')} shipped; all {lines} lines of journal "
        f"{orphan.journal_id} are in {store}"
    )


def _now() -> int:
    """Return the time in microseconds since 1970."""
    return (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
