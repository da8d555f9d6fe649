"""What protects the HTTP address: complete from the start, and replaced while it serves."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from cryptography.x509.oid import ExtendedKeyUsageOID

from authz_service.console.guard import Guard, GuardError, GuardFiles
from tests.certificates import Estate

OLD, NEW = "old-token-" + "a" * 30, "new-token-" + "b" * 30
EVERYWHERE = "0.0.0.0:9464"
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.fixture
def files(estate: Estate) -> GuardFiles:
    """A token, a certificate and its key."""
    token = estate.folder / "token"
    put(token, OLD)
    return GuardFiles(token, estate.folder / "server.crt", estate.folder / "server.key")


@pytest.fixture
def logs() -> Iterator[list[dict[str, object]]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as captured:
        yield captured  # type: ignore[misc]  # events are mappings


def put(path: Path, text: str) -> None:
    """Write a file for its owner's eyes only, in one step."""
    new = path.with_name("new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def accepts(guard: Guard, token: str) -> bool:
    """Whether *token* is valid."""
    return guard.tokens is not None and guard.tokens.accept([f"Bearer {token}".encode()])


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something comes to hold."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("address", [EVERYWHERE, "[::]:9464", "192.0.2.7:9464", "[2001:db8::1]:1"])
@pytest.mark.parametrize(
    ("missing", "said"),
    [
        pytest.param(
            ("token", "certificate", "key"),
            "set AUTHZ_TLS_CERT, AUTHZ_TLS_KEY, AUTHZ_HTTP_TOKEN_FILE as well",
            id="everything",
        ),
        pytest.param(("token",), "set AUTHZ_HTTP_TOKEN_FILE as well", id="token"),
        pytest.param(("certificate",), "set AUTHZ_TLS_CERT as well", id="certificate"),
        pytest.param(("key",), "set AUTHZ_TLS_KEY as well", id="key"),
    ],
)
def test_where_others_can_reach_it_nothing_may_be_missing(
    files: GuardFiles, address: str, missing: tuple[str, ...], said: str
) -> None:
    with pytest.raises(GuardError) as refused:
        Guard(address, files._replace(**dict.fromkeys(missing)))

    assert f"AUTHZ_HTTP_LISTEN={address} is not a loopback address" in str(refused.value)
    assert said in str(refused.value)


def test_where_others_can_reach_it_there_is_tls_and_a_token(files: GuardFiles) -> None:
    guard = Guard(EVERYWHERE, files)

    assert guard.tls is not None
    assert guard.tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert guard.tls.verify_mode == ssl.CERT_NONE
    assert (accepts(guard, OLD), accepts(guard, NEW)) == (True, False)


def test_on_loopback_nothing_is_asked_for_unless_there_is_a_token(files: GuardFiles) -> None:
    bare, with_token = Guard("127.0.0.1:0", GuardFiles()), Guard("[::1]:0", files)

    assert (bare.tls, bare.tokens) == (None, None)
    assert with_token.tls is None
    assert accepts(with_token, OLD)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        pytest.param("token", "AUTHZ_HTTP_TOKEN_FILE=.*: is empty", id="token"),
        pytest.param("server.crt", "AUTHZ_TLS_CERT=.*: is no certificate", id="certificate"),
        pytest.param("server.key", "AUTHZ_TLS_KEY=.*: is no private key", id="key"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(files: GuardFiles, broken: str, said: str) -> None:
    assert files.token is not None
    put(files.token.with_name(broken), "")

    with pytest.raises(GuardError, match=said):
        Guard(EVERYWHERE, files)


def test_a_key_of_another_certificate_is_refused(estate: Estate, files: GuardFiles) -> None:
    put(estate.folder / "server.key", estate.ca.server().key_pem.decode())

    with pytest.raises(GuardError, match=r"AUTHZ_TLS_KEY=.*: the key does not fit"):
        Guard(EVERYWHERE, files)


def test_a_missing_certificate_is_refused(files: GuardFiles, tmp_path: Path) -> None:
    with pytest.raises(GuardError, match=r"AUTHZ_TLS_CERT=.*: cannot be read \(no such file"):
        Guard(EVERYWHERE, files._replace(certificate=tmp_path / "nowhere"))


def test_an_expired_certificate_is_refused(estate: Estate, files: GuardFiles) -> None:
    estate.put_server(estate.ca.server(lasts=timedelta(minutes=-1)))

    with pytest.raises(GuardError, match=r"AUTHZ_TLS_CERT=.*: the certificate expired at"):
        Guard(EVERYWHERE, files)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        pytest.param({"lasts": timedelta(minutes=-1)}, "expired at", id="expired"),
        pytest.param(
            {"begins": timedelta(minutes=30), "lasts": timedelta(hours=2)},
            "is not valid before",
            id="not-yet",
        ),
        pytest.param({"extended": [CLIENT_AUTH]}, "is not for servers", id="for-clients"),
    ],
)
async def test_what_callers_are_not_shown_is_not_shown_to_scrapers(
    estate: Estate,
    files: GuardFiles,
    logs: list[dict[str, object]],
    form: dict[str, object],
    said: str,
) -> None:
    """A renewed certificate that gRPC refuses changes nothing here either."""
    guard = Guard(EVERYWHERE, files)
    guard.start()
    first = guard.tls

    estate.put_server(estate.ca.server(**form))
    await eventually(lambda: any(said in str(line["why"]) for line in logs))
    await guard.close()

    assert guard.tls is first
    assert {line["event"] for line in logs} == {"http_guard_refused"}


async def test_a_token_is_rotated_through_two_valid_ones(
    files: GuardFiles, logs: list[dict[str, object]]
) -> None:
    assert files.token is not None
    guard = Guard("127.0.0.1:0", files)
    guard.start()

    put(files.token, f"{NEW}\n{OLD}\n")
    await eventually(lambda: accepts(guard, NEW))
    both = accepts(guard, OLD)
    put(files.token, f"{NEW}\n")
    await eventually(lambda: not accepts(guard, OLD))
    await guard.close()

    assert both
    assert accepts(guard, NEW)
    assert [(line["event"], line["what"]) for line in logs] == [
        ("http_guard_changed", "token file")
    ] * 2
    assert "token-" not in repr(logs)


@pytest.mark.parametrize("content", ["", "short", f"{NEW}\n{'x' * 8}"])
async def test_a_token_file_that_cannot_be_used_changes_nothing(
    files: GuardFiles, logs: list[dict[str, object]], content: str
) -> None:
    assert files.token is not None
    guard = Guard("127.0.0.1:0", files)
    guard.start()

    put(files.token, content)
    await eventually(lambda: bool(logs))
    await guard.close()

    assert (accepts(guard, OLD), accepts(guard, NEW)) == (True, False)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("http_guard_refused", "error")
    ]
    assert "xxxxxxxx" not in repr(logs)


async def test_a_token_is_rotated_while_the_certificate_is_away(files: GuardFiles) -> None:
    assert files.token is not None
    assert files.certificate is not None
    guard = Guard(EVERYWHERE, files)
    guard.start()
    files.certificate.unlink()

    put(files.token, NEW)
    await eventually(lambda: accepts(guard, NEW))
    await guard.close()

    assert guard.tls is not None


async def test_a_certificate_is_taken_once_its_key_fits(
    estate: Estate, files: GuardFiles, logs: list[dict[str, object]]
) -> None:
    guard = Guard(EVERYWHERE, files)
    guard.start()
    first, renewed = guard.tls, estate.ca.server()

    put(estate.folder / "server.crt", renewed.chain.decode())
    await eventually(lambda: bool(logs))
    between = guard.tls
    put(estate.folder / "server.key", renewed.key_pem.decode())
    await eventually(lambda: guard.tls is not first)
    await guard.close()

    assert between is first
    assert [line["event"] for line in logs] == ["http_guard_refused", "http_guard_changed"]


async def test_a_token_file_that_others_can_read_is_taken_once_they_cannot(
    files: GuardFiles, logs: list[dict[str, object]]
) -> None:
    """Its contents do not change any more then; its mode does."""
    assert files.token is not None
    guard = Guard("127.0.0.1:0", files)
    guard.start()

    files.token.chmod(0o644)
    files.token.write_text(NEW)
    await eventually(lambda: "chmod o=" in guard.refused()["token"])
    meanwhile = accepts(guard, OLD), accepts(guard, NEW)
    files.token.chmod(0o600)
    await eventually(lambda: accepts(guard, NEW))
    await guard.close()

    assert meanwhile == (True, False)
    assert guard.refused() == {"token": "", "certificate": ""}
    assert not accepts(guard, OLD)
    assert [line["event"] for line in logs] == ["http_guard_refused", "http_guard_changed"]


async def test_a_pipe_in_the_place_of_the_token_file_is_told_and_waited_out(
    files: GuardFiles,
) -> None:
    assert files.token is not None
    guard = Guard("127.0.0.1:0", files)
    guard.start()

    files.token.unlink()
    os.mkfifo(files.token)
    await eventually(lambda: bool(guard.refused()["token"]))
    told, still = guard.refused()["token"], accepts(guard, OLD)
    put(files.token, NEW)
    await eventually(lambda: accepts(guard, NEW))
    await guard.close()

    assert told == f"{files.token}: not a regular file"
    assert still


def test_a_pipe_is_no_token_file(files: GuardFiles) -> None:
    assert files.token is not None
    files.token.unlink()
    os.mkfifo(files.token)

    with pytest.raises(GuardError, match="not a regular file"):
        Guard("127.0.0.1:0", files)


async def test_a_certificate_that_is_not_valid_yet_is_taken_once_it_is(
    estate: Estate, files: GuardFiles
) -> None:
    guard = Guard(EVERYWHERE, files)
    guard.start()
    first = guard.tls

    estate.put_server(estate.ca.server(begins=timedelta(seconds=2.5), lasts=timedelta(hours=2)))
    await eventually(lambda: "is not valid before" in guard.refused()["certificate"])
    meanwhile = guard.tls
    await eventually(lambda: guard.tls is not first)
    await guard.close()

    assert meanwhile is first
    assert guard.refused()["certificate"] == ""
