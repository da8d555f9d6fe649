"""`authz facts`: the registry of who owns what, loaded, written out, verified and resolved."""

from __future__ import annotations

from typing import Annotated

import typer

from authz_service.cli.addresses import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from authz_service.cli.client_tls import over_tls
from authz_service.cli.known_settings import SettingsVerb
from authz_service.cli.options import (
    ActorOption,
    AddressOption,
    Format,
    FormatOption,
    RegistryOption,
    TimeoutOption,
)

EXPORT_TIMEOUT = 300.0
"""In seconds: all facts are looked through for a person."""

app = typer.Typer(
    no_args_is_help=True, help="Load, write out, check, correct, watch and erase facts."
)


@app.command(
    "import",
    cls=SettingsVerb,
    epilog="Example: authz facts import authz_service/demo/world.jsonl --actor jo.doe",
)
def import_(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...|-", help="JSON Lines, one fact a line.")
    ],
    *,
    actor: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The person who is answerable for it.",
            show_default="the system's user name",
        ),
    ] = None,
    registry_url: RegistryOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Write facts to the registry, a thousand at a time; made where there is none yet.

    Started again with the same file it goes on where it was stopped. Ends with 1 on a bad line.
    """
    from authz_service.cli.facts_import import import_files  # noqa: PLC0415  # heavy

    raise typer.Exit(import_files(files, actor, {"registry_url": registry_url}, form))


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz facts export facts.jsonl --registry-url sqlite:///var/demo/registry.db",
)
def export(
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="Where to; - is stdout.")] = "-",
    *,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    registry_url: RegistryOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Write all facts out as JSON Lines, at one revision, in the form that import reads."""
    from authz_service.cli.facts_export import export_facts  # noqa: PLC0415  # heavy

    raise typer.Exit(export_facts(file, {"registry_url": registry_url}, form, force=force))


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz facts verify --registry-url sqlite:///var/demo/registry.db",
)
def verify(*, registry_url: RegistryOption = None, form: FormatOption = Format.TEXT) -> None:
    """Check that what the registry holds agrees with itself. Ends with 1 where it does not."""
    from authz_service.cli.facts_registry import verify_facts  # noqa: PLC0415  # heavy

    raise typer.Exit(verify_facts({"registry_url": registry_url}, form))


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz facts conflicts --registry-url sqlite:///var/demo/registry.db",
)
def conflicts(*, registry_url: RegistryOption = None, form: FormatOption = Format.TEXT) -> None:
    """List the recordings whose facts disagree: nobody is allowed anything on them."""
    from authz_service.cli.facts_registry import list_conflicts  # noqa: PLC0415  # heavy

    list_conflicts({"registry_url": registry_url}, form)


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz facts resolve rec-ivy-1 --actor jo.doe --reason 'ticket 4711'",
)
@over_tls
def resolve(
    recording: Annotated[str, typer.Argument(metavar="RECORDING", help="The recording.")],
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why the facts as they are now are right.")
    ],
    actor: ActorOption,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Declare, as a person, that what the facts now say of a recording's patient is right.

    Refused while they still disagree: correct them first, where they come from.
    """
    from authz_service.cli.facts_resolve import resolve_conflict  # noqa: PLC0415  # heavy

    resolve_conflict(recording, reason, actor, address=address, timeout_seconds=timeout, form=form)


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz facts erase pat-heather --actor jo.doe --reason 'request 4711' --yes",
)
@over_tls
def erase(  # noqa: PLR0913  # one argument for each flag
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="The patient.")],
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="On whose request, and where that is filed.")
    ],
    actor: ActorOption,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask whether I am sure.")] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Erase a patient: facts become tombstones for good, history and words are purged.

    Refused while a legal hold is on a recording of theirs, while facts about one name somebody
    else too, and while an emergency access to them waits for its review.
    """
    from authz_service.cli.facts_erase import erase_person, require_sure  # noqa: PLC0415  # heavy

    require_sure(patient, is_sure=is_sure)
    erase_person(patient, reason, actor, address=address, timeout_seconds=timeout, form=form)


@app.command(
    cls=SettingsVerb,
    epilog="Example: authz facts watch --after 1 --format json",
)
@over_tls
def watch(
    *,
    after: Annotated[
        int, typer.Option("--after", metavar="REVISION", min=0, help="The last one that is known.")
    ] = 0,
    state: Annotated[
        str,
        typer.Option(
            "--state", metavar="STATE", help="The state that was told with it, if it is known."
        ),
    ] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    form: FormatOption = Format.TEXT,
) -> None:
    """Print every change of the registry after a revision, then those that follow.

    Goes on by itself where the service was restarted within the timeout. Ctrl-C ends it with 0.
    JSON is one line for each part of a revision, and for each sign of life.
    """
    from authz_service.cli.facts_watch import watch_facts  # noqa: PLC0415  # heavy

    watch_facts(after, state, address=address, timeout_seconds=timeout, form=form)


@app.command(
    "export-person",
    cls=SettingsVerb,
    epilog="Example: authz facts export-person pat-river --actor jo.doe -o pat-river.json",
)
@over_tls
def export_person(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="The person.")],
    *,
    actor: Annotated[str, typer.Option(metavar="ID", help="The person who asks for it.")],
    file: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE|-", help="Where to; - is stdout.")
    ] = "-",
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = EXPORT_TIMEOUT,
) -> None:
    """Write out everything that is stored about a person, as one JSON document.

    For an access request. That it was asked for, and by whom, is recorded.
    """
    from authz_service.cli import facts_export_person as verb  # noqa: PLC0415  # heavy

    verb.export_person(person, actor, file, address=address, timeout_seconds=timeout, force=force)
