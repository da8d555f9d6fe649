"""Settings under which the service does not start, and what it says then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authz_service.app import StartError
from authz_service.settings import SettingsError, load_settings
from tests.e2e.client import client_of
from tests.marked import PASSWORD
from tests.service_process import refused_start, serving_process
from tests.service_thread import serving


def test_plaintext_is_not_served_unless_asked_for(tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match=r"set AUTHZ_TLS_CERT, .*; or set AUTHZ_INSECURE_LOOPBACK"),
        serving(tmp_path, insecure_loopback=False),
    ):
        pass


@pytest.mark.parametrize("setting", ["listen", "http_listen"])
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0"])
def test_plaintext_is_not_served_where_others_can_reach_it(
    tmp_path: Path, setting: str, address: str
) -> None:
    with (
        pytest.raises(StartError, match=f"AUTHZ_{setting.upper()}=.*is not a loopback address"),
        serving(tmp_path, **{setting: address}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({}, "needs AUTHZ_INSECURE_LOOPBACK", id="not-on-loopback"),
        pytest.param(
            {"insecure_loopback": False}, "needs AUTHZ_INSECURE_LOOPBACK", id="loopback-off"
        ),
    ],
)
def test_time_stands_still_in_trials_only(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings({"fixed_clock": "2020-06-09T14:00:00Z", **settings}, {})


@pytest.mark.slow
def test_the_clock_stands_still_where_it_was_set(tmp_path: Path) -> None:
    with (
        serving_process(tmp_path, AUTHZ_FIXED_CLOCK="2020-06-09T16:00:00+02:00") as service,
        client_of(service) as client,
    ):
        assert client.check().evaluated_at.ToJsonString() == "2020-06-09T14:00:00Z"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"AUTHZ_POLICY_DIRR": "x"}, "AUTHZ_POLICY_DIRR is not a setting", id="typo"),
        pytest.param(
            {"AUTHZ_REGISTRY_URL": f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/d"},
            "does not answer",
            id="password",
        ),
    ],
)
def test_a_process_says_what_is_wrong_and_no_password(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    code, text = refused_start(tmp_path, **settings)

    assert code != 0
    assert said in text
    assert PASSWORD not in text
    assert "Traceback" not in text


def test_a_database_that_cannot_hold_decisions_is_refused(tmp_path: Path) -> None:
    """One that does not answer is waited for; one that never can is a slip in the settings."""
    with (
        pytest.raises(StartError, match="its URL has to be sqlite:///path or postgresql") as error,
        serving(tmp_path, decisions_url=f"mysql://jo:{PASSWORD}@db/decisions"),
    ):
        pass
    assert PASSWORD not in str(error.value)
