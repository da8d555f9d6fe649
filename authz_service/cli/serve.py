"""`authz serve`: the service itself, with a flag for every setting."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = """Examples:

authz serve --insecure-loopback

authz serve --tls-cert server.crt --tls-key server.key --client-ca ca.crt --listen 0.0.0.0:50051

authz serve --insecure-loopback --listen 127.0.0.1:6000 --registry-url sqlite:///var/demo/registry.db
"""

_LOCATIONS, _TRIALS, _TUNING = "Where things are", "For trials on one machine", "Tuning"
_CERTIFICATES = "Callers with certificates: all three, replaced on disk at any time"


def serve(  # noqa: PLR0913  # one flag for each setting
    *,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            envvar="AUTHZ_LISTEN",
            help="Serve gRPC here.",
            show_default="127.0.0.1:50051",
        ),
    ] = None,
    http_listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            envvar="AUTHZ_HTTP_LISTEN",
            help="Serve /metrics and /healthz here; worker n: n ports on.",
            show_default="127.0.0.1:9464",
        ),
    ] = None,
    http_token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            envvar="AUTHZ_HTTP_TOKEN_FILE",
            help="Ask for a bearer token of this file there; needed off loopback.",
            show_default="none",
        ),
    ] = None,
    health_listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            envvar="AUTHZ_HEALTH_LISTEN",
            help="Answer probes here, in plaintext.",
            show_default="nowhere",
        ),
    ] = None,
    registry_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            rich_help_panel=_LOCATIONS,
            envvar="AUTHZ_REGISTRY_URL",
            help="The registry of facts.",
            show_default="sqlite:///var/registry.db",
        ),
    ] = None,
    journal_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_LOCATIONS,
            envvar="AUTHZ_JOURNAL_DIR",
            help="This replica's journal.",
            show_default="var/journal",
        ),
    ] = None,
    decisions_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            rich_help_panel=_LOCATIONS,
            envvar="AUTHZ_DECISIONS_URL",
            help="The decision store; none for none.",
            show_default="sqlite:///var/decisions.db",
        ),
    ] = None,
    policy_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_LOCATIONS,
            envvar="AUTHZ_POLICY_DIR",
            help="The policy bundle.",
            show_default="policies",
        ),
    ] = None,
    callers_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_LOCATIONS,
            envvar="AUTHZ_CALLERS_FILE",
            help="Who may ask what.",
            show_default="policies/callers.csv",
        ),
    ] = None,
    tls_cert: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_CERTIFICATES,
            envvar="AUTHZ_TLS_CERT",
            help="The service's certificate, then who signed it; PEM, as all three.",
            show_default="none",
        ),
    ] = None,
    tls_key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_CERTIFICATES,
            envvar="AUTHZ_TLS_KEY",
            help="The key of that certificate.",
            show_default="none",
        ),
    ] = None,
    client_ca: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_CERTIFICATES,
            envvar="AUTHZ_CLIENT_CA",
            help="Who signs callers' certificates.",
            show_default="none",
        ),
    ] = None,
    insecure_loopback: Annotated[
        bool | None,
        typer.Option(
            "--insecure-loopback/--no-insecure-loopback",
            rich_help_panel=_TRIALS,
            envvar="AUTHZ_INSECURE_LOOPBACK",
            help="Serve plaintext, on a loopback address.",
            show_default="off",
        ),
    ] = None,
    fixed_clock: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            rich_help_panel=_TRIALS,
            envvar="AUTHZ_FIXED_CLOCK",
            help="Let time stand still.",
            show_default="the machine's time",
        ),
    ] = None,
    facts_staleness_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_FACTS_STALENESS_MS",
            help="Oldest look at the facts to rest on.",
            show_default="50",
        ),
    ] = None,
    facts_cache_entries: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_FACTS_CACHE_ENTRIES",
            help="Facts held in memory, of each kind.",
            show_default="200000",
        ),
    ] = None,
    facts_history_days: Annotated[
        str | None,
        typer.Option(
            metavar="DAYS",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_FACTS_HISTORY_DAYS",
            help="How long replaced facts are kept; 0 for ever.",
            show_default="0",
        ),
    ] = None,
    emergency_minutes: Annotated[
        str | None,
        typer.Option(
            metavar="MINUTES",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_EMERGENCY_MINUTES",
            help="How long an emergency access is open.",
            show_default="30",
        ),
    ] = None,
    denial_step_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_DENIAL_STEP_MS",
            help="Steps at which denials without a reason leave.",
            show_default="10",
        ),
    ] = None,
    journal_segment_bytes: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_JOURNAL_SEGMENT_BYTES",
            help="Where a file of the journal ends.",
            show_default="67108864",
        ),
    ] = None,
    journal_retention_hours: Annotated[
        str | None,
        typer.Option(
            metavar="H",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_JOURNAL_RETENTION_HOURS",
            help="How long shipped files of the journal stay.",
            show_default="168",
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_WORKERS",
            help="Processes that share the port, each with its own metrics.",
            show_default="1",
        ),
    ] = None,
    reflection: Annotated[
        bool | None,
        typer.Option(
            "--reflection/--no-reflection",
            rich_help_panel=_TRIALS,
            envvar="AUTHZ_REFLECTION",
            help="Serve gRPC reflection.",
            show_default="off",
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_LOG_FORMAT",
            help="auto, json or console: the log on stderr.",
            show_default="auto",
        ),
    ] = None,
    drain_seconds: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            rich_help_panel=_TUNING,
            envvar="AUTHZ_DRAIN_SECONDS",
            help="Time for calls in flight at the end.",
            show_default="10",
        ),
    ] = None,
) -> None:
    """Answer questions until SIGTERM; SIGHUP reads the policy again.

    A flag goes before the environment variable of the same name.
    """
    from authz_service import launch  # noqa: PLC0415  # heavy
    from authz_service.settings import load_settings  # noqa: PLC0415  # heavy

    settings = load_settings(
        {
            "listen": listen,
            "http_listen": http_listen,
            "http_token_file": http_token_file,
            "health_listen": health_listen,
            "registry_url": registry_url,
            "journal_dir": journal_dir,
            "decisions_url": decisions_url,
            "policy_dir": policy_dir,
            "callers_file": callers_file,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "client_ca": client_ca,
            "insecure_loopback": insecure_loopback,
            "fixed_clock": fixed_clock,
            "facts_staleness_ms": facts_staleness_ms,
            "facts_cache_entries": facts_cache_entries,
            "facts_history_days": facts_history_days,
            "emergency_minutes": emergency_minutes,
            "denial_step_ms": denial_step_ms,
            "journal_segment_bytes": journal_segment_bytes,
            "journal_retention_hours": journal_retention_hours,
            "workers": workers,
            "reflection": reflection,
            "log_format": log_format,
            "drain_seconds": drain_seconds,
        }
    )
    raise typer.Exit(launch.run(settings))
