"""Callers with certificates: who is let in, under which name, and who is not."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from authz_service.app import StartError
from authz_service.audit.verify import read_records
from tests.certificates import CALLER, EVERYTHING, SERVER, WITNESSES, Credential, Estate, authority
from tests.e2e.client import ALLOWED, client_of, failing, write_as_three
from tests.e2e.clinic import FACTS, patient, recorded
from tests.service_thread import ServiceThread, serving
from tests.wire import RpcFailure

READER = "spiffe://example.org/reader"
STRANGER = "spiffe://example.org/stranger"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mtls")


@pytest.fixture(scope="module")
def estate(folder: Path) -> Estate:
    """One caller that may do everything, one that may check and nothing else, two witnesses."""
    estate = Estate(folder)
    estate.put_callers(
        f"{CALLER},{EVERYTHING}",
        *WITNESSES,
        f"{READER},CheckAccess,*,*,*,,explain",
    )
    return estate


@pytest.fixture(scope="module")
def service(folder: Path, estate: Estate) -> Iterator[ServiceThread]:
    with serving(folder, **estate.settings, reflection=True) as service:
        write_as_three(service, estate, FACTS)
        yield service


def refusal(service: ServiceThread, estate: Estate, shown: Credential) -> RpcFailure:
    with client_of(service, estate.credentials(shown)) as client:
        return failing(client.check)


def test_the_record_of_a_decision_names_the_spiffe_id(
    service: ServiceThread, estate: Estate, folder: Path
) -> None:
    with client_of(service, estate.credentials(READER)) as client:
        answer = client.check("mara", "rec-mara")

    records = [dict(record) for record in read_records(folder / "journal")]
    [record] = [each for each in records if each.get("decision_id") == answer.decision_id]
    assert record["caller"] == READER


def test_a_caller_behind_intermediates_is_let_in(service: ServiceThread, estate: Estate) -> None:
    leaf = estate.ca.intermediate("one").intermediate("two").client()

    with client_of(service, estate.credentials(leaf)) as client:
        assert client.outcome() == ALLOWED


def test_handshakes_are_counted_whatever_became_of_them(
    service: ServiceThread, estate: Estate
) -> None:
    """Of those that failed there is no other trace: gRPC tells nothing of them."""
    with client_of(service, estate.credentials()) as client:
        before = client.metrics()["authz_tls_handshakes_total"]
        assert refusal(service, estate, authority("rogue").client()).code == "UNAVAILABLE"
        after = client.metrics()["authz_tls_handshakes_total"]

    assert after > before


def test_one_caller_cannot_bring_all_three_witnesses(
    service: ServiceThread, estate: Estate
) -> None:
    """What it may write it writes as itself, whatever source it states."""
    with client_of(service, estate.credentials()) as client:
        refused = [
            failing(client.write, [fact])
            for fact in [*recorded("rec-own", "mara"), {**patient("own"), "source": "booking"}]
            if fact.get("source") != "pipeline"
        ]

    assert {failure.code for failure in refused} == {"PERMISSION_DENIED"}
    assert len(refused) == 3


def test_the_name_does_not_count(service: ServiceThread, estate: Estate) -> None:
    """A certificate for the stranger, whose common name is the caller's SPIFFE ID, is his."""
    failure = refusal(service, estate, estate.ca.client(STRANGER, common_name="loopback"))

    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "CALLER_UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        pytest.param({"uris": [STRANGER]}, "has no row in the callers file", id="stranger"),
        pytest.param({"uris": [CALLER, SERVER]}, "has 2 URIs", id="two-uris"),
        pytest.param({"uris": [CALLER, STRANGER]}, "has 2 URIs", id="two-uris-the-first-known"),
        pytest.param({"uris": [], "names": ["gw"]}, "has no URI", id="dns-name-only"),
        pytest.param({"uris": [], "common_name": "loopback"}, "no subjectAltName", id="name-only"),
        pytest.param({"uris": ["spiffe://example.org/a/../b"]}, "segment '..'", id="dots"),
        pytest.param({"usage_is_critical": False}, "not critical", id="key-usage"),
    ],
)
def test_a_certificate_that_says_nobody_is_refused(
    service: ServiceThread, estate: Estate, form: dict[str, Any], said: str
) -> None:
    """Some of these gRPC itself takes for callers, and falls back to the common name."""
    failure = refusal(service, estate, estate.ca.client(**form))

    assert (failure.code, failure.reason) == ("UNAUTHENTICATED", "CALLER_UNAUTHENTICATED")
    assert said in failure.message
    assert failure.request_id


def test_an_authority_is_no_caller(service: ServiceThread, estate: Estate) -> None:
    """Somewhere a connection with one is refused: at the handshake, or by its certificate."""
    signer = estate.ca.client(is_ca=True)

    assert refusal(service, estate, signer).code in {"UNAUTHENTICATED", "UNAVAILABLE"}


def test_what_a_caller_may_not_is_refused_by_its_row(
    service: ServiceThread, estate: Estate
) -> None:
    with client_of(service, estate.credentials(READER)) as client:
        failure = failing(client.write, FACTS)

    assert (failure.code, failure.reason) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(lambda e: authority().client(), id="of-another-ca"),
        pytest.param(lambda e: authority("tests").client(), id="of-a-ca-of-the-same-name"),
        pytest.param(lambda e: e.ca.client(lasts=timedelta(seconds=-5)), id="expired"),
        pytest.param(
            lambda e: e.ca.client(begins=timedelta(minutes=5), lasts=timedelta(hours=2)),
            id="not-yet-valid",
        ),
        pytest.param(lambda e: authority(uris=[CALLER]), id="signed-by-itself"),
    ],
)
def test_a_certificate_that_cannot_be_trusted_gets_no_connection(
    service: ServiceThread, estate: Estate, shown: Any
) -> None:
    assert refusal(service, estate, shown(estate)).code == "UNAVAILABLE"


def test_without_a_certificate_there_is_no_connection(
    service: ServiceThread, estate: Estate
) -> None:
    with client_of(service, grpc.ssl_channel_credentials(estate.ca.pem)) as client:
        assert failing(client.check).code == "UNAVAILABLE"
    with client_of(service) as client:
        assert failing(client.check).code == "UNAVAILABLE"


def test_refusals_are_counted_by_what_was_refused(service: ServiceThread, estate: Estate) -> None:
    with client_of(service, estate.credentials()) as client:
        before = client.metrics()
        refusal(service, estate, estate.ca.client(STRANGER))
        refusal(service, estate, estate.ca.client(uris=[CALLER, SERVER]))
        after = client.metrics()

    counted = {
        name: after[name] - before[name] for name in after if "caller_refusals_total" in name
    }
    assert {name: count for name, count in counted.items() if count} == {
        'authz_caller_refusals_total{refusal="unknown"}': 1,
        'authz_caller_refusals_total{refusal="certificate"}': 1,
    }


def test_health_and_reflection_are_for_callers_that_are_known(
    service: ServiceThread, estate: Estate
) -> None:
    """Or anybody with a certificate of the CA could hold streams open on this port."""
    with client_of(service, estate.credentials(READER)) as client:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        listed = list(stub.ServerReflectionInfo(iter(asked), timeout=5))
        assert "authz_service.api.v1.FactsService" in str(listed[0])
        assert client.serving()
        assert client.await_health(serving=True) < 5

    with capture_logs() as logs, client_of(service, estate.credentials(STRANGER)) as client:
        stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        streams = (
            stub.ServerReflectionInfo(iter(asked), timeout=5),
            client.health.Watch(health_pb2.HealthCheckRequest(), timeout=5),
        )
        assert failing(client.serving).code == "UNAUTHENTICATED"
        for stream in streams:
            assert failing(list, stream).code == "UNAUTHENTICATED"
    assert {line["rpc"] for line in logs if line["event"] == "caller_refused"} == {
        "Health/Check",
        "Health/Watch",
        "ServerReflection/ServerReflectionInfo",
    }


@pytest.mark.parametrize(
    ("version", "served"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_nothing_older_than_tls_1_2_is_spoken(
    service: ServiceThread, estate: Estate, version: ssl.TLSVersion, *, served: bool
) -> None:
    context = estate.context(estate.ca.client())
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version

    if served:
        assert first_frame(service, context)[3:5] == b"\x04\x00"  # HTTP/2 SETTINGS
    else:
        with pytest.raises(ssl.SSLEOFError):  # ended by the service, not by this side
            first_frame(service, context)


def test_a_tls_1_2_client_without_a_certificate_is_refused_in_the_handshake(
    service: ServiceThread, estate: Estate
) -> None:
    context = estate.context()
    context.set_alpn_protocols(["h2"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLEOFError):
        first_frame(service, context)


def first_frame(service: ServiceThread, context: ssl.SSLContext) -> bytes:
    """Shake hands; return the first bytes that the service sends."""
    host, _, port = service.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.recv(9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"insecure_loopback": True}, "are both set", id="loopback-as-well"),
        pytest.param({"client_ca": None}, r"^AUTHZ_CLIENT_CA must be set as well", id="no-ca"),
        pytest.param(
            {"tls_key": Path("/nowhere/key")},
            r"^AUTHZ_TLS_KEY=/nowhere/key: cannot be read \(no such file",
            id="missing-file",
        ),
        pytest.param(
            {"tls_cert": None, "tls_key": None, "client_ca": None},
            r"no caller can be identified: set AUTHZ_TLS_CERT",
            id="nothing",
        ),
    ],
)
def test_settings_that_leave_callers_unknown_are_no_start(
    tmp_path: Path, estate: Estate, changes: dict[str, Any], said: str
) -> None:
    with (
        pytest.raises(StartError, match=said),
        serving(tmp_path, **{**estate.settings, **changes}),
    ):
        pass


def test_an_address_that_others_reach_is_served_with_certificates(
    tmp_path: Path, estate: Estate
) -> None:
    """And needs no row for loopback, which nobody is."""
    with (
        serving(tmp_path, **estate.settings, listen="0.0.0.0:0") as service,
        client_of(service, estate.credentials()) as client,
    ):
        assert client.serving()
