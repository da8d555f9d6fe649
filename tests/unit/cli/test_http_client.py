"""The way to the HTTP address: TLS off loopback, no token where others read it, clear failures."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.cli.console_client import read_console
from authz_service.cli.http_client import Credentials, SilenceError, Target, fetch, target_of
from authz_service.console.guard import Guard, GuardFiles
from authz_service.console.http import Console
from tests.certificates import Estate, authority

TOKEN = "the-right-token-" + "a" * 30
OTHER = "another-token-" + "b" * 30


@pytest.fixture(scope="module")
def folder(shared_estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens, and CAs that are right and wrong."""
    folder = tmp_path_factory.mktemp("client")
    for name, token in (("token", TOKEN), ("two", f"{TOKEN}\n{OTHER}"), ("other", OTHER)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"{token}\n")
    (folder / "ca.pem").write_bytes(shared_estate.ca.pem)
    (folder / "other-ca.pem").write_bytes(authority("others").pem)
    (folder / "no-ca.pem").write_text("nonsense")
    return folder


@pytest.fixture(scope="module")
def port(shared_estate: Estate, folder: Path) -> Iterator[int]:
    """A console at every address of this machine, as a service serves it there."""
    cert, key = shared_estate.folder / "server.crt", shared_estate.folder / "server.key"
    guard = Guard("0.0.0.0:0", GuardFiles(folder / "token", cert, key))
    console = Console(
        "0.0.0.0:0",
        metrics=lambda: b"authz_facts_revision 7.0\n",
        content_type="text/plain",
        health=dict,
        guard=guard,
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield asyncio.run_coroutine_threadsafe(console.start(), loop).result(10)
    asyncio.run_coroutine_threadsafe(console.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:9464", Target("http", "127.0.0.1", 9464)),
        ("127.3.2.1:9464", Target("http", "127.3.2.1", 9464)),
        ("[::1]:9464", Target("http", "::1", 9464)),
        ("localhost:9464", Target("http", "localhost", 9464)),
        ("10.1.2.3:9464", Target("https", "10.1.2.3", 9464)),
        ("authz.internal:9464", Target("https", "authz.internal", 9464)),
        ("localhost.evil.example:1", Target("https", "localhost.evil.example", 1)),
        ("0.0.0.0:9464", Target("https", "127.0.0.1", 9464)),
        ("[::]:9464", Target("https", "::1", 9464)),
        ("https://127.0.0.1:9464", Target("https", "127.0.0.1", 9464)),
        ("http://10.1.2.3:9464", Target("http", "10.1.2.3", 9464)),
    ],
)
def test_it_is_spoken_to_as_it_is_served_there(address: str, target: Target) -> None:
    assert target_of(address) == target


@pytest.mark.parametrize(
    "address",
    [
        "", "127.0.0.1", "host:port", ":9464", "ftp://h:1", "https://h", "https://h:1/x", "h:1?x",
        "http://u:p@:1", "h:99999",
    ],
)  # fmt: skip
def test_what_is_no_address_says_so(address: str) -> None:
    with pytest.raises(SilenceError, match="is not an address and a port"):
        fetch(address, "/metrics", 1)


def test_who_shows_the_token_and_knows_the_ca_is_answered(port: int, folder: Path) -> None:
    shown = Credentials(folder / "two", folder / "ca.pem")

    for address in (f"https://127.0.0.1:{port}", f"https://localhost:{port}", f"0.0.0.0:{port}"):
        assert fetch(address, "/metrics", 5, shown) == b"authz_facts_revision 7.0\n"
    reading = read_console(f"0.0.0.0:{port}", 5, shown)
    assert (reading.silence, reading.whole("authz_facts_revision")) == ("", 7)


@pytest.mark.parametrize(
    ("token", "ca", "said"),
    [
        pytest.param(
            "", "ca.pem", "asks for a token: --http-token-file or AUTHZ_HTTP_TOKEN_FILE", id="none"
        ),
        pytest.param("other", "ca.pem", "does not accept the token of .*other", id="wrong"),
        pytest.param("nowhere", "ca.pem", "AUTHZ_HTTP_TOKEN_FILE=.*no such file", id="missing"),
        pytest.param(
            "token", "other-ca.pem", "is not trusted .*--tls-ca or AUTHZ_SERVER_CA", id="other-ca"
        ),
        pytest.param("token", "", "is not trusted", id="no-ca"),
        pytest.param("token", "no-ca.pem", "no-ca.pem: .*no cert", id="nonsense-ca"),
        pytest.param("token", "nowhere", "nowhere: no such file", id="missing-ca"),
    ],
)
def test_who_is_not_answered_is_told_what_to_set(
    port: int, folder: Path, token: str, ca: str, said: str
) -> None:
    shown = Credentials(folder / token if token else None, folder / ca if ca else None)

    with pytest.raises(SilenceError, match=said) as silence:
        fetch(f"https://127.0.0.1:{port}", "/metrics", 5, shown)

    assert TOKEN not in str(silence.value)
    assert OTHER not in str(silence.value)
    assert read_console(f"https://127.0.0.1:{port}", 5, shown).silence == str(silence.value)


def test_the_service_is_known_by_another_name(port: int, folder: Path) -> None:
    right = Credentials(folder / "token", folder / "ca.pem", name="localhost")
    wrong = right._replace(name="another.example")

    assert fetch(f"https://127.0.0.1:{port}", "/metrics", 5, right)
    with pytest.raises(SilenceError, match="is not trusted"):
        fetch(f"https://127.0.0.1:{port}", "/metrics", 5, wrong)


def test_on_its_own_machine_its_own_certificate_is_trusted_and_no_other(
    port: int, folder: Path, shared_estate: Estate
) -> None:
    own = Credentials(folder / "token", pinned=shared_estate.folder / "server.crt")
    other = folder / "other.crt"
    other.write_bytes(shared_estate.ca.server().pem)

    assert fetch(f"0.0.0.0:{port}", "/metrics", 5, own)
    with pytest.raises(SilenceError, match="is not trusted"):
        fetch(f"0.0.0.0:{port}", "/metrics", 5, own._replace(pinned=other))


def test_who_has_a_certificate_of_the_same_intermediate_is_not_sent_the_token(
    folder: Path, shared_estate: Estate
) -> None:
    """The file has the intermediate in it, for callers; whom else that has signed is nobody."""
    intermediate = shared_estate.ca.intermediate()
    own, neighbour = folder / "own.crt", folder / "neighbour.pem"
    own.write_bytes(intermediate.server().chain)
    other = intermediate.client("spiffe://example.org/neighbour")
    neighbour.write_bytes(other.key_pem + other.chain)
    heard: list[bytes] = []

    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=_hear, args=(listening, neighbour, heard))
        answering.start()
        at = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(SilenceError, match=r"shows another certificate than .*own\.crt"):
            fetch(at, "/healthz", 5, Credentials(folder / "token", pinned=own))
        answering.join()

    assert heard == [b""]


def _hear(listening: socket.socket, shown: Path, heard: list[bytes]) -> None:
    """Accept one connection with the certificate in *shown*; keep what it says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown)
    accepted, _ = listening.accept()
    with context.wrap_socket(accepted, server_side=True) as spoken:
        spoken.settimeout(5)
        try:
            heard.append(spoken.recv(4096))
        except OSError:
            heard.append(b"")


def test_no_token_is_sent_where_others_can_read_it(folder: Path) -> None:
    with pytest.raises(SilenceError, match="no token is sent there; use https://"):
        fetch("http://192.0.2.7:9464", "/metrics", 1, Credentials(folder / "token"))


def test_plaintext_to_a_tls_port_is_a_silence(port: int) -> None:
    with pytest.raises(SilenceError, match="nothing answers at http://127"):
        fetch(f"http://127.0.0.1:{port}", "/metrics", 5)
