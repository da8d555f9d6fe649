"""`make run`: the world of June 2020 in a registry of its own, served, with calls to try."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import uvloop
from rich.console import Console
from rich.table import Table

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.app import Service, StartError
from authz_service.clocks import FixedClock
from authz_service.facts.importer import FactsImporter
from authz_service.facts.schema_version import migrate
from authz_service.settings import SettingsError, load_settings
from authz_service.telemetry.logs import set_up_logs

WORLD = Path(__file__).with_name("world.jsonl")
AFTERWARDS = Path(__file__).with_name("afterwards.jsonl")
LOADED_AT = {
    WORLD: datetime(2020, 6, 9, 14, 45, tzinfo=UTC),
    AFTERWARDS: datetime(2020, 6, 12, 9, tzinfo=UTC),
}
"""The files of the demo, and when they are said to have been written, so that there is a past."""
HOME = Path("var/demo")


@dataclass(frozen=True, slots=True)
class Call:
    """A call to try.

    Attributes:
        says: What it shows.
        subject_id: Who asks.
        recording_id: For which recording.
    """

    says: str
    subject_id: str
    recording_id: str


CALLS = (
    Call("A patient asks for a recording of their own.", "pat-river", "rec-river-1"),
    Call("A stranger asks for the same one.", "pat-stone", "rec-river-1"),
    Call(
        "One of the fifty that a release attributed to the wrong patient.",
        "pat-river",
        "rec-mix-01",
    ),
)


def main() -> int:
    """Load, serve, show, and wait for Ctrl-C; return the exit code."""
    console = Console(stderr=True)
    try:
        uvloop.run(_run(console))
    except (StartError, SettingsError) as error:
        console.print(f"[red]The demo cannot start:[/red] {error}")
        return 1
    return 0


async def _run(console: Console) -> None:
    """Serve the demo until told to stop."""
    settings = load_settings(
        {
            "insecure_loopback": True,
            "registry_url": os.environ.get("AUTHZ_REGISTRY_URL", f"sqlite:///{HOME}/registry.db"),
            "journal_dir": os.environ.get("AUTHZ_JOURNAL_DIR", str(HOME / "journal")),
            "decisions_url": os.environ.get(
                "AUTHZ_DECISIONS_URL", f"sqlite:///{HOME}/decisions.db"
            ),
        }
    )
    set_up_logs(settings.log_format)
    console.rule("recording-access authorization service: the demo of June 2020")
    facts = await asyncio.to_thread(load, settings.registry_url)
    console.print(f"{facts} facts are in {settings.registry_url}")
    service = Service(settings)
    await service.start()
    address = f"127.0.0.1:{service.port}"
    await _show(console, address)
    console.print(
        f"\nServing gRPC at [bold]{address}[/bold], metrics at "
        f"[bold]http://127.0.0.1:{service.http_port}/metrics[/bold]. "
        "Every decision from now on is a line below. Ctrl-C drains and ends.\n"
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()
    await service.drain()


def load(url: str) -> int:
    """Bring the world into the registry of *url*, unless it is there; return how many facts."""
    migrate(url)
    lines = 0
    for path, instant in LOADED_AT.items():
        importer = FactsImporter(url, FixedClock(instant))
        try:
            summary = importer.import_file(path, actor="demo", progress=lambda _summary: None)
        finally:
            importer.close()
        if summary.problem:
            raise StartError(summary.problem)
        lines += summary.lines
    return lines


async def _show(console: Console, address: str) -> None:
    """Make the calls, and say how to make them by hand."""
    table = Table(title="Three calls, as made just now", title_justify="left")
    for heading in ("what it shows", "effect", "reason"):
        table.add_column(heading)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = grpc_api.RecordingAccessServiceStub(channel)
        for call in CALLS:
            answer = await stub.CheckAccess(_request(call), timeout=5)
            effect = words.Effect.Name(answer.effect).removeprefix("EFFECT_")
            colour = "green" if answer.effect == words.EFFECT_ALLOW else "red"
            reason = words.Reason.Name(answer.reason).removeprefix("REASON_")
            table.add_row(call.says, f"[{colour}]{effect}[/{colour}]", reason)
    console.print(table)
    console.print("\nMake them yourself, in another terminal:\n")
    authz = Path(sys.executable).with_name("authz")
    program = authz.relative_to(Path.cwd()) if authz.is_relative_to(Path.cwd()) else authz
    for call in CALLS:
        arguments = ["check", call.subject_id, call.recording_id, "--address", address]
        _print_command(console, program, arguments)
    console.print("\nSee what a patient is shown, and what was decided about that patient:\n")
    patient = CALLS[0].subject_id
    for arguments in (["list", patient], ["decisions", "list", "--patient", patient]):
        _print_command(console, program, [*arguments, "--address", address])


def _print_command(console: Console, program: Path, arguments: list[str]) -> None:
    """Print one command to try."""
    console.print(f"  {shlex.join([str(program), *arguments])}", soft_wrap=True, highlight=False)


def _request(call: Call) -> pb.CheckAccessRequest:
    """Return the question of *call*: to view, at the patient's own request, with one factor."""
    return pb.CheckAccessRequest(
        subject=pb.Subject(id=call.subject_id),
        recording_id=call.recording_id,
        action=words.ACTION_VIEW,
        context=pb.AccessContext(
            purpose_of_use=words.PURPOSE_OF_USE_PATRQT,
            assurance=words.ASSURANCE_SINGLE_FACTOR,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
