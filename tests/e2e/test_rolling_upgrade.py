"""A registry is upgraded under running services: they answer rightly, or say that they do not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authz_service.app import StartError
from authz_service.facts.schema_version import SchemaState, schema_state
from tests.contract.facts.released_registries import VERSIONS, made_as_released
from tests.e2e.client import ALLOWED, Client, client_of, failing, question, write_request
from tests.e2e.clinic import FACTS, LATER, delegation, patient
from tests.later_program import later_command
from tests.service_process import serving_process
from tests.service_thread import serving, untried_policy

FAMILY: dict[str, Any] = {"context": {"purpose_of_use": "FAMRQT"}}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_service_on_a_released_registry_answers_as_before(
    version: str, either_url: str, tmp_path: Path
) -> None:
    made_as_released(either_url, version)

    with serving(tmp_path, registry_url=either_url) as service, client_of(service) as client:
        assert client.outcome("mara", "rec-mara") == ALLOWED
        assert client.outcome("olga", "rec-lio", **FAMILY) == ALLOWED
        assert client.outcome("ines", "rec-mara")[0] == "DENY"
        assert client.outcome("mara", "rec-ines")[0] == "DENY"
        assert client.outcome("ines", "rec-moved")[1] == "FACTS_CONFLICT"
        assert client.outcome("mara", "rec-moved")[1] == "FACTS_CONFLICT"
        assert client.outcome("mara", "rec-back") == ALLOWED
        assert client.outcome("mara", "rec-gone")[0] == "DENY"
        assert client.outcome("mara", "rec-contained")[1] == "CONTAINED"
        assert client.write([patient("new")]).facts_revision == 7


@pytest.fixture
def old(either_url: str, tmp_path: Path) -> Iterator[Client]:
    """A replica of the present program, with the clinic in its registry."""
    folder = tmp_path / "old"
    folder.mkdir()
    with serving_process(folder, **_settings(either_url)) as service, client_of(service) as client:
        client.write(FACTS)
        assert client.outcome() == ALLOWED
        yield client


def _settings(url: str) -> dict[str, str]:
    """Return the settings of a replica on the registry of *url*."""
    return {"AUTHZ_REGISTRY_URL": url, "AUTHZ_POLICY_DIR": str(untried_policy())}


def test_replicas_work_on_through_an_expansion_and_stop_at_a_contraction(
    either_url: str, old: Client, tmp_path: Path
) -> None:
    """A later program expands the registry and serves beside the old one; one more contracts it."""
    with (
        serving_process(
            tmp_path, later_command(tmp_path, "0005", "serve"), **_settings(either_url)
        ) as service,
        client_of(service) as new,
    ):
        assert schema_state(either_url) is SchemaState.LATER
        revision = old.write([delegation("by-the-old")]).facts_revision
        assert seen_by(new, revision) == ALLOWED
        revision = new.write([_REVOKED]).facts_revision
        assert seen_by(old, revision)[0] == "DENY"
        assert old.serving()
        _the_program_before_starts(either_url, tmp_path)

        subprocess.run(later_command(tmp_path, "0006", "migrate", either_url), check=True)
        old.await_health(serving=False)
        for call, request in (
            (old.access.CheckAccess, question("mara", "rec-mara")),
            (old.facts.WriteFacts, write_request([patient("ned")])),
        ):
            failure = failing(call, request, timeout=9)
            assert (failure.code, failure.reason) == ("UNAVAILABLE", "FACTS_UNAVAILABLE")
            assert "needs a program of version 0005 or later" in failure.message
        assert new.outcome() == ALLOWED
        assert new.write([patient("ned")]).written == 1
    _the_program_before_does_not_start(either_url, tmp_path)


_REVOKED = delegation("by-the-old", observed_at=LATER, revoked_at=LATER)


def seen_by(client: Client, revision: int) -> tuple[str, str]:
    """Ask whether Olga may, as of a write of another replica's."""
    return tuple(client.outcome("olga", "rec-lio", at_least_facts_revision=revision, **FAMILY))


def _the_program_before_starts(url: str, folder: Path) -> None:
    """A release that is taken back finds the registry that the later one has expanded."""
    place = folder / "before"
    place.mkdir()
    with serving(place, registry_url=url) as service, client_of(service) as client:
        assert client.outcome() == ALLOWED


def _the_program_before_does_not_start(url: str, folder: Path) -> None:
    with (
        pytest.raises(StartError, match="newer than this program; use the program's newer version"),
        serving(folder / "before", registry_url=url),
    ):
        pass
