"""What docs/callers.md has people try: the example estate, the demo's registry, and a client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from authz_service.cli.client_tls import VARIABLES
from authz_service.cli.verbs import app
from authz_service.clocks import SystemClock
from authz_service.demo.__main__ import WORLD
from authz_service.facts.importer import FactsImporter
from authz_service.facts.schema_version import migrate
from tests.service_thread import ServiceThread, serving

ROOT = Path(__file__).resolve().parents[2]
ESTATE = ROOT / "examples" / "callers.estate.csv"
GUIDE = (ROOT / "docs" / "callers.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of the example estate in var/certs."""
    folder = tmp_path_factory.mktemp("trial")
    certs = str(folder / "var/certs")
    made = CliRunner().invoke(app, ["dev-certs", certs, "--callers", str(ESTATE)])
    assert made.exit_code == 0, made.output
    assert "authz check pat-river rec-river-1 --tenant north-practice\n" in made.stdout
    return folder


@pytest.fixture(scope="module")
def logs() -> list[Any]:
    """What was logged at the start."""
    return []


@pytest.fixture(scope="module")
def service(folder: Path, logs: list[Any]) -> Iterator[ServiceThread]:
    """The demo's registry, served to that estate."""
    registry, certs = f"sqlite:///{folder / 'registry.db'}", folder / "var/certs"
    migrate(registry)
    importer = FactsImporter(registry, SystemClock())
    importer.import_file(WORLD, actor="demo", progress=lambda _summary: None)
    importer.close()
    settings = {
        "insecure_loopback": False,
        "registry_url": registry,
        "callers_file": ESTATE,
        "tls_cert": certs / "server.crt",
        "tls_key": certs / "server.key",
        "client_ca": certs / "ca.crt",
    }
    with capture_logs() as said, serving(folder, **settings) as service:
        logs += said
        yield service


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        pytest.param(("--tenant", "north-practice"), 0, "ALLOW", id="allowed"),
        pytest.param(
            ("--tenant", "north-practice", "--action", "EXPORT"), 1, "may not ask", id="refused"
        ),
        pytest.param((), 2, "tenant_id (--tenant): is missing", id="no-tenant"),
    ],
)
def test_the_gateway_is_answered_as_its_row_says(
    service: ServiceThread, folder: Path, more: tuple[str, ...], code: int, said: str
) -> None:
    names = ("ca.crt", "media-gateway.crt", "media-gateway.key")
    shown = [str(folder / "var/certs" / name) for name in names]
    environment = {"AUTHZ_LISTEN": service.address, **dict(zip(VARIABLES, shown, strict=False))}

    result = CliRunner().invoke(app, ["check", "pat-river", "rec-river-1", *more], env=environment)

    assert (result.exit_code, said in result.output) == (code, True), result.output


def test_the_client_in_the_guide_is_answered(
    service: ServiceThread, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    monkeypatch.chdir(folder)
    said: dict[str, Any] = {}

    exec(found[1].replace("127.0.0.1:50051", service.address), said)  # noqa: S102  # our own words

    assert said["may_view"] is True
    assert said["answer"].effect == said["words"].EFFECT_ALLOW


def test_a_start_says_who_is_known_and_over_what(service: ServiceThread, logs: list[Any]) -> None:
    assert service.address
    [line] = [line for line in logs if line["event"] == "callers_in_force"]

    assert (line["log_level"], line["callers"], line["over"]) == ("info", 7, "tls")
    assert len(line["callers_revision"]) == 64
