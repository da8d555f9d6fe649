"""`authz dev-certs`: all that a trial needs, and nothing that stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from authz_service.clocks import SystemClock
from authz_service.identity.authorities import is_authority
from authz_service.identity.certificates import leaf_of
from authz_service.identity.tls_files import TlsFiles, tls_identity_of
from tests.certificates import CALLERS_HEADER
from tests.e2e.client import client_of
from tests.service_thread import serving
from tests.unit.cli.cli_runs import document, run


def made(directory: Path, *words: str) -> None:
    result = run("dev-certs", str(directory), *words)
    assert result.exit_code == 0, result.output


def callers_file(folder: Path, *callers: str) -> str:
    path = folder / "callers.csv"
    path.write_text(CALLERS_HEADER + "".join(f"{each},*,*,*,*,,\n" for each in callers))
    return str(path)


def test_there_is_a_certificate_for_every_spiffe_id_of_the_callers_file(tmp_path: Path) -> None:
    callers = callers_file(
        tmp_path,
        "loopback",
        "spiffe://a.org/gateway",
        "spiffe://b.org/gateway",
        "spiffe://a.org/ca",
    )

    result = run("dev-certs", str(tmp_path / "c"), "--callers", callers, "--format", "json")

    told = {each["spiffe_id"]: each["settings"] for each in document(result)["callers"]}
    assert set(told) == {"spiffe://a.org/gateway", "spiffe://b.org/gateway", "spiffe://a.org/ca"}
    for spiffe_id, settings in told.items():
        assert leaf_of(Path(settings["AUTHZ_CLIENT_CERT"]).read_bytes()).spiffe_id == spiffe_id


def test_what_is_made_is_served_with_and_asked_with(tmp_path: Path) -> None:
    """By `authz healthcheck` itself, with the environment that was printed."""
    result = run("dev-certs", str(tmp_path / "c"), "--name", "gateway", "--format", "json")
    told = document(result)
    settings = {
        name.removeprefix("AUTHZ_").lower(): value
        for name, value in told["server"]["settings"].items()
    }
    callers = callers_file(tmp_path, "spiffe://example.org/gateway")

    with serving(tmp_path, **settings, insecure_loopback=False, callers_file=callers) as service:
        asked = run(
            "healthcheck",
            env={**told["callers"][0]["settings"], "AUTHZ_LISTEN": service.address},
        )
        with client_of(service) as client:
            assert client.http("/healthz")[0] == 200

    assert (asked.exit_code, asked.stdout) == (0, "SERVING\n")


def test_keys_are_for_their_owner_alone_and_the_cas_own_is_nowhere(tmp_path: Path) -> None:
    made(tmp_path / "c", "--name", "a", "--name", "b/c")

    files = {path.name: path for path in (tmp_path / "c").iterdir()}
    assert set(files) == {
        "ca.crt", "server.crt", "server.key", "a.crt", "a.key", "b-c.crt", "b-c.key",
    }  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700
    assert is_authority(x509.load_pem_x509_certificate(files["ca.crt"].read_bytes()))


def test_certificates_end_when_it_is_said(tmp_path: Path) -> None:
    made(tmp_path / "c", "--name", "a", "--days", "2")

    folder, now = tmp_path / "c", SystemClock().now()
    files = TlsFiles(folder / "server.crt", folder / "server.key", folder / "ca.crt")
    ends = tls_identity_of(files, files.read(), now).ends()
    assert {round((end - now).total_seconds() / 3600) for end in ends.values()} == {48}


def test_nothing_is_overwritten_unless_that_is_asked_for(tmp_path: Path) -> None:
    made(tmp_path / "c", "--name", "a")
    before = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}

    refused = run("dev-certs", str(tmp_path / "c"), "--name", "b")
    after_refusal = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    made(tmp_path / "c", "--name", "a", "--force")
    after_force = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}

    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    assert "--force" in refused.stderr
    assert after_refusal == before
    assert set(after_force) == set(before)
    assert not set(after_force.values()) & set(before.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--trust-domain", "Example.org"),
            "--trust-domain: the SPIFFE ID has a trust domain with",
        ),
        (("--name", "../../etc/x"), "--name: the SPIFFE ID has the segment '..' in its path"),
        (("--name", ""), "--name: the SPIFFE ID has no path"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    result = run("dev-certs", str(tmp_path / "c"), *words)

    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "c").exists()


def test_a_callers_file_of_loopback_alone_is_told_what_to_do(tmp_path: Path) -> None:
    result = run("dev-certs", str(tmp_path / "c"), "--callers", callers_file(tmp_path, "loopback"))

    assert result.exit_code == 2
    assert "has no caller with a SPIFFE ID" in result.stderr
    assert "--name" in result.stderr


def test_text_says_that_it_is_for_development_and_how_to_use_it(tmp_path: Path) -> None:
    result = run("dev-certs", str(tmp_path / "c"), "--name", "a")

    assert "for development only" in result.stdout
    for line in ("AUTHZ_TLS_CERT=", "AUTHZ_CLIENT_CA=", "AUTHZ_SERVER_CA=", "authz status"):
        assert line in result.stdout


@pytest.mark.parametrize(
    ("row", "call"),
    [
        (
            "CheckAccess,a|north-practice,*,*,,",
            "check pat-river rec-river-1 --tenant north-practice",
        ),
        ("*,b|a,READ|EXPORT|LIST,*,,", "check pat-river rec-river-1 --tenant a --action EXPORT"),
        ("WriteFacts,*,,,consultation as a,", "healthcheck"),
    ],
)
def test_the_call_that_is_suggested_is_one_that_the_first_caller_may_make(
    tmp_path: Path, row: str, call: str
) -> None:
    path = tmp_path / "callers.csv"
    row = row.replace("READ|", "")
    path.write_text(f"{CALLERS_HEADER}spiffe://b.org/z,{row}\nspiffe://a.org/a,*,*,*,*,,\n")

    result = run("dev-certs", str(tmp_path / "c"), "--callers", str(path))

    assert "ask as spiffe://b.org/z" in result.stdout.split("\n\n")[2]
    assert f"  authz {call}\n" in result.stdout
