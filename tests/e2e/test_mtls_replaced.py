"""Certificates and CAs replaced on disk while the service answers; who need not, never notices."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from tests.certificates import CALLER, EVERYTHING, Credential, Estate, authority
from tests.e2e.client import ALLOWED, Client, client_of, eventually, failing, write_as_three
from tests.e2e.clinic import FACTS
from tests.e2e.crew import await_serving, serving_crew
from tests.service_process import ServiceProcess, serving_process
from tests.service_thread import ServiceThread, serving

Service = ServiceThread | ServiceProcess


def shown_by(service: Service, estate: Estate, trusted: Credential | None = None) -> int:
    """Shake hands; return the serial number of the certificate that the service shows."""
    context = estate.context(estate.ca.client())
    if trusted is not None:
        context.load_verify_locations(cadata=trusted.pem.decode())
    host, _, port = service.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def reloads(client: Client, result: str) -> float:
    return client.metrics()[f'authz_tls_reloads_total{{result="{result}"}}']


LATE = ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")
"""What becomes of a call that comes in the moment of the end: no answer, and never another one."""


@contextmanager
def asking(
    service: Service, credentials: Callable[[], grpc.ChannelCredentials], threads: int = 3
) -> Iterator[Counter[str]]:
    """Ask all the time, half on kept connections and half on new ones; count what comes back."""
    stopping, outcomes = threading.Event(), Counter[str]()

    def ask(*, kept: bool) -> None:
        while not stopping.is_set():
            with client_of(service, credentials()) as client:
                while not stopping.is_set():
                    outcomes[_outcome(client)] += 1
                    if not kept:
                        break

    asked = [
        threading.Thread(target=ask, kwargs={"kept": kept}, daemon=True)
        for kept in (True, False) * threads
    ]
    for each in asked:
        each.start()
    try:
        yield outcomes
    finally:
        stopping.set()
        for each in asked:
            each.join(timeout=20)


def _outcome(client: Client) -> str:
    try:
        return "/".join(client.outcome())
    except grpc.RpcError as error:
        failed: Any = error
        return f"{failed.code().name} {failed.details()}"


@pytest.fixture
def service(tmp_path: Path, estate: Estate) -> Iterator[ServiceThread]:
    with serving(tmp_path, **estate.settings) as service:
        write_as_three(service, estate, FACTS)
        yield service


@pytest.mark.slow
def test_certificate_and_ca_are_replaced_under_load_without_one_failed_call(
    service: ServiceThread, estate: Estate
) -> None:
    """First a new certificate, then a second CA beside the first, then callers of the second."""
    second = authority("second")
    signers = [estate.ca]

    with asking(service, lambda: estate.credentials(signers[0].client())) as outcomes:
        before = shown_by(service, estate)
        replaced = estate.ca.server()
        estate.put_server(replaced)
        eventually(lambda: shown_by(service, estate) == replaced.certificate.serial_number)
        estate.put_client_ca(estate.ca, second)
        with client_of(service, estate.credentials()) as client:
            eventually(lambda: reloads(client, "replaced") == 2)
        signers[0] = second
        answered = sum(outcomes.values())
        eventually(lambda: sum(outcomes.values()) > answered + 30)

    assert before != replaced.certificate.serial_number
    assert set(outcomes) == {"ALLOW/RULE_ALLOWED"}
    assert outcomes.total() > 50


@pytest.mark.slow
def test_a_caller_of_a_ca_that_is_withdrawn_is_refused_on_its_kept_connection(
    service: ServiceThread, estate: Estate
) -> None:
    """Also behind an intermediate, whose certificate came with its own."""
    old, new = estate.ca, authority("new")
    clients = [estate.ca.client(), estate.ca.intermediate().client(), new.client()]
    estate.put_client_ca(old, new)
    with client_of(service, estate.credentials()) as client:
        eventually(lambda: reloads(client, "replaced") == 1)
        with (
            client_of(service, estate.credentials(clients[0])) as direct,
            client_of(service, estate.credentials(clients[1])) as behind,
            client_of(service, estate.credentials(clients[2])) as good,
        ):
            assert [each.outcome() for each in (direct, behind, good)] == [ALLOWED] * 3

            estate.put_client_ca(new)
            eventually(lambda: reloads(client, "replaced") == 2)
            refused = [failing(direct.check), failing(behind.check)]

            assert [each.code for each in refused] == ["UNAUTHENTICATED"] * 2
            assert all("no longer trusted" in each.message for each in refused)
            assert good.outcome() == ALLOWED
            counts = client.metrics()
    assert counts['authz_caller_refusals_total{refusal="withdrawn"}'] == 2
    with client_of(service, estate.credentials(clients[0])) as anew:
        assert failing(anew.check).code == "UNAVAILABLE"


@pytest.mark.slow
def test_what_does_not_fit_is_not_served_with_and_says_so(
    service: ServiceThread, estate: Estate
) -> None:
    with client_of(service, estate.credentials()) as client:
        before = shown_by(service, estate)
        (estate.folder / "server.key").write_bytes(authority().key_pem)
        eventually(lambda: reloads(client, "refused") == 1)

        assert "does not fit the certificate" in client.http("/healthz")[1]
        assert "PRIVATE" not in client.http("/healthz")[1]
        assert shown_by(service, estate) == before
        assert client.outcome() == ALLOWED

        replaced = estate.ca.server(lasts=timedelta(minutes=30))
        estate.put_server(replaced)
        eventually(lambda: reloads(client, "replaced") == 1)
        assert shown_by(service, estate) == replaced.certificate.serial_number
        assert '"refused":""' in client.http("/healthz")[1]
        ends = client.metrics()['authz_tls_certificate_not_after_seconds{file="server"}']
        assert ends == replaced.certificate.not_valid_after_utc.timestamp()


@pytest.mark.slow
def test_a_certificate_that_ends_on_a_kept_connection_is_refused_from_then_on(
    service: ServiceThread, estate: Estate
) -> None:
    """It says what to do: connect anew, with the one that has come meanwhile."""
    short = estate.ca.client(lasts=timedelta(seconds=3))

    with client_of(service, estate.credentials(short)) as client:
        assert client.outcome() == ALLOWED
        eventually(lambda: _outcome(client).startswith("UNAUTHENTICATED"), 6)
        failure = failing(client.check)
        counted = client.metrics()['authz_caller_refusals_total{refusal="expired"}']

    assert "expired at" in failure.message
    assert "connect anew" in failure.message
    assert counted >= 2


@pytest.mark.slow
def test_a_secret_that_kubernetes_turns_is_taken_up(tmp_path: Path, estate: Estate) -> None:
    """The files are links through ``..data``, which is turned from one directory to another."""
    mounted = tmp_path / "secret"
    mounted.mkdir()
    names = ("server.crt", "server.key", "clients-ca.crt")
    _put_secret(mounted, estate, names, "..1")
    for name in names:
        (mounted / name).symlink_to(f"..data/{name}")
    settings = {
        **estate.settings,
        "tls_cert": mounted / "server.crt",
        "tls_key": mounted / "server.key",
        "client_ca": mounted / "clients-ca.crt",
    }

    with serving(tmp_path, **settings) as service:
        replaced = estate.ca.server()
        estate.put_server(replaced)
        _put_secret(mounted, estate, names, "..2")
        shutil.rmtree(mounted / "..1")
        eventually(lambda: shown_by(service, estate) == replaced.certificate.serial_number)


def _put_secret(mounted: Path, estate: Estate, names: tuple[str, ...], folder: str) -> None:
    (mounted / folder).mkdir()
    for name in names:
        shutil.copy(estate.folder / name, mounted / folder / name)
    (mounted / "..turned").symlink_to(folder)
    (mounted / "..turned").replace(mounted / "..data")


@pytest.mark.slow
def test_workers_take_up_new_certificates_each(tmp_path: Path, estate: Estate) -> None:
    """No connection meets the old one in the end, whichever worker it goes to; no call fails."""
    with serving_crew(tmp_path, 2, **estate.environment) as service:
        await_serving(service, 2)
        write_as_three(service, estate, FACTS)
        with asking(service, estate.credentials, threads=1) as outcomes:
            replaced = estate.ca.server()
            estate.put_server(replaced)
            wanted = {replaced.certificate.serial_number}
            eventually(lambda: {shown_by(service, estate) for _ in range(8)} == wanted, 30)
        with client_of(service, estate.credentials("spiffe://example.org/x")) as stranger:
            assert failing(stranger.check).code == "UNAUTHENTICATED"

    assert set(outcomes) == {"ALLOW/RULE_ALLOWED"}


@pytest.mark.slow
def test_a_drain_answers_what_is_in_flight_over_tls(tmp_path: Path, estate: Estate) -> None:
    with serving_process(tmp_path, **estate.environment) as service:
        write_as_three(service, estate, FACTS)
        with asking(service, estate.credentials) as outcomes:
            eventually(lambda: outcomes.total() > 20)
            os.kill(service.pid, signal.SIGTERM)
            assert service.wait() == 0

    assert {outcome.split()[0] for outcome in outcomes} <= {"ALLOW/RULE_ALLOWED", *LATE}


@pytest.mark.slow
def test_sighup_has_certificates_looked_at(tmp_path: Path, estate: Estate) -> None:
    estate.put_callers(f"{CALLER},{EVERYTHING}")
    with serving_process(tmp_path, **estate.environment) as service:
        replaced = estate.ca.server()
        estate.put_server(replaced)
        service.signal(signal.SIGHUP)
        service.await_event("tls_files_replaced")

        assert shown_by(service, estate) == replaced.certificate.serial_number
