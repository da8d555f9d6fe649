"""The callers file is replaced under load: at once, as a whole, and without a restart."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from authz_service.audit.verify import read_records
from tests.certificates import Estate
from tests.e2e.client import Client, client_of, eventually, outcome_of
from tests.e2e.clinic import FACTS
from tests.e2e.crew import overview, serving_crew
from tests.service_process import ServiceProcess, refused_start, serving_process
from tests.service_thread import ServiceThread, serving, untried_policy
from tests.wire import failure_of

HEADER = "caller,rpcs,tenants,actions,purposes,writes,may\n"
EVERYTHING = "loopback,*,*,*,*,*,*\n"
GATEWAY, BOOKING = "spiffe://clinic.example/gateway", "spiffe://clinic.example/booking"
NEW = "spiffe://clinic.example/new"
UNKNOWN = ("UNAUTHENTICATED", "CALLER_UNAUTHENTICATED")
READY = grpc.ChannelConnectivity.READY


def revision_of(path: Path) -> str:
    """Return the revision of the file."""
    return sha256(path.read_bytes()).hexdigest()


def written(path: Path, rows: str) -> str:
    """Replace the file by one with *rows*; return its revision."""
    path.write_text(HEADER + rows, encoding="utf-8")
    return revision_of(path)


def written_in_steps(path: Path, rows: str) -> str:
    """Write the file anew in place, the first half first, as some editors do."""
    content = (HEADER + rows).encode()
    with path.open("wb", buffering=0) as file:
        for part in (content[: len(HEADER) + 12], content[len(HEADER) + 12 :]):
            file.write(part)
            time.sleep(0.05)
    return sha256(content).hexdigest()


def standing(service: ServiceThread | ServiceProcess) -> dict[str, Any]:
    """Return what a service says of its callers."""
    with client_of(service) as client:
        told: dict[str, Any] = json.loads(client.http("/healthz")[1])["callers"]
    return told


def await_revision(service: ServiceThread | ServiceProcess, revision: str) -> None:
    """Wait until the callers of *revision* are in force."""
    eventually(lambda: standing(service)["revision"] == revision)


@pytest.fixture
def callers(tmp_path: Path) -> Path:
    """A callers file by which loopback may do everything."""
    path = tmp_path / "callers.csv"
    written(path, EVERYTHING)
    return path


@pytest.fixture
def service(tmp_path: Path, callers: Path) -> Iterator[ServiceThread]:
    """A service with the clinic in it, and with that file."""
    with serving(tmp_path, callers_file=callers) as started:
        with client_of(started) as client:
            client.write(FACTS)
        yield started


@contextmanager
def asking(ask: Callable[[], None], threads: int = 3) -> Iterator[None]:
    """Ask and ask again, from several threads at once."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            ask()

    asked = [threading.Thread(target=work) for _ in range(threads)]
    for thread in asked:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in asked:
            thread.join()


def test_no_call_is_judged_by_half_of_a_file(
    tmp_path: Path, callers: Path, service: ServiceThread
) -> None:
    """Two files that allow a question each, in turns: nobody may ever ask half of both."""
    rows = {"VIEW": "loopback,*,*,VIEW,PATRQT,*,*\n", "LIST": "loopback,*,*,LIST,TREAT,*,*\n"}
    told: set[tuple[str, str, str]] = set()

    def put_in_force(action: str) -> str:
        revision = written_in_steps(callers, rows[action])
        await_revision(service, revision)
        return revision

    with client_of(service) as client:

        def ask() -> None:
            for action in rows:
                for purpose in ("PATRQT", "TREAT"):
                    told.add((action, purpose, status_of(client, action, purpose)))

        put_in_force("VIEW")
        with asking(ask):
            turns = [(put_in_force(action), action) for action in ["LIST", "VIEW"] * 3]

    revisions = dict(turns)
    assert told == {
        ("VIEW", "PATRQT", "OK"),
        ("VIEW", "PATRQT", "PERMISSION_DENIED"),
        ("VIEW", "TREAT", "PERMISSION_DENIED"),
        ("LIST", "PATRQT", "PERMISSION_DENIED"),
        ("LIST", "TREAT", "OK"),
        ("LIST", "TREAT", "PERMISSION_DENIED"),
    }
    records: list[dict[str, Any]] = [dict(each) for each in read_records(tmp_path / "journal")]
    judged = [record for record in records if record["kind"] == "DECISION"]
    assert {revisions[record["callers_revision"]] == record["action"] for record in judged} == {
        True
    }
    reloads = [record["details"] for record in records if record["kind"] == "CALLERS_RELOADED"]
    assert [each["callers_revision"] for each in reloads[2:]] == [revision for revision, _ in turns]


def status_of(client: Client, action: str, purpose: str) -> str:
    """Ask; return the status."""
    try:
        client.check("mara", "rec-mara", action=action, context={"purpose_of_use": purpose})
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def ask(client: Client) -> tuple[str, str]:
    """Ask; return the effect and reason, or the status and its reason."""
    try:
        return outcome_of(client.check())
    except grpc.RpcError as error:
        failure = failure_of(error)
        return failure.code, failure.reason


def test_whom_a_file_takes_away_is_unknown_at_the_next_call_of_a_kept_connection(
    tmp_path: Path, estate: Estate
) -> None:
    """And what it adds is there; those whom it leaves alone notice nothing."""
    gateway, booking = (f"{name},CheckAccess,*,VIEW,PATRQT,," for name in (GATEWAY, BOOKING))
    estate.put_callers(gateway, booking)
    answers: list[tuple[str, str]] = []

    with (
        serving(tmp_path, **estate.settings) as service,
        client_of(service, estate.credentials(GATEWAY)) as kept,
        client_of(service, estate.credentials(BOOKING)) as taken,
        client_of(service, estate.credentials(NEW)) as new,
    ):
        states: list[grpc.ChannelConnectivity] = []
        taken.channel.subscribe(states.append, try_to_connect=True)
        eventually(lambda: READY in states)
        before = ask(kept), ask(taken), ask(new)
        with asking(lambda: answers.append(ask(kept)), threads=1):
            estate.put_callers(f"{gateway}explain", booking.replace(BOOKING, NEW))
            await_revision(service, revision_of(estate.folder / "callers.csv"))
            after = ask(kept), ask(taken), ask(new)

    assert states.count(READY) == 1
    assert states.index(READY) == len(states) - 1
    assert before == (("DENY", "NOT_AVAILABLE"), ("DENY", "NOT_AVAILABLE"), UNKNOWN)
    assert after == (("DENY", "SUBJECT_UNKNOWN"), UNKNOWN, ("DENY", "NOT_AVAILABLE"))
    assert set(answers) == {("DENY", "NOT_AVAILABLE"), ("DENY", "SUBJECT_UNKNOWN")}


def test_a_doubtful_row_does_not_keep_a_caller_in_who_was_taken_away(
    tmp_path: Path, estate: Estate
) -> None:
    """It is warned of: in the log once, and by what the service says of itself."""
    gateway, booking = (f"{name},CheckAccess,*,VIEW,PATRQT,," for name in (GATEWAY, BOOKING))
    estate.put_callers(gateway, booking)

    with (
        serving(tmp_path, **estate.settings) as service,
        client_of(service, estate.credentials(GATEWAY)) as kept,
        client_of(service, estate.credentials(BOOKING)) as taken,
        capture_logs() as logs,
    ):
        before = ask(taken), standing(service)["warnings"]
        estate.put_callers(f"{gateway}read_log")
        await_revision(service, revision_of(estate.folder / "callers.csv"))
        after = ask(taken), ask(kept), standing(service)["warnings"]

    assert before == (("DENY", "NOT_AVAILABLE"), 0)
    assert after == (UNKNOWN, ("DENY", "NOT_AVAILABLE"), 1)
    (line,) = (each for each in logs if each["event"] == "callers_doubtful")
    assert line["log_level"] == "warning"
    assert line["places"] == [f"{estate.folder / 'callers.csv'}:2"]


def test_a_defective_file_is_told_everywhere_and_the_last_good_one_stays(
    tmp_path: Path, callers: Path, service: ServiceThread
) -> None:
    good = standing(service)["revision"]

    bad = written(callers, EVERYTHING + "loopbak,*,*,VEIW,*,song,\n")
    eventually(lambda: standing(service)["refused"] is not None)

    told = standing(service)
    with client_of(service) as client:
        metrics, outcome = client.metrics(), client.outcome()
    assert outcome == ("ALLOW", "RULE_ALLOWED")
    assert (told["revision"], told["refused"]["revision"]) == (good, bad)
    assert [(each["line"], each["column"]) for each in told["refused"]["problems"]] == [
        (3, 1), (3, 13), (3, 20),
    ]  # fmt: skip
    assert metrics["authz_callers_last_load_successful"] == 0
    assert metrics['authz_callers_reloads_total{result="refused"}'] == 1
    assert metrics[f'authz_callers_info{{revision="{good}"}}'] == 1

    mended = written(callers, "# as it should be\n" + EVERYTHING)
    await_revision(service, mended)

    with client_of(service) as client:
        metrics = client.metrics()
    assert standing(service)["refused"] is None
    assert metrics["authz_callers_last_load_successful"] == 1
    assert metrics['authz_callers_reloads_total{result="activated"}'] == 2
    kinds = [str(record["kind"]) for record in read_records(tmp_path / "journal")]
    assert [kind for kind in kinds if "CALLERS" in kind] == [
        "CALLERS_RELOADED",
        "CALLERS_FILE_REFUSED",
        "CALLERS_RELOADED",
    ]


def test_a_file_that_is_gone_takes_nobody_away(callers: Path, service: ServiceThread) -> None:
    content = callers.read_bytes()

    callers.unlink()
    eventually(lambda: standing(service)["unreadable"] != "")
    with client_of(service) as client:
        outcome, metrics = client.outcome(), client.metrics()
    callers.write_bytes(content)
    eventually(lambda: standing(service)["unreadable"] == "")

    assert outcome == ("ALLOW", "RULE_ALLOWED")
    assert metrics["authz_callers_last_load_successful"] == 0
    assert standing(service)["refused"] is None


def test_loopback_cannot_be_taken_away_while_it_is_all_there_is(
    callers: Path, service: ServiceThread
) -> None:
    written(callers, f"{GATEWAY},CheckAccess,*,VIEW,PATRQT,,\n")
    eventually(lambda: standing(service)["refused"] is not None)

    with client_of(service) as client:
        assert client.outcome() == ("ALLOW", "RULE_ALLOWED")


@pytest.mark.slow
def test_what_is_wrong_is_logged_once_and_a_signal_looks_again(
    tmp_path: Path, callers: Path
) -> None:
    settings = {
        "AUTHZ_CALLERS_FILE": str(callers),
        "AUTHZ_POLICY_DIR": str(untried_policy()),
    }
    with serving_process(tmp_path, **settings) as service:
        written(callers, "nobody\n")
        service.signal(signal.SIGHUP)
        service.await_event("callers_file_refused")
        service.signal(signal.SIGHUP)
        service.await_event("policy_unchanged")
        revision = written(callers, "# mended\n" + EVERYTHING)
        service.signal(signal.SIGHUP)
        activated = service.await_event("callers_activated")
        refused = service.events("callers_file_refused")

    assert [event["problems"] for event in refused] == [["the row has 1 fields, not 7"]]
    assert (activated["callers_revision"], activated["callers"]) == (revision, 1)


@pytest.mark.slow
def test_a_defective_file_is_no_start_with_every_problem_told(
    tmp_path: Path, callers: Path
) -> None:
    written(callers, "nobody\nloopback,*,*,VEIW,*,*,\n")

    for workers in ("1", "2"):
        code, said = refused_start(
            tmp_path,
            AUTHZ_CALLERS_FILE=str(callers),
            AUTHZ_WORKERS=workers,
            AUTHZ_POLICY_DIR=str(untried_policy()),
        )
        assert code == 3
        assert "the callers file is refused: 2 problems" in said
        assert f"{callers}:2:7: the row has 1 fields, not 7" in said
        assert "did you mean VIEW?" in said


@pytest.mark.slow
def test_every_worker_takes_a_changed_file_by_itself(tmp_path: Path, callers: Path) -> None:
    file, policy = str(callers), str(untried_policy())
    with serving_crew(tmp_path, AUTHZ_CALLERS_FILE=file, AUTHZ_POLICY_DIR=policy) as service:
        ports = [worker["http_port"] for worker in overview(service)]
        revision = written(callers, "# anew\n" + EVERYTHING)

        def in_force() -> set[str]:
            healths = (Client("", f"127.0.0.1:{port}").http("/healthz")[1] for port in ports)
            return {json.loads(health)["callers"]["revision"] for health in healths}

        eventually(lambda: in_force() == {revision}, 5)
