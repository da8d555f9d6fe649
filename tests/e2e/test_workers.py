"""Several workers behind one port: restarted, drained and reloaded as one, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from authz_service.app import StartError
from authz_service.cli.verbs import app
from authz_service.parent import Parent
from authz_service.settings import load_settings
from tests.e2e.breakage import file_system, locked, sqlite_file
from tests.e2e.client import ALLOWED, Client, client_of, eventually
from tests.e2e.clinic import FACTS
from tests.e2e.crew import (
    Load,
    await_serving,
    decisions,
    free_ports,
    is_alive,
    journals,
    kill_workers,
    overview,
    restarts,
    serving_crew,
    unrecorded,
    wrong,
)
from tests.e2e.store_contents import assert_stored
from tests.service_process import ServiceProcess, environment, refused_start
from tests.service_thread import serving, untried_policy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared service has its journals, and a policy that can be changed."""
    place = tmp_path_factory.mktemp("crew")
    shutil.copytree(untried_policy(), place / "policies")
    return place


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ServiceProcess]:
    """Two workers with the clinic, for all tests that leave two workers behind."""
    ports = f"127.0.0.1:{free_ports(3)}"
    policy = str(folder / "policies")
    with serving_crew(folder, AUTHZ_HTTP_LISTEN=ports, AUTHZ_POLICY_DIR=policy) as crew:
        with client_of(crew) as client:
            client.write(FACTS)
            eventually(lambda: client.outcome() == ALLOWED)
        eventually(lambda: facts_revisions(crew) == [1, 1])
        yield crew


def changed(folder: Path, note: str) -> None:
    """Change the policy's revision and nothing that it says."""
    with (folder / "policies" / "rules.csv").open("a") as rules:
        rules.write(f"# {note}\n")


def decided(metrics: dict[str, float]) -> float:
    """Return how many decisions a worker has counted."""
    return sum(n for name, n in metrics.items() if name.startswith("authz_decisions_total"))


def test_workers_share_a_port_and_each_has_its_own_journal_and_metrics(
    service: ServiceProcess, folder: Path
) -> None:
    found = overview(service)
    own = [Client(service.address, f"127.0.0.1:{worker['http_port']}") for worker in found]
    before, recorded = [decided(each.metrics()) for each in own], len(decisions(folder))

    for _ in range(24):
        with client_of(service) as client:
            assert client.outcome() == ALLOWED
    asked = [decided(each.metrics()) - n for each, n in zip(own, before, strict=True)]
    with client_of(service) as client:
        base, health = client.metrics(), client.http("/healthz")

    port = int(service.http_address.rpartition(":")[2])
    assert [worker["http_port"] for worker in found] == [port + 1, port + 2]
    assert [worker["state"] for worker in found] == ["serving", "serving"]
    assert sum(asked) == 24
    assert min(asked) > 0
    assert len(decisions(folder)) == recorded + 24
    assert [path.name for path in journals(folder)] == ["worker-1", "worker-2"]
    assert base['authz_workers{state="serving"}'] == 2
    assert base["authz_serving"] == 1
    assert base[f'authz_policy_info{{revision="{found[0]["policy_revision"]}"}}'] == 1
    assert health[0] == 200
    assert health[1].startswith('{"status":"SERVING","reasons":{}')


def test_status_and_doctor_tell_of_every_worker(service: ServiceProcess, folder: Path) -> None:
    """At the base address, for people and for programs."""
    addresses = ("--address", service.address, "--http-address", service.http_address)
    with client_of(service) as client:
        assert client.outcome() == ALLOWED

    shown = CliRunner().invoke(app, ["status", *addresses])
    read = json.loads(CliRunner().invoke(app, ["status", *addresses, "--format", "json"]).stdout)
    settings = environment(folder, {"AUTHZ_WORKERS": "2"})
    looked = CliRunner().invoke(app, ["doctor", "--format", "json"], env=settings)

    ports = [worker["http_port"] for worker in overview(service)]
    assert shown.exit_code == 0
    assert all(f"SERVING, metrics at 127.0.0.1:{port}" in shown.stdout for port in ports)
    assert (read["serving"], read["silent"]) == (True, [])
    assert [each["http_address"] for each in read["workers"]] == [f"127.0.0.1:{x}" for x in ports]
    assert [each["state"] for each in read["workers"]] == ["serving", "serving"]
    assert read["facts_revision"] == 1
    assert read["decisions"] == sum(
        decided(Client(service.address, f"127.0.0.1:{port}").metrics()) for port in ports
    )
    (journal,) = [x for x in json.loads(looked.stdout)["checks"] if x["subject"] == "journal"]
    assert journal["verdict"] == "ok"
    assert journal["what"].count("the chain holds; a service writes it") == 2


def test_status_tells_of_a_worker_that_is_stopped_while_the_other_serves(
    service: ServiceProcess,
) -> None:
    """Whichever worker a connection reaches; what is not known is said to be that."""
    addresses = ("--address", service.address, "--http-address", service.http_address)
    await_serving(service, 2)
    pid = overview(service)[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = CliRunner().invoke(app, ["status", *addresses, "--timeout", "0.7"])
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (shown.exit_code, shown.stdout[:8]) == (0, "SERVING ")
    lines = " ".join(shown.stdout.split())
    assert "counts not known: nothing answers at" in lines
    assert "since each worker's own start, without worker 1" in lines
    assert "not known whether shipped to" in lines
    assert "NOT shipped" not in lines


def test_workers_killed_under_load_leave_no_answer_wrong_or_unrecorded(
    service: ServiceProcess, folder: Path
) -> None:
    """First one, then both at once: the port stays the service's own."""
    killed_before = restarts(service, "killed")

    async def killing() -> Any:
        load = Load(service.address)
        await load.until(200)
        kill_workers(service, 1)
        await load.until(200)
        await asyncio.to_thread(await_serving, service, 2)
        kill_workers(service, 1, 2)
        await load.until(200)
        await asyncio.to_thread(await_serving, service, 2)
        return await load.stop()

    told = asyncio.run(killing())

    assert len(told.answers) >= 600
    assert told.failures > 0
    assert wrong(told) == []
    assert unrecorded(told, folder) == set()
    assert restarts(service, "killed") == killed_before + 3


def test_a_reload_under_load_never_goes_back(service: ServiceProcess, folder: Path) -> None:
    """In the order of their times, the decisions of all workers change revision once a reload."""

    async def reloading() -> Any:
        load = Load(service.address)
        for life in range(6):
            await load.until(50)
            changed(folder, f"change {life}")
            if life % 2:
                done = len(service.events("policy_coordinated"))
                service.signal(signal.SIGHUP)
                await asyncio.to_thread(await_reloads, service, done + 1)
            else:
                with client_of(service) as client:
                    answer = await asyncio.to_thread(client.reload)
                assert answer.outcome == 1
        await load.until(50)
        return await load.stop()

    told = asyncio.run(reloading())

    assert wrong(told) == []
    ids = {answer[0] for answer in told.answers}
    found = [
        record["policy_revision"] for record in decisions(folder) if record["decision_id"] in ids
    ]
    assert len(found) == len(ids)
    runs = [now for before, now in zip([None, *found], found, strict=False) if before != now]
    assert len(runs) == len(set(runs)) == 7


def await_reloads(service: ServiceProcess, count: int) -> None:
    """Wait until so many reloads were coordinated."""
    eventually(lambda: len(service.events("policy_coordinated")) >= count)


def test_a_worker_comes_up_with_the_policy_in_force_and_not_with_the_files(
    service: ServiceProcess, folder: Path
) -> None:
    with client_of(service) as client:
        first = client.active_policy().policy_revision
        changed(folder, "valid")
        tried = client.reload(dry_run=True)
        (folder / "policies" / "roles.csv").write_text("nonsense\n")
        refused = client.reload()
    kill_workers(service, 1)
    await_serving(service, 2)
    after_kill = {worker["policy_revision"] for worker in overview(service)}
    shutil.copy(untried_policy() / "roles.csv", folder / "policies" / "roles.csv")
    with client_of(service) as client:
        activated = client.reload()
        latest = client.active_policy()

    assert (tried.outcome, refused.outcome, activated.outcome) == (4, 3, 1)
    assert refused.problems[0].file == "roles.csv"
    assert tried.policy_revision == refused.policy_revision == first
    assert after_kill == {first}
    assert activated.policy_revision == latest.policy_revision != first
    in_force = {activated.policy_revision}
    eventually(lambda: {x["policy_revision"] for x in overview(service)} == in_force)


def settings_in(folder: Path, **changes: Any) -> Any:
    """Return settings that serve out of *folder* with two workers."""
    plain = {"AUTHZ_WORKERS": "2", "AUTHZ_POLICY_DIR": str(untried_policy()), **changes}
    return load_settings(
        {}, {k: v for k, v in environment(folder, plain).items() if k.startswith("AUTHZ_")}
    )


def test_a_second_service_on_the_journal_does_not_start(
    service: ServiceProcess, folder: Path, tmp_path: Path
) -> None:
    held = "another writer holds the journal"

    for workers in ("2", "3"):
        with pytest.raises(StartError, match=held):
            asyncio.run(Parent(settings_in(folder, AUTHZ_WORKERS=workers)).start())
    with pytest.raises(StartError, match=held), serving(folder):
        pass
    with serving(tmp_path), pytest.raises(StartError, match=held):
        asyncio.run(Parent(settings_in(tmp_path)).start())


def test_a_second_service_on_the_port_does_not_start(
    service: ServiceProcess, tmp_path: Path
) -> None:
    taken = f"AUTHZ_LISTEN={service.address} is taken"

    with pytest.raises(StartError, match=taken):
        asyncio.run(Parent(settings_in(tmp_path, AUTHZ_LISTEN=service.address)).start())
    with pytest.raises(StartError, match=taken), serving(tmp_path, listen=service.address):
        pass
    with serving(tmp_path) as alone, pytest.raises(StartError, match="is taken"):
        asyncio.run(Parent(settings_in(tmp_path / "other", AUTHZ_LISTEN=alone.address)).start())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(
            {"AUTHZ_HTTP_LISTEN": "127.0.0.1:65534"},
            "AUTHZ_HTTP_LISTEN=127.0.0.1:65534 leaves no room for AUTHZ_WORKERS=2",
            id="ports-end",
        ),
        pytest.param({"AUTHZ_LISTEN": "0.0.0.0:0"}, "is not a loopback address", id="open"),
        pytest.param({"AUTHZ_INSECURE_LOOPBACK": "0"}, "no caller can be identified", id="caller"),
    ],
)
def test_what_a_parent_refuses_leaves_nothing_behind(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(StartError, match=said):
        asyncio.run(Parent(settings_in(tmp_path, **settings)).start())

    assert list(tmp_path.iterdir()) == []


def test_what_keeps_a_worker_from_starting_is_said_once_and_nothing_runs_on(
    tmp_path: Path,
) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    code, text = refused_start(tmp_path, AUTHZ_WORKERS="2", AUTHZ_POLICY_DIR="/nowhere")

    assert code == 3
    assert "  /nowhere: cannot be read" in text
    assert "Traceback" not in text
    assert not {child.pid for child in psutil.Process().children(recursive=True)} - before


def test_a_drain_under_load_loses_nothing(tmp_path: Path) -> None:
    """Ctrl-C reaches parent and workers; then an operator is impatient."""

    async def draining(service: ServiceProcess) -> Any:
        with client_of(service) as client:
            await asyncio.to_thread(client.write, FACTS)
            await asyncio.to_thread(eventually, lambda: client.outcome() == ALLOWED)
        await asyncio.sleep(0.2)  # four times the staleness bound
        load = Load(service.address)
        await load.until(200)
        for pid in (service.pid, *(worker["pid"] for worker in overview(service))):
            os.kill(pid, signal.SIGINT)
        service.signal(signal.SIGTERM)
        code = await asyncio.to_thread(service.wait, 15)
        return code, await load.stop()

    with serving_crew(tmp_path, AUTHZ_POLICY_DIR=str(untried_policy())) as service:
        await_serving(service, 2)
        pids = [worker["pid"] for worker in overview(service)]
        code, told = asyncio.run(draining(service))

    assert code == 0
    assert not any(is_alive(pid) for pid in pids)
    assert wrong(told) == []
    assert unrecorded(told, tmp_path) == set()
    events = [event["event"] for event in service.events()]
    assert events[-1] == "service_stopped"
    assert "worker_ended" not in events


def test_without_its_parent_no_worker_goes_on(tmp_path: Path) -> None:
    """One is well, one hangs at that moment. And a journal that was there before is named."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "segment-00000001.jsonl").touch()
    with serving_crew(
        tmp_path, AUTHZ_POLICY_DIR=str(untried_policy()), AUTHZ_DRAIN_SECONDS="0.5"
    ) as service:
        await_serving(service, 2)
        pids = [worker["pid"] for worker in overview(service)]
        os.kill(pids[0], signal.SIGSTOP)
        service.kill()
        eventually(lambda: not is_alive(pids[1]), seconds=10)
        os.kill(pids[0], signal.SIGCONT)
        eventually(lambda: not is_alive(pids[0]), seconds=10)

    (left,) = service.events("journal_left_behind")
    assert left["journal"] == str(tmp_path / "journal")
    assert left["todo"] == f"authz decisions ship {tmp_path / 'journal'}"
    assert decisions(tmp_path) == []


def test_a_worker_whose_disk_is_full_keeps_nobody_from_a_reload(tmp_path: Path) -> None:
    """It is named while the other serves, and comes back with the policy that was put in force."""
    (tmp_path / "journal").mkdir()
    shutil.copytree(untried_policy(), tmp_path / "policies")

    with (
        file_system(tmp_path / "journal" / "worker-2", "8m") as small,
        serving_crew(tmp_path, AUTHZ_POLICY_DIR=str(tmp_path / "policies")) as service,
    ):
        with client_of(service) as client:
            client.write(FACTS)
        eventually(lambda: facts_revisions(service) == [1, 1])
        (code, text), told = asyncio.run(reloaded_beside_a_full_disk(service, small / "filler"))
        revision = service.events("policy_coordinated")[-1]["policy_revision"]
        in_force = {each["policy_revision"] for each in overview(service)}
        missing = unrecorded(told, tmp_path)
        found = [record["policy_revision"] for record in decisions(tmp_path)]

    said = json.loads(text)
    assert (code, said["status"], list(said["reasons"])) == (200, "SERVING", ["worker-2 journal"])
    assert (in_force, wrong(told), missing) == ({revision}, [], set())
    assert found[-1] == revision != found[0]
    assert found[found.index(revision) :] == [revision] * found.count(revision)


async def reloaded_beside_a_full_disk(service: ServiceProcess, filler: Path) -> Any:
    """Fill a worker's disk under load, reload, and free it; return the health and what was told."""
    load = Load(service.address)
    await asyncio.to_thread(fill_up, filler)
    await asyncio.to_thread(eventually, lambda: not_serving(service) == [2])
    with client_of(service) as client:
        health = await asyncio.to_thread(client.http, "/healthz")
    changed(filler.parents[2], "without worker 2")
    service.signal(signal.SIGHUP)
    await asyncio.to_thread(eventually, lambda: restarts(service, "unfit") == 1)
    await load.until(100)
    await asyncio.to_thread(filler.unlink)
    await asyncio.to_thread(await_serving, service, 2)
    return health, await load.stop()


def fill_up(filler: Path) -> None:
    """Leave no space on the file system."""
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(1 << 12))


def facts_revisions(service: ServiceProcess) -> list[float]:
    """Return which state of the facts each worker has seen."""
    own = [Client(service.address, f"127.0.0.1:{each['http_port']}") for each in overview(service)]
    return [each.metrics()["authz_facts_revision"] for each in own]


def not_serving(service: ServiceProcess) -> list[int]:
    """Return the workers that say why they cannot answer."""
    return [each["number"] for each in overview(service) if each["state"] == "not_serving"]


def test_while_the_store_is_away_workers_go_on_and_then_bring_all_of_it(tmp_path: Path) -> None:
    """Every line of both journals is in the store once, and status says how it is meanwhile."""
    (tmp_path / "store").mkdir()
    url = f"sqlite:///{tmp_path / 'store' / 'decisions.db'}"
    policy = str(untried_policy())
    with serving_crew(tmp_path, AUTHZ_POLICY_DIR=policy, AUTHZ_DECISIONS_URL=url) as service:
        with client_of(service) as client:
            client.write(FACTS)
        eventually(lambda: facts_revisions(service) == [1, 1])
        eventually(lambda: shipping(service)["behind_lines"] == 0)
        during, told = asyncio.run(asked_without_a_store(service, sqlite_file(url)))
        eventually(lambda: shipping(service)["behind_lines"] == 0, 30)
        after = shipping(service)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0

    assert not during["usable"]
    assert during["behind_lines"] > 0
    assert after["usable"]
    assert (wrong(told), unrecorded(told, tmp_path)) == ([], set())
    for journal in journals(tmp_path):
        assert_stored(url, journal)


async def asked_without_a_store(service: ServiceProcess, store: Path) -> Any:
    """Lock the store under load; return what was said of it then, and what was told."""
    load = Load(service.address)
    with locked(f"sqlite:///{store}"):
        await load.until(200)
        await asyncio.to_thread(eventually, lambda: not shipping(service)["usable"])
        await load.until(100)
        during = await asyncio.to_thread(shipping, service)
    await load.until(100)
    return during, await load.stop()


def shipping(service: ServiceProcess) -> Any:
    """Return what `authz status` says of the decision store."""
    addresses = ("--address", service.address, "--http-address", service.http_address)
    shown = CliRunner().invoke(app, ["status", *addresses, "--format", "json"])
    assert shown.exit_code == 0
    return json.loads(shown.stdout)["shipping"]


def test_after_its_parent_was_killed_a_service_starts_on_what_is_there(tmp_path: Path) -> None:
    """Its workers end by themselves, and what they told is on record."""

    async def killed(service: ServiceProcess) -> Any:
        load = Load(service.address)
        await load.until(200)
        service.kill()
        return await load.stop()

    settings = {"AUTHZ_DRAIN_SECONDS": "1", "AUTHZ_POLICY_DIR": str(untried_policy())}
    with serving_crew(tmp_path, 2, **settings) as service:
        with client_of(service) as client:
            client.write(FACTS)
        eventually(lambda: facts_revisions(service) == [1, 1])
        pids = [worker["pid"] for worker in overview(service)]
        told = asyncio.run(killed(service))
        eventually(lambda: not any(is_alive(pid) for pid in pids))
    with serving_crew(tmp_path, 2, **settings) as service, client_of(service) as client:
        assert client.outcome() == ALLOWED

    assert (wrong(told), unrecorded(told, tmp_path)) == ([], set())
