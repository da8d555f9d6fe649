"""The HTTP address where others can reach it: TLS, a token, and room for every scraper."""

from __future__ import annotations

import json
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner, Result

from authz_service.app import StartError
from authz_service.cli.verbs import app
from tests.certificates import Estate
from tests.e2e.client import eventually
from tests.e2e.crew import free_ports, serving_crew
from tests.e2e.scraping import NEW, OLD, fetched, put_tokens, shown_serial
from tests.service_process import ServiceProcess
from tests.service_thread import ServiceThread, serving, untried_policy

ANYWHERE = "0.0.0.0:0"


def url_of(address: str, path: str = "/metrics") -> str:
    """Return where a scraper asks."""
    return f"https://localhost:{address.rpartition(':')[2]}{path}"


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, shared_estate: Estate
) -> Iterator[ServiceThread]:
    """A service with its HTTP address open to others."""
    folder = tmp_path_factory.mktemp("open")
    token = put_tokens(folder / "token", OLD)
    settings = {**shared_estate.settings, "http_listen": ANYWHERE, "http_token_file": token}
    with serving(folder, **settings) as served:
        yield served


def test_a_scraper_with_the_token_is_answered_over_tls(
    service: ServiceThread, shared_estate: Estate
) -> None:
    context = shared_estate.context()

    metrics = fetched(url_of(service.http_address), OLD, context)
    health = fetched(url_of(service.http_address, "/healthz"), OLD, context)

    assert (metrics.status, health.status) == (200, 200)
    assert "authz_serving 1.0" in metrics.text
    assert json.loads(health.text)["status"] == "SERVING"


def test_without_it_nothing_is_told(service: ServiceThread, shared_estate: Estate) -> None:
    context = shared_estate.context()
    before = refused(service, context)

    answers = {
        fetched(url_of(service.http_address, path), token, context)
        for path in ("/metrics", "/healthz", "/workers", "/nothing")
        for token in ("", NEW)
    }

    assert answers == {
        (401, "", 'Bearer realm="authz"'),
        (401, "", 'Bearer realm="authz", error="invalid_token"'),
    }
    assert refused(service, context) == before + 8


def refused(service: ServiceThread, context: ssl.SSLContext) -> float:
    """Return how many requests were refused."""
    text = fetched(url_of(service.http_address), OLD, context).text
    [line] = [line for line in text.splitlines() if line.startswith("authz_http_refused_total ")]
    return float(line.split()[1])


def test_plaintext_and_old_tls_are_not_spoken(
    service: ServiceThread, shared_estate: Estate
) -> None:
    port = int(service.http_address.rpartition(":")[2])
    old = shared_estate.context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    plain = fetched(f"http://127.0.0.1:{port}/metrics", OLD)
    with socket.create_connection(("127.0.0.1", port)) as sock, pytest.raises(ssl.SSLError):
        old.wrap_socket(sock, server_hostname="localhost")

    assert plain.status == 0


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01"], ids=["silent", "half-a-handshake"])
def test_two_hundred_slow_connections_keep_no_scraper_out(
    service: ServiceThread, shared_estate: Estate, begun: bytes
) -> None:
    port, context = int(service.http_address.rpartition(":")[2]), shared_estate.context()
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for sock in slow:
        sock.send(begun)

    scraped = [fetched(url_of(service.http_address), OLD, context, 2).status for _ in range(3)]

    assert scraped == [200, 200, 200]
    for sock in slow:
        sock.close()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("http_token_file", "set AUTHZ_HTTP_TOKEN_FILE as well"),
        ("tls_cert", "AUTHZ_TLS_CERT must be set as well"),
    ],
)
def test_it_does_not_start_without_what_protects_it(
    tmp_path: Path, shared_estate: Estate, setting: str, said: str
) -> None:
    token = put_tokens(tmp_path / "token", OLD)
    settings = {**shared_estate.settings, "http_listen": ANYWHERE, "http_token_file": token}

    with pytest.raises(StartError, match=said), serving(tmp_path, **{**settings, setting: None}):
        pass

    assert {path.name for path in tmp_path.iterdir()} == {"token"}


def test_on_loopback_a_token_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    token = put_tokens(tmp_path / "token", OLD)

    with serving(tmp_path, http_token_file=token) as service:
        url = f"http://{service.http_address}/metrics"
        found = [fetched(url, shown).status for shown in ("", NEW, OLD)]

    assert found == [401, 401, 200]


def test_a_token_file_that_cannot_be_used_is_no_start(tmp_path: Path) -> None:
    token = put_tokens(tmp_path / "token", "s3cret-and-short")

    with (
        pytest.raises(StartError, match="line 1 is shorter than 32 characters") as refusal,
        serving(tmp_path, http_token_file=token),
    ):
        pass

    assert "s3cret" not in str(refusal.value)


class OpenCrew(NamedTuple):
    """Workers whose HTTP addresses are open to others, and the files that protect them."""

    service: ServiceProcess
    estate: Estate
    token: Path

    @property
    def ports(self) -> list[int]:
        """Where the parent serves, then each worker."""
        own = int(self.service.http_address.rpartition(":")[2])
        return [own, own + 1, own + 2]

    def statuses(self, token: str) -> set[int]:
        """Return what who shows *token* is answered, at any of them."""
        context = self.estate.context()
        return {fetched(url_of(f"localhost:{port}"), token, context).status for port in self.ports}


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenCrew]:
    """Two workers, for tests that leave the old token behind."""
    folder = tmp_path_factory.mktemp("crew")
    estate, token = Estate(tmp_path_factory.mktemp("estate")), put_tokens(folder / "token", OLD)
    settings = {
        "AUTHZ_HTTP_LISTEN": f"0.0.0.0:{free_ports(3)}",
        "AUTHZ_HTTP_TOKEN_FILE": str(token),
        "AUTHZ_POLICY_DIR": str(untried_policy()),
    }
    with serving_crew(folder, 2, **estate.environment, **settings) as service:
        yield OpenCrew(service, estate, token)


@pytest.mark.slow
def test_each_worker_is_protected_as_their_parent_is(crew: OpenCrew) -> None:
    service, estate, token = crew

    overview = fetched(url_of(service.http_address, "/workers"), OLD, estate.context())
    served = [crew.statuses(token) for token in ("", NEW, OLD)]
    shown = asked(service.address, service.http_address, token, estate, "status")

    ports = [worker["http_port"] for worker in json.loads(overview.text)["workers"]]
    assert ports == crew.ports[1:]
    assert served == [{401}, {401}, {200}]
    found = json.loads(shown.stdout)
    assert (shown.exit_code, found["silent"]) == (0, [])
    assert [worker["silence"] for worker in found["workers"]] == ["", ""]


@pytest.mark.slow
def test_token_and_certificate_are_replaced_while_it_serves(crew: OpenCrew) -> None:
    service, estate, token = crew
    context, renewed = estate.context(), estate.ca.server()
    serial = renewed.certificate.serial_number

    put_tokens(token, NEW, OLD)
    eventually(lambda: crew.statuses(NEW) == {200})
    both = crew.statuses(OLD)
    estate.put_server(renewed)
    eventually(lambda: {shown_serial(port, context) for port in crew.ports} == {serial})
    put_tokens(token, NEW)
    eventually(lambda: crew.statuses(OLD) == {401})
    put_tokens(token, "short")
    eventually(lambda: refused_tokens(service) == 3)
    last = crew.statuses(NEW)
    put_tokens(token, OLD)
    eventually(lambda: crew.statuses(OLD) == {200})

    assert (both, last) == ({200}, {200})
    log = service.log.read_text(encoding="utf-8")
    assert OLD not in log
    assert NEW not in log


def refused_tokens(service: ServiceProcess) -> int:
    """Return how often a token file was not taken, by the parent or a worker."""
    events = service.events("http_guard_refused")
    return [event["what"] for event in events].count("token file")


def asked(
    address: str, http_address: str, token: Path | None, estate: Estate, *words: str
) -> Result:
    """Run `authz` with a certificate, and maybe a token."""
    env = {
        **estate.client_files(),
        "AUTHZ_LISTEN": address,
        "AUTHZ_HTTP_LISTEN": f"0.0.0.0:{http_address.rpartition(':')[2]}",
        "AUTHZ_HTTP_TOKEN_FILE": str(token) if token else None,
    }
    return CliRunner().invoke(app, [*words, "--format", "json"], env=env)


def test_the_status_of_a_service_that_asks_for_a_token_says_which_file_to_name(
    service: ServiceThread, shared_estate: Estate, tmp_path: Path
) -> None:
    right, wrong = put_tokens(tmp_path / "right", OLD), put_tokens(tmp_path / "wrong", NEW)
    at = service.address, service.http_address

    found = [
        json.loads(asked(*at, token, shared_estate, "status").stdout)
        for token in (right, wrong, None)
    ]

    assert found[0]["silent"] == []
    assert f"does not accept the token of {wrong}" in found[1]["silent"][0]
    assert "asks for a token: --http-token-file or AUTHZ_HTTP_TOKEN_FILE" in found[2]["silent"][0]
    assert all(each["serving"] for each in found)
