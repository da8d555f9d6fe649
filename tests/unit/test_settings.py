"""Settings: read strictly, and never repeated where they may hold a password."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from authz_service.cli.client_tls import VARIABLES
from authz_service.settings import CLIENT_VARIABLES, Settings, SettingsError, load_settings
from tests.marked import PASSWORD


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings({}, {})

    assert settings.model_dump() == {
        "listen": "127.0.0.1:50051",
        "http_listen": "127.0.0.1:9464",
        "registry_url": "sqlite:///var/registry.db",
        "journal_dir": Path("var/journal"),
        "decisions_url": "sqlite:///var/decisions.db",
        "policy_dir": Path("policies"),
        "callers_file": Path("policies/callers.csv"),
        "tls_cert": None,
        "tls_key": None,
        "client_ca": None,
        "health_listen": None,
        "http_token_file": None,
        "insecure_loopback": False,
        "fixed_clock": None,
        "facts_staleness_ms": 50,
        "facts_cache_entries": 200_000,
        "facts_history_days": 0,
        "emergency_minutes": 30,
        "denial_step_ms": 10,
        "journal_segment_bytes": 64 << 20,
        "journal_retention_hours": 168.0,
        "workers": 1,
        "reflection": False,
        "log_format": "auto",
        "drain_seconds": 10.0,
    }


def test_every_setting_is_read_from_the_environment() -> None:
    environment = {
        "AUTHZ_LISTEN": "[::1]:1",
        "AUTHZ_HTTP_LISTEN": "127.0.0.1:2",
        "AUTHZ_REGISTRY_URL": "sqlite:///r.db",
        "AUTHZ_JOURNAL_DIR": "j",
        "AUTHZ_DECISIONS_URL": "none",
        "AUTHZ_POLICY_DIR": "p",
        "AUTHZ_CALLERS_FILE": "c.csv",
        "AUTHZ_TLS_CERT": "c.crt",
        "AUTHZ_TLS_KEY": "c.key",
        "AUTHZ_CLIENT_CA": "ca.crt",
        "AUTHZ_HEALTH_LISTEN": "127.0.0.1:3",
        "AUTHZ_HTTP_TOKEN_FILE": "t",
        "AUTHZ_INSECURE_LOOPBACK": "1",
        "AUTHZ_FIXED_CLOCK": "2020-06-09T16:00:00+02:00",
        "AUTHZ_FACTS_STALENESS_MS": "0",
        "AUTHZ_FACTS_CACHE_ENTRIES": "100",
        "AUTHZ_FACTS_HISTORY_DAYS": "365",
        "AUTHZ_EMERGENCY_MINUTES": "7",
        "AUTHZ_DENIAL_STEP_MS": "25",
        "AUTHZ_JOURNAL_SEGMENT_BYTES": "65536",
        "AUTHZ_JOURNAL_RETENTION_HOURS": "0.5",
        "AUTHZ_WORKERS": "2",
        "AUTHZ_REFLECTION": "true",
        "AUTHZ_LOG_FORMAT": "json",
        "AUTHZ_DRAIN_SECONDS": "1.5",
    }

    settings = load_settings({}, environment)

    assert len(environment) == len(Settings.model_fields)
    assert settings.fixed_clock == datetime(2020, 6, 9, 14, tzinfo=UTC)
    assert settings.insecure_loopback
    assert settings.reflection
    assert (settings.listen, settings.drain_seconds) == ("[::1]:1", 1.5)
    defaults = load_settings({}, {}).model_dump()
    assert not [name for name, value in settings.model_dump().items() if value == defaults[name]]


def test_what_the_command_line_asks_with_is_nothing_to_the_service() -> None:
    """`authz serve` runs in the environment in which `authz status` is run as well."""
    environment = dict.fromkeys(CLIENT_VARIABLES, "x")

    assert load_settings({}, environment) == load_settings({}, {})
    assert set(VARIABLES) == CLIENT_VARIABLES


def test_only_the_environment_that_is_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHZ_FACTS_STALENESS_MS", "7")

    assert load_settings({}, {}).facts_staleness_ms == 50
    assert load_settings({}).facts_staleness_ms == 7


def test_a_flag_goes_before_the_environment() -> None:
    environment = {"AUTHZ_FACTS_STALENESS_MS": "7", "AUTHZ_DRAIN_SECONDS": "3"}

    settings = load_settings({"facts_staleness_ms": 9, "drain_seconds": None}, environment)

    assert (settings.facts_staleness_ms, settings.drain_seconds) == (9, 3.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AUTHZ_FACTS_STALENESS_MS", "501"),
        ("AUTHZ_DENIAL_STEP_MS", "1001"),
        ("AUTHZ_DENIAL_STEP_MS", "-1"),
        ("AUTHZ_FACTS_STALENESS_MS", "-1"),
        ("AUTHZ_FACTS_STALENESS_MS", "soon"),
        ("AUTHZ_LISTEN", "localhost:50051"),
        ("AUTHZ_LISTEN", "127.0.0.1"),
        ("AUTHZ_LISTEN", "127.0.0.1:65536"),
        ("AUTHZ_LISTEN", ":50051"),
        ("AUTHZ_HTTP_LISTEN", "127.0.0.1:-1"),
        ("AUTHZ_HEALTH_LISTEN", "8080"),
        ("AUTHZ_HEALTH_LISTEN", ""),
        ("AUTHZ_REGISTRY_URL", ""),
        ("AUTHZ_FIXED_CLOCK", "2020-06-09T14:00:00"),
        ("AUTHZ_FIXED_CLOCK", "noon"),
        ("AUTHZ_INSECURE_LOOPBACK", "perhaps"),
        ("AUTHZ_LOG_FORMAT", "xml"),
        ("AUTHZ_DRAIN_SECONDS", "nan"),
        ("AUTHZ_JOURNAL_SEGMENT_BYTES", "1"),
        ("AUTHZ_FACTS_CACHE_ENTRIES", "1"),
        ("AUTHZ_DECISIONS_URL", ""),
        ("AUTHZ_JOURNAL_RETENTION_HOURS", "-1"),
        ("AUTHZ_WORKERS", "0"),
        ("AUTHZ_WORKERS", "65"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: "):
        load_settings({}, {name: text})


@pytest.mark.parametrize("name", ["AUTHZ_LISTENN", "AUTHZ_", "AUTHZ_SERVER_CERT"])
def test_an_unknown_setting_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is not a setting; .*AUTHZ_LISTEN"):
        load_settings({}, {name: "x", "PATH": "y"})


@pytest.mark.parametrize(
    "overrides",
    [{"registry_url": [f"postgresql://u:{PASSWORD}@h/d"]}, {"fixed_clock": PASSWORD}],
)
def test_what_is_refused_is_not_repeated(overrides: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(overrides, {})

    assert PASSWORD not in str(refused.value)


def test_the_image_keeps_all_that_is_written_in_one_place() -> None:
    """Whatever lies below var/ by default lies directly in the image's volume."""
    image = (Path(__file__).resolve().parents[2] / "Dockerfile").read_text(encoding="utf-8")
    defaults = load_settings({}, {}).model_dump()
    written = {name for name, value in defaults.items() if "var/" in str(value)}

    assert written == {"registry_url", "journal_dir", "decisions_url"}
    for name in written:
        assert re.search(rf"AUTHZ_{name.upper()}=\S*/var/lib/authz/\w", image), name


@pytest.mark.parametrize(
    ("other", "address", "health"),
    [
        ("AUTHZ_HTTP_LISTEN", "127.0.0.1:9464", "127.0.0.1:9464"),
        ("AUTHZ_LISTEN", "[::1]:6000", "[0:0::1]:6000"),
    ],
)
def test_the_health_address_is_its_own(other: str, address: str, health: str) -> None:
    with pytest.raises(SettingsError, match=f"^AUTHZ_HEALTH_LISTEN is {other} as well .*port"):
        load_settings({}, {other: address, "AUTHZ_HEALTH_LISTEN": health})


@pytest.mark.parametrize("health", ["127.0.0.1:0", "127.0.0.2:9464", "127.0.0.1:9465"])
def test_free_ports_and_other_addresses_are_as_they_were(health: str) -> None:
    listening = {"AUTHZ_HTTP_LISTEN": "127.0.0.1:9464", "AUTHZ_LISTEN": "127.0.0.1:0"}

    assert load_settings({}, {**listening, "AUTHZ_HEALTH_LISTEN": health}).health_listen == health
