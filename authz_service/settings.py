"""What an operator can set: read once, checked at the start, handed on as plain values."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

PREFIX = "AUTHZ_"
CLIENT_VARIABLES = frozenset(
    {"AUTHZ_SERVER_CA", "AUTHZ_SERVER_NAME", "AUTHZ_CLIENT_CERT", "AUTHZ_CLIENT_KEY"}
)
"""What the command line asks a service with; nothing to the service itself, and no mistake."""


_MARGIN_SECONDS = 10.0


class SettingsError(Exception):
    """A setting is wrong; the message names it and says what to do."""


def _listen_address(text: str) -> str:
    """Check that *text* is an IP address and a port."""
    host, separator, port = text.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        if separator and 0 <= int(port) <= 65535:  # noqa: PLR2004  # the range of ports
            return text
    except ValueError:
        pass
    message = "is not an IP address and a port, as in 127.0.0.1:50051"
    raise ValueError(message)


Listen = Annotated[str, AfterValidator(_listen_address)]


class Settings(BaseModel):
    """Settings of `authz serve` and of the commands that work on the same registry.

    Attributes:
        listen: Where gRPC is served. ``AUTHZ_LISTEN``.
        http_listen: Where ``/metrics`` and ``/healthz`` are served; off loopback with `tls_cert`,
            `tls_key` and `http_token_file` only. ``AUTHZ_HTTP_LISTEN``.
        registry_url: SQLAlchemy URL of the registry of facts. ``AUTHZ_REGISTRY_URL``.
        journal_dir: This replica's journal, or where those of its workers are.
            ``AUTHZ_JOURNAL_DIR``.
        decisions_url: SQLAlchemy URL of the decision store, to which the journal is shipped;
            ``none`` for no store: nothing is shipped or deleted then. ``AUTHZ_DECISIONS_URL``.
        policy_dir: The policy bundle. ``AUTHZ_POLICY_DIR``.
        callers_file: Who may ask what. ``AUTHZ_CALLERS_FILE``.
        tls_cert: The service's own certificate and what it was signed with, in PEM; with `tls_key`
            and `client_ca` gRPC is served by mTLS. ``AUTHZ_TLS_CERT``.
        tls_key: The key of `tls_cert`, in PEM. ``AUTHZ_TLS_KEY``.
        client_ca: Who signs callers' certificates, in PEM. ``AUTHZ_CLIENT_CA``.
        health_listen: Where probes are answered in plaintext: ``/livez``, ``/readyz`` and gRPC
            health; nowhere where it is not set. ``AUTHZ_HEALTH_LISTEN``.
        http_token_file: Bearer tokens, one a line, of which who asks the HTTP address has to show
            one. ``AUTHZ_HTTP_TOKEN_FILE``.
        insecure_loopback: Serve plaintext, on a loopback address only. The caller is then
            ``loopback``. ``AUTHZ_INSECURE_LOOPBACK``.
        fixed_clock: An instant at which time stands still; only with `insecure_loopback`.
            ``AUTHZ_FIXED_CLOCK``.
        facts_staleness_ms: Oldest look at the facts revision on which a check may rest, in
            milliseconds, 0 to 500. ``AUTHZ_FACTS_STALENESS_MS``.
        facts_cache_entries: Most subjects, recordings and patients held in memory, each.
            ``AUTHZ_FACTS_CACHE_ENTRIES``.
        facts_history_days: How long replaced and deleted facts are kept, in days, for questions
            about earlier instants; 0 for ever. ``AUTHZ_FACTS_HISTORY_DAYS``.
        emergency_minutes: How long an emergency access is open, in minutes, 1 to 1440.
            ``AUTHZ_EMERGENCY_MINUTES``.
        denial_step_ms: A denial leaves at steps of so many milliseconds from its call's arrival,
            0 to 1000, where the caller is not told the reason; 0 for at once, which tells it by
            the time that it took. ``AUTHZ_DENIAL_STEP_MS``.
        journal_segment_bytes: Size at which a segment of the journal is closed, in bytes.
            ``AUTHZ_JOURNAL_SEGMENT_BYTES``.
        journal_retention_hours: How long a closed segment is kept after all of it is in the
            decision store and was verified there, in hours. ``AUTHZ_JOURNAL_RETENTION_HOURS``.
        workers: How many processes share the port; where more than one, each has its journal in
            `journal_dir` and its metrics on a port after `http_listen`. ``AUTHZ_WORKERS``.
        reflection: Serve gRPC reflection. ``AUTHZ_REFLECTION``.
        log_format: ``json``, ``console``, or ``auto``: console on a terminal.
            ``AUTHZ_LOG_FORMAT``.
        drain_seconds: How long calls in flight may take at the end, in seconds.
            ``AUTHZ_DRAIN_SECONDS``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: Listen = "127.0.0.1:50051"
    http_listen: Listen = "127.0.0.1:9464"
    registry_url: str = Field(default="sqlite:///var/registry.db", min_length=1)
    journal_dir: Path = Path("var/journal")
    decisions_url: str = Field(default="sqlite:///var/decisions.db", min_length=1)
    policy_dir: Path = Path("policies")
    callers_file: Path = Path("policies/callers.csv")
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    health_listen: Listen | None = None
    http_token_file: Path | None = None
    insecure_loopback: bool = False
    fixed_clock: datetime | None = None
    facts_staleness_ms: int = Field(default=50, ge=0, le=500)
    facts_cache_entries: int = Field(default=200_000, ge=100, le=50_000_000)
    facts_history_days: int = Field(default=0, ge=0, le=36_500)
    emergency_minutes: int = Field(default=30, ge=1, le=1440)
    denial_step_ms: int = Field(default=10, ge=0, le=1000)
    journal_segment_bytes: int = Field(default=64 << 20, ge=1 << 16, le=1 << 40)
    journal_retention_hours: float = Field(default=168.0, ge=0.0, le=100_000.0)
    workers: int = Field(default=1, ge=1, le=64)
    reflection: bool = False
    log_format: Literal["auto", "json", "console"] = "auto"
    drain_seconds: float = Field(default=10.0, ge=0.0, le=600.0)

    @property
    def end_seconds(self) -> float:
        """How long a worker may take to end: calls, writes and shipping have that time each."""
        return 3 * self.drain_seconds + _MARGIN_SECONDS

    @field_validator("fixed_clock")
    @classmethod
    def _in_utc(cls, clock: datetime | None) -> datetime | None:
        """Ask for a zone, so that nobody's own is assumed."""
        if clock is None:
            return None
        if clock.tzinfo is None:
            message = "has no time zone; write it as in 2020-06-09T14:00:00Z"
            raise ValueError(message)
        try:
            return clock.astimezone(UTC)
        except OverflowError:
            message = "is outside of the years 1 to 9999 in UTC"
            raise ValueError(message) from None

    @model_validator(mode="after")
    def _fixed_clock_on_loopback_only(self) -> Self:
        """Refuse a clock that stands still anywhere but on insecure loopback."""
        if self.fixed_clock is not None and not self.insecure_loopback:
            message = "AUTHZ_FIXED_CLOCK needs AUTHZ_INSECURE_LOOPBACK; it is for trials"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _health_address_of_its_own(self) -> Self:
        """Refuse a health address that is another's; port 0 is a free one for each."""
        others = {"AUTHZ_LISTEN": self.listen, "AUTHZ_HTTP_LISTEN": self.http_listen}
        for name, address in others.items() if self.health_listen else ():
            place = _place(address)
            if place[1] and place == _place(str(self.health_listen)):
                message = f"AUTHZ_HEALTH_LISTEN is {name} as well ({address}); give it another port"
                raise ValueError(message)
        return self


def _place(address: str) -> tuple[str, int]:
    """Return *address* so that two spellings of one place are equal."""
    host, _, port = address.rpartition(":")
    return ipaddress.ip_address(host.strip("[]")).compressed, int(port)


def load_settings(
    overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of *environment*, those of *overrides* going first.

    Raises:
        SettingsError: A value is wrong, or an ``AUTHZ_*`` variable is not known.
    """
    present = os.environ if environment is None else environment
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        name for name in present if name.startswith(PREFIX) and name not in known | CLIENT_VARIABLES
    )
    if unknown:
        names = ", ".join(sorted(known))
        message = f"{unknown[0]} is not a setting; the settings are {names}"
        raise SettingsError(message)
    set_there = {
        name: present[PREFIX + name.upper()]
        for name in Settings.model_fields
        if PREFIX + name.upper() in present
    }
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**{**set_there, **given})
    except ValidationError as wrong:
        raise SettingsError("\n".join(_line(error) for error in wrong.errors())) from None


def _line(error: Any) -> str:
    """Return one complaint, naming the variable and never the value, which may hold a password."""
    where = "".join(f"{PREFIX}{str(part).upper()}: " for part in error["loc"])
    return where + str(error["msg"]).removeprefix("Value error, ")
