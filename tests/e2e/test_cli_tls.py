"""`authz` with certificates: every verb that asks a service, and why it gets no answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from authz_service.cli.client_tls import VARIABLES
from authz_service.cli.verbs import app
from tests.certificates import Credential, Estate, authority
from tests.e2e.client import write_as_three
from tests.e2e.clinic import FACTS
from tests.service_thread import ServiceThread, serving


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    return Estate(tmp_path_factory.mktemp("estate"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, estate: Estate) -> Iterator[ServiceThread]:
    with serving(tmp_path_factory.mktemp("service"), **estate.settings) as service:
        write_as_three(service, estate, FACTS)
        yield service


def asked(service: ServiceThread, environment: Mapping[str, str], *words: str) -> Result:
    env = {
        "AUTHZ_LISTEN": service.address,
        "AUTHZ_HTTP_LISTEN": service.http_address,
        **dict.fromkeys(VARIABLES, ""),
        **environment,
    }
    result = CliRunner().invoke(app, list(words), env=env)
    assert "Traceback" not in result.output
    return result


def written(folder: Path, credential: Credential, ca: Credential) -> dict[str, str]:
    """Return the environment for *credential*, and for a service that *ca* has signed."""
    contents = {"ca": ca.pem, "cert": credential.chain, "key": credential.key_pem}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return dict(zip(VARIABLES, [str(folder / name) for name in contents], strict=False))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("check", "mara", "rec-mara"), 0),
        (("list", "mara"), 0),
        (("status",), 0),
        (("healthcheck",), 0),
        (("policy", "status"), 0),
        (("policy", "reload", "--actor", "jo", "--dry-run"), 0),
        (("decisions", "list"), 0),
        (("decisions", "show", "01a203f0-8a66-72f3-a290-31e10cd7a3b3"), 1),
        (("facts", "resolve", "rec-mara", "--reason", "x", "--actor", "jo"), 1),
    ],
)
def test_every_verb_that_asks_a_service_asks_with_its_certificate(
    service: ServiceThread, estate: Estate, words: tuple[str, ...], code: int
) -> None:
    """By its flags or by the environment; an answer of the service's comes back either way."""
    environment = estate.client_files()
    ca, cert, key = environment.values()

    by_environment = asked(service, environment, *words)
    by_flags = asked(service, {}, *words, "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key)

    assert by_environment.exit_code == by_flags.exit_code == code, by_flags.output
    assert "answers at" not in by_environment.output


def test_a_flag_goes_before_the_environment(
    service: ServiceThread, estate: Estate, tmp_path: Path
) -> None:
    wrong = written(tmp_path, authority().client(), estate.ca)
    _, cert, key = estate.client_files().values()

    result = asked(service, wrong, "healthcheck", "--tls-cert", cert, "--tls-key", key)

    assert (result.exit_code, result.stdout) == (0, "SERVING\n")


def test_the_doctor_finds_the_service(service: ServiceThread, estate: Estate) -> None:
    settings = {f"AUTHZ_{name.upper()}": str(path) for name, path in estate.settings.items()}
    del settings["AUTHZ_INSECURE_LOOPBACK"]

    result = asked(service, {**estate.client_files(), **settings}, "doctor", "--format", "json")

    assert "this service is SERVING" in result.stdout
    assert "fit together, the first ends at" in result.stdout


def test_a_caller_that_is_not_known_is_told_what_to_look_at(
    service: ServiceThread, estate: Estate
) -> None:
    result = asked(service, estate.client_files("spiffe://example.org/x"), "check", "a", "b")

    assert result.exit_code == 1
    assert "this caller has no row in the callers file" in result.stderr
    assert "AUTHZ_CALLERS_FILE" in result.stderr


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param({}, "no service answers at {address} in plaintext", id="no-certificate"),
        pytest.param(
            {"ca": "other.crt"},
            "the service at {address} is not trusted: unable to get local issuer certificate",
            id="another-ca",
        ),
        pytest.param(
            {"cert": "other.crt", "key": "other.key"},
            "the service at {address} does not accept the client certificate",
            id="not-accepted",
        ),
        pytest.param({"key": "other.key"}, "does not fit the certificate", id="another-key"),
        pytest.param({"cert": "old.crt", "key": "old.key"}, "expired at 20", id="expired"),
        pytest.param({"ca": "junk"}, "holds no certificate in PEM", id="junk-for-a-ca"),
        pytest.param({"cert": "junk"}, "holds no certificate in PEM", id="junk"),
        pytest.param({"key": "junk"}, "holds no private key in PEM", id="junk-for-a-key"),
        pytest.param(
            {"name": "elsewhere.example.org"},
            "the certificate of the service at {address} is for another name",
            id="another-name",
        ),
    ],
)
def test_why_there_is_no_connection_is_said_in_words(
    service: ServiceThread, estate: Estate, tmp_path: Path, spoil: dict[str, str], said: str
) -> None:
    other, old = authority().client(), estate.ca.client(lasts=timedelta(seconds=-9))
    files = {
        "other.crt": other.chain,
        "other.key": other.key_pem,
        "old.crt": old.chain,
        "old.key": old.key_pem,
        "junk": b"?",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    environment = estate.client_files() if spoil else {}
    for field, name in spoil.items():
        value = name if field == "name" else str(tmp_path / name)
        environment[getattr(VARIABLES, field)] = value

    result = asked(service, environment, "check", "mara", "rec-mara")

    assert result.exit_code == 11, result.output
    assert said.format(address=service.address) in result.stderr
    assert len(result.stderr.splitlines()) == 2  # and what to do


def test_a_service_of_another_name_is_asked_by_the_name_in_its_certificate(
    tmp_path: Path, estate: Estate
) -> None:
    """A container asks itself at 127.0.0.1, and its certificate is for the name of the service."""
    own = Estate(tmp_path)
    own.put_server(own.ca.server(names=["authz.internal"]))
    with serving(tmp_path, **own.settings) as service:
        unnamed = asked(service, own.client_files(), "healthcheck")
        named = asked(service, own.client_files(), "healthcheck", "--tls-name", "authz.internal")

    assert "is for another name" in unnamed.stderr
    assert "--tls-name" in unnamed.stderr
    assert (named.exit_code, named.stdout) == (0, "SERVING\n")


def test_a_service_without_tls_is_said_to_have_none(tmp_path: Path, estate: Estate) -> None:
    with serving(tmp_path) as service:
        result = asked(service, estate.client_files(), "status")

    assert result.exit_code == 11
    assert "speaks no TLS" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tls-ca", "x"), "--tls-cert (AUTHZ_CLIENT_CERT) and --tls-key (AUTHZ_CLIENT_KEY) must"),
        (("--tls-cert", "x", "--tls-key", "y"), "--tls-ca (AUTHZ_SERVER_CA) must be given as well"),
        (
            ("--tls-ca", "/no/ca", "--tls-cert", "x", "--tls-key", "y"),
            "--tls-ca /no/ca: cannot be read (no such file or directory)",
        ),
    ],
)
def test_files_that_are_missing_are_a_mistake_in_usage(
    service: ServiceThread, words: tuple[str, ...], said: str
) -> None:
    result = asked(service, {}, "check", "mara", "rec-mara", *words)

    assert result.exit_code == 2
    assert said in result.stderr
