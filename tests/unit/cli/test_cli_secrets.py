"""Passwords in settings: no command repeats one, however the URL is wrong that holds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.settings import Settings, SettingsError, load_settings
from authz_service.telemetry.tracebacks import told
from tests.marked import PASSWORD
from tests.unit.cli.cli_runs import run, small_bundle

SECRETS = {
    "registry_url": "may hold a password",
    "decisions_url": "may hold a password",
    "tls_key": "names a file with a key",
    "http_token_file": "names a file with a token",
}
"""The settings behind which there is a secret, and in which way."""
NO_SECRETS = {
    "listen", "http_listen", "health_listen", "journal_dir", "policy_dir", "callers_file",
    "tls_cert", "client_ca", "insecure_loopback", "fixed_clock", "facts_staleness_ms",
    "facts_cache_entries", "journal_segment_bytes", "journal_retention_hours", "workers",
    "reflection", "log_format", "drain_seconds", "denial_step_ms", "facts_history_days",
    "emergency_minutes",
}  # fmt: skip

URLS = [
    pytest.param(f"postgresql+psycopg://jo:{PASSWORD}@127.0.0.1:1/facts", id="nobody-there"),
    pytest.param(f"postgresql://jo@127.0.0.1:1/facts?password={PASSWORD}", id="as-an-option"),
    pytest.param(f"postgresql://jo@127.0.0.1:1/facts?sslpassword={PASSWORD}", id="of-a-key"),
    pytest.param(f"postgresql://jo:p@{PASSWORD}@127.0.0.1/facts", id="at-sign-in-it"),
    pytest.param(f"postgresql://jo:p@s:{PASSWORD}@127.0.0.1/facts", id="colon-after-at-sign"),
    pytest.param(f"postgresql://jo:p@s/{PASSWORD}@127.0.0.1/facts", id="slash-after-at-sign"),
    pytest.param(f"postgresql://jo:{PASSWORD}@127.0.0.1:port/facts", id="no-port"),
    pytest.param(f"postgresql://jo:{PASSWORD}@[::1/facts", id="half-an-address"),
    pytest.param(f"postgresql+pg8000://jo:{PASSWORD}@127.0.0.1/facts", id="another-driver"),
    pytest.param(f"mysql://jo:{PASSWORD}@127.0.0.1/facts", id="another-database"),
    pytest.param(f"no url but {PASSWORD}", id="no-url"),
]


@pytest.fixture(scope="module")
def small_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that is read in no time."""
    return small_bundle(tmp_path_factory.mktemp("policy"))


def test_it_is_known_of_every_setting_whether_a_secret_is_behind_it() -> None:
    """A new setting fails here until somebody has thought about what it gives away."""
    assert set(SECRETS) | NO_SECRETS == set(Settings.model_fields)
    assert not set(SECRETS) & NO_SECRETS


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "words",
    [
        pytest.param("doctor", id="doctor"),
        pytest.param("facts verify --format json", id="verify"),
        pytest.param("facts import - --actor jo", id="import"),
        pytest.param("facts resolve rec --actor jo --reason because", id="resolve"),
        pytest.param("check ana rec --offline", id="offline-check"),
        pytest.param("decisions ship . --decisions-url {url}", id="ship"),
        pytest.param("serve --insecure-loopback", id="serve"),
    ],
)
def test_no_command_repeats_a_password(
    words: str, url: str, tmp_path: Path, small_policy: Path
) -> None:
    """A start that fails, a look that fails, a verb that fails: the URL is named without it."""
    typed = [word.format(url=url) for word in words.split()]
    settings = {"AUTHZ_REGISTRY_URL": url, "AUTHZ_DECISIONS_URL": url}
    settings |= {"AUTHZ_JOURNAL_DIR": str(tmp_path), "AUTHZ_POLICY_DIR": str(small_policy)}

    result = run(*typed, typed="", env=settings)

    assert result.exit_code != 0
    assert PASSWORD not in result.output + result.stderr
    assert "unexpected" not in result.stderr, "an error that nobody foresaw may say anything"


@pytest.mark.parametrize("name", SECRETS)
def test_a_setting_of_the_wrong_kind_is_refused_without_its_value(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({name: [PASSWORD]}, {})

    assert f"AUTHZ_{name.upper()}" in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert PASSWORD not in told(refused.value)
