"""`authz doctor` finds what would keep a service from starting, and changes nothing."""

from __future__ import annotations

import asyncio
import fcntl
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from authz_service.audit.opening import open_journal
from authz_service.audit.segment import Origin
from authz_service.cli.console_client import metrics_in, read_console
from authz_service.clocks import SystemClock
from authz_service.operations.records import EventRecord
from authz_service.pdp.errors import JournalUnavailableError
from tests.certificates import Estate
from tests.marked import PASSWORD
from tests.unit.cli.cli_runs import SOUND, document, run, small_bundle


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where everything is in order, as the settings name it."""
    small_bundle(tmp_path / "policies")
    monkeypatch.setenv("AUTHZ_REGISTRY_URL", f"sqlite:///{tmp_path / 'registry.db'}")
    monkeypatch.setenv("AUTHZ_JOURNAL_DIR", str(tmp_path / "journal"))
    monkeypatch.setenv("AUTHZ_DECISIONS_URL", f"sqlite:///{tmp_path / 'decisions.db'}")
    monkeypatch.setenv("AUTHZ_POLICY_DIR", str(tmp_path / "policies"))
    monkeypatch.setenv("AUTHZ_CALLERS_FILE", str(tmp_path / "policies" / "callers.csv"))
    monkeypatch.setenv("AUTHZ_INSECURE_LOOPBACK", "1")
    monkeypatch.setenv("AUTHZ_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("AUTHZ_HTTP_LISTEN", "127.0.0.1:0")
    assert run("facts", "import", "-", "--actor", "jo", typed=SOUND).exit_code == 0
    return tmp_path


@pytest.fixture
def somebody() -> Iterator[str]:
    """An address at which another program listens and says nothing."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


def verdicts(env: dict[str, str] | None = None) -> dict[str, str]:
    """Return what the doctor says of each thing."""
    found = document(run("doctor", "--format", "json", env=env))
    return {each["subject"]: each["verdict"] for each in found["checks"]}


def test_nothing_fails_where_all_is_in_order(place: Path) -> None:
    """A sound place ends with 0, and is as it was before."""
    before = sorted(place.rglob("*"))

    result = run("doctor")

    assert result.exit_code == 0
    assert {each.split()[0] for each in result.stdout.splitlines()[1:]} == {"ok"}
    assert sorted(place.rglob("*")) == before


def _no_registry(place: Path) -> None:
    (place / "registry.db").unlink()


def _rubbish_for_a_registry(place: Path) -> None:
    (place / "registry.db").write_bytes(b"rubbish" * 1000)


def _file_for_a_journal(place: Path) -> None:
    (place / "journal").write_text("", encoding="utf-8")


def _damaged_journal(place: Path) -> None:
    asyncio.run(_journal_of_two_batches(place / "journal"))
    segment = place / "journal" / "segment-00000001.jsonl"
    content = segment.read_bytes()
    assert b"first" in content
    segment.write_bytes(content.replace(b"first", b"fIrst"))


@pytest.mark.parametrize(
    ("damaged", "says", "starts"),
    [
        pytest.param(1, "evidence is damaged; a start would go on", True, id="older-segment"),
        pytest.param(2, "a start would be refused", False, id="last-segment"),
    ],
)
def test_damage_is_said_with_what_a_start_makes_of_it(
    damaged: int, says: str, place: Path, *, starts: bool
) -> None:
    """Only the last segment with records is verified at a start; the doctor verifies all."""
    for _ in range(2):
        asyncio.run(_journal_of_two_batches(place / "journal"))
    segment = place / "journal" / f"segment-0000000{damaged}.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b"first", b"fIrst"))

    result = run("doctor", "--format", "json")

    (found,) = [each for each in document(result)["checks"] if each["subject"] == "journal"]
    assert (found["verdict"], result.exit_code) == ("fail", 1)
    assert says in found["what"]
    assert asyncio.run(_starts(place / "journal")) is starts


async def _starts(directory: Path) -> bool:
    try:
        journal = open_journal(directory, Origin(SystemClock(), "test"))
    except JournalUnavailableError:
        return False
    await journal.close()
    return True


async def _journal_of_two_batches(directory: Path) -> None:
    journal = open_journal(directory, Origin(SystemClock(), "test"))
    for event in ("first", "second"):
        await journal.append((EventRecord(event, SystemClock().now(), None, event),))
    await journal.close()


def _defective_policy(place: Path) -> None:
    (place / "policies" / "rules.csv").write_text("p, x\n", encoding="utf-8")


def _no_callers(place: Path) -> None:
    (place / "policies" / "callers.csv").unlink()


def _nobody_on_loopback(place: Path) -> None:
    path = place / "policies" / "callers.csv"
    path.write_text("caller,rpcs,tenants,actions,purposes,writes,may\n", encoding="utf-8")


def _doubtful_callers(place: Path) -> None:
    with (place / "policies" / "callers.csv").open("a", encoding="utf-8") as file:
        file.write("spiffe://clinic.example/gateway,CheckAccess,*,VIEW,PATRQT,,read_log\n")


@pytest.mark.parametrize(
    ("spoil", "subject", "verdict"),
    [
        pytest.param(_no_registry, "registry", "warn", id="no-registry-yet"),
        pytest.param(_rubbish_for_a_registry, "registry", "fail", id="rubbish-for-a-registry"),
        pytest.param(_file_for_a_journal, "journal", "fail", id="file-for-a-journal"),
        pytest.param(_damaged_journal, "journal", "fail", id="journal-with-a-changed-line"),
        pytest.param(_defective_policy, "policy", "fail", id="defective-policy"),
        pytest.param(_no_callers, "callers", "fail", id="no-callers-file"),
        pytest.param(_nobody_on_loopback, "callers", "fail", id="nobody-on-loopback"),
        pytest.param(_doubtful_callers, "callers", "warn", id="doubtful-callers"),
    ],
)
def test_what_is_spoilt_is_found_and_nothing_else(
    spoil: Callable[[Path], None], subject: str, verdict: str, place: Path
) -> None:
    """One cause is one finding, with what to do about it."""
    spoil(place)

    result = run("doctor", "--format", "json")

    found: list[dict[str, Any]] = [
        each for each in document(result)["checks"] if each["verdict"] != "ok"
    ]
    assert [(each["subject"], each["verdict"]) for each in found] == [(subject, verdict)]
    assert found[0]["todo"]
    assert result.exit_code == (1 if verdict == "fail" else 0)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("env", "subject", "verdict"),
    [
        pytest.param({"AUTHZ_LISTEN": "x"}, "settings", "fail", id="malformed"),
        pytest.param({"AUTHZ_LISTEM": "127.0.0.1:1"}, "settings", "fail", id="misspelt"),
        pytest.param({"AUTHZ_LISTEN": "0.0.0.0:0"}, "gRPC address", "fail", id="grpc-to-all"),
        pytest.param({"AUTHZ_HTTP_LISTEN": "0.0.0.0:0"}, "HTTP address", "fail", id="http-to-all"),
        pytest.param({"AUTHZ_INSECURE_LOOPBACK": "0"}, "gRPC address", "warn", id="no-identity"),
        pytest.param({"AUTHZ_REGISTRY_URL": "mysql://db"}, "registry", "fail", id="no-such-url"),
        pytest.param(
            {"AUTHZ_REGISTRY_URL": f"postgresql+psycopg://jo:{PASSWORD}@127.0.0.1:1/facts"},
            "registry",
            "fail",
            id="silent-database",
        ),
    ],
)
def test_settings_that_would_not_do(env: dict[str, str], subject: str, verdict: str) -> None:
    """A setting is judged by what a start would make of it; a password is never shown."""
    result = run("doctor", env=env)

    assert verdicts(env)[subject] == verdict
    assert PASSWORD not in result.output


@pytest.mark.usefixtures("place")
def test_address_of_another_program_is_taken(somebody: str) -> None:
    """A port that another program holds is named as such, not as our service."""
    found = verdicts({"AUTHZ_LISTEN": somebody, "AUTHZ_HTTP_LISTEN": somebody})

    assert (found["gRPC address"], found["HTTP address"]) == ("fail", "fail")


def test_journal_that_a_service_writes_is_in_order(place: Path) -> None:
    """Beside a running service the doctor does not mistake its lock for a fault."""
    (place / "journal").mkdir()
    with (place / "journal" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run("doctor")

    assert "a service writes it" in result.stdout


def test_metrics_are_summed_over_labels() -> None:
    """One number for each metric; histograms' buckets and comments are passed over."""
    text = (
        "# HELP a_total help\n"
        'a_total{x="1"} 2.0\n'
        'a_total{x="2"} 3.0\n'
        'b_bucket{le="1.0"} 9.0\n'
        "c 1e3\n"
        "garbage\n"
    )

    assert metrics_in(text) == {"a_total": 5.0, "c": 1000.0}


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1", "no.such.host.invalid:1"])
def test_silent_console_is_a_reading_of_silence(address: str) -> None:
    """Without HTTP the rest of the status is still shown."""
    assert read_console(address, 0.5).silence


@pytest.mark.parametrize(
    ("url", "verdict", "said"),
    [
        pytest.param("none", "warn", "AUTHZ_DECISIONS_URL is none", id="no-store"),
        pytest.param("nonsense", "fail", "its URL is malformed", id="no-url"),
        pytest.param(f"mysql://u:{PASSWORD}@h/d", "fail", "sqlite:///path", id="another-database"),
        pytest.param(f"postgresql://u:{PASSWORD}@127.0.0.1:1/d", "fail", "", id="nobody-there"),
    ],
)
def test_a_decision_store_that_cannot_be_used_is_named(
    place: Path, url: str, verdict: str, said: str
) -> None:
    result = run("doctor", "--format", "json", env={"AUTHZ_DECISIONS_URL": url})

    checks = {each["subject"]: each for each in document(result)["checks"]}
    assert checks["decision store"]["verdict"] == verdict
    assert said in checks["decision store"]["what"]
    assert PASSWORD not in result.stdout


def test_a_port_of_a_worker_that_is_taken_is_named(place: Path, somebody: str) -> None:
    base = int(somebody.rpartition(":")[2]) - 2
    env = {"AUTHZ_WORKERS": "2", "AUTHZ_HTTP_LISTEN": f"127.0.0.1:{base}"}

    assert verdicts(env)["workers"] == "fail"
    assert verdicts({"AUTHZ_WORKERS": "2"})["workers"] == "ok"


def said_of(subject: str) -> tuple[str, str]:
    """Return what the doctor says of one thing: verdict and words."""
    checks = document(run("doctor", "--format", "json"))["checks"]
    [found] = [each for each in checks if each["subject"] == subject]
    return found["verdict"], f"{found['what']}; {found['todo']}"


@pytest.mark.parametrize(
    ("address", "file", "verdict", "said"),
    [
        pytest.param("127.0.0.1:0", ("x" * 32, 0o600), "ok", "asks for a token", id="sound"),
        pytest.param("127.0.0.1:0", ("", 0o600), "fail", "token: is empty", id="empty"),
        pytest.param("127.0.0.1:0", ("x" * 32, 0o644), "fail", "chmod o= ", id="open-to-all"),
        pytest.param("0.0.0.0:0", ("x" * 32, 0o600), "fail", "set AUTHZ_TLS_CERT, A", id="no-tls"),
    ],
)
def test_what_protects_the_http_address_is_looked_at(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    file: tuple[str, int],
    verdict: str,
    said: str,
) -> None:
    """As a start would, and without the token."""
    token = place / "token"
    token.write_text(file[0])
    token.chmod(file[1])
    monkeypatch.setenv("AUTHZ_HTTP_TOKEN_FILE", str(token))
    monkeypatch.setenv("AUTHZ_HTTP_LISTEN", address)

    found, words = said_of("HTTP address")

    assert (found, said in words) == (verdict, True)
    assert "x" * 32 not in words


def test_the_health_address_is_looked_at(
    place: Path, monkeypatch: pytest.MonkeyPatch, somebody: str
) -> None:
    """None, a free one, and one that another program has."""
    assert said_of("health address")[0] == "ok"
    monkeypatch.setenv("AUTHZ_HEALTH_LISTEN", "0.0.0.0:0")
    assert said_of("health address") == (
        "ok",
        "0.0.0.0:0 is free; it is plaintext, so let nobody but probes reach it; ",
    )
    monkeypatch.setenv("AUTHZ_HEALTH_LISTEN", somebody)
    assert said_of("health address")[0] == "fail"


@pytest.mark.parametrize(
    ("spoil", "verdict", "said"),
    [
        pytest.param(lambda _: None, "ok", "fit together", id="in-order"),
        pytest.param(
            lambda e: e.put_server(e.ca.server(lasts=timedelta(minutes=5))),
            "warn",
            "AUTHZ_TLS_CERT ends at",
            id="ends-soon",
        ),
        pytest.param(
            lambda e: e.put_server(e.ca.server(lasts=timedelta(minutes=-5))),
            "fail",
            "the certificate expired at",
            id="expired",
        ),
        pytest.param(
            lambda e: (e.folder / "server.key").write_bytes(e.ca.key_pem),
            "fail",
            "does not fit the certificate",
            id="another-key",
        ),
        pytest.param(
            lambda e: (e.folder / "server.key").chmod(0o644),
            "warn",
            "others on this machine can read",
            id="open-key",
        ),
        pytest.param(
            lambda e: (e.folder / "clients-ca.crt").unlink(), "fail", "cannot be read", id="no-ca"
        ),
    ],
)
def test_certificates_are_looked_at_as_a_start_does(
    place: Path, estate: Estate, spoil: Callable[[Estate], None], verdict: str, said: str
) -> None:
    spoil(estate)

    found = document(
        run("doctor", "--format", "json", env={**estate.environment, "AUTHZ_LISTEN": "0.0.0.0:0"})
    )

    [seen] = [each for each in found["checks"] if each["subject"] == "certificates"]
    assert seen["verdict"] == verdict
    assert said in seen["what"]
    assert [each["verdict"] for each in found["checks"] if each["subject"] == "gRPC address"] == [
        "ok"
    ]


def test_settings_for_tls_that_belong_together_are_named(place: Path) -> None:
    assert verdicts({"AUTHZ_TLS_CERT": "x"})["certificates"] == "fail"
