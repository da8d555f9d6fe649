"""What a service knows and must not tell: passwords, keys, page tokens, what people typed."""

from __future__ import annotations

import base64
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from authz_service.api.v1 import facts_pb2
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.cli.verbs import app
from tests.e2e.breakage import connected
from tests.e2e.client import Client, client_of, failing
from tests.e2e.clinic import FACTS, SEEN, fact, recorded
from tests.e2e.crew import await_serving, serving_crew
from tests.marked import BIRTH_DATE, FREE_TEXT, PASSWORD
from tests.postgres import new_database
from tests.service_process import ServiceProcess, environment, refused_start
from tests.wire import fill

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


def key_of(registry: str) -> str:
    """Return the key that page tokens are signed with, in hex as the registry has it."""
    with connected(registry) as connection:
        row: Any = connection.execute("SELECT value FROM service_keys").fetchone()
    return str(row[0])


def dropped(registry: str) -> None:
    """Take the registry away from everybody."""
    name = make_url(registry).database
    with connected(registry, "postgres") as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def lived(client: Client) -> list[str]:
    """Do what services are asked to do, well and badly; return the page tokens that came."""
    grant = fact("grant", id="g", kind="LEGAL", subject_id="ines", patient_id="mara",
                 actions=["VIEW"], valid_from=SEEN, reason=FREE_TEXT)  # fmt: skip
    client.write([*FACTS, *recorded("rec-other", "mara"), grant])
    client.check()
    page = pb.ListRecordingsRequest(page_size=1)
    fill(page, {"subject": {"id": "mara"}, "context": {"purpose_of_use": "PATRQT"}})
    token = client.access.ListRecordings(page, timeout=10).next_page_token
    page.page_token = token
    client.access.ListRecordings(page, timeout=10)
    fill(page, {"subject": {"id": "ines"}})
    failing(client.access.ListRecordings, page, timeout=10)
    resolving = {"recording_id": "rec-mara", "reason": FREE_TEXT, "actor": "operator"}
    failing(client.facts.ResolveConflict, facts_pb2.ResolveConflictRequest(**resolving), timeout=10)
    return [token]


def told_by(service: ServiceProcess, client: Client, settings: dict[str, str]) -> dict[str, str]:
    """Return what the service and the commands beside it show to whoever looks."""
    pages = {path: client.http(path)[1] for path in ("/healthz", "/metrics", "/workers")}
    parent = psutil.Process(service.pid)
    for one in (parent, *parent.children(recursive=True)):  # which everybody here can read
        pages[f"ps {one.pid}"] = " ".join(one.cmdline())
    at = {"AUTHZ_LISTEN": service.address, "AUTHZ_HTTP_LISTEN": service.http_address}
    verbs = (["status"], ["status", "--format", "json"], ["doctor"], ["doctor", "--format", "json"])
    return pages | {
        " ".join(words): CliRunner().invoke(app, words, env={**settings, **at}).output
        for words in verbs
    }


def test_a_service_tells_no_secret_while_it_lives_nor_when_its_registry_goes(
    tmp_path: Path,
) -> None:
    """Log, journal, pages and commands, over a whole life of a parent with two workers."""
    registry, decisions = new_database(), new_database()
    urls = {"AUTHZ_REGISTRY_URL": registry, "AUTHZ_DECISIONS_URL": decisions}
    with serving_crew(tmp_path, 2, **urls) as service:
        await_serving(service, 2)
        settings = environment(tmp_path, urls)
        with client_of(service) as client:
            tokens = lived(client)
            key = key_of(registry)
            told = told_by(service, client, settings)
            dropped(registry)
            failing(client.check)
            client.await_health(serving=False)
            after = told_by(service, client, settings)
        service.signal(signal.SIGTERM)
        service.wait()
        told |= {f"{name}, later": text for name, text in after.items()}
        told["log"] = service.log.read_text(encoding="utf-8")
    for path in (tmp_path / "journal").rglob("segment-*"):
        told[str(path)] = path.read_text(encoding="utf-8")

    encoded = base64.b64encode(bytes.fromhex(key)).decode()
    secrets = [PASSWORD, FREE_TEXT, BIRTH_DATE, key, encoded, *tokens]
    assert [(name, one) for name, text in told.items() for one in secrets if one in text] == []
    assert "rpc_unavailable" in told["log"]
    assert sum("segment" in name for name in told) >= 2
    assert sum(name.startswith("ps ") for name in told) >= 3
    assert all(len(token) > 80 for token in tokens)


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        pytest.param({}, 11, "does not answer", id="alone"),
        pytest.param({"AUTHZ_WORKERS": "2"}, 11, "does not answer", id="workers"),
    ],
)
def test_a_start_that_fails_repeats_no_password(
    tmp_path: Path, settings: dict[str, str], code: int, said: str
) -> None:
    """The database lets nobody in: the message says which setting to look at, not what it holds."""
    url = f"postgresql+psycopg://jo:{PASSWORD}@127.0.0.1:1/facts?password={PASSWORD}"

    ended, text = refused_start(tmp_path, AUTHZ_REGISTRY_URL=url, **settings)

    assert (ended, said in text) == (code, True)
    assert PASSWORD not in text
