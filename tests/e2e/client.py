"""A client of the whole service: it asks, writes, watches health, and takes failures apart."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authz_service.api.v1 import (
    containment_pb2,
    containment_pb2_grpc,
    decision_log_pb2_grpc,
    facts_pb2,
    facts_pb2_grpc,
    policy_pb2,
    policy_pb2_grpc,
    vocabulary_pb2,
)
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from tests.certificates import BOOKING, CALLER, MEDIA_SERVER, Estate
from tests.e2e.clinic import Plain
from tests.wire import RpcFailure, failure_of, fill

ALLOWED = ("ALLOW", "RULE_ALLOWED")
_PATIENCE_SECONDS = 15.0
_WITNESSES = {"consultation": BOOKING, "attendance": MEDIA_SERVER}


class Client:
    """Speaks to one service over one channel."""

    def __init__(
        self,
        address: str,
        http_address: str = "",
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = (
            grpc.secure_channel(address, credentials, options)
            if credentials
            else grpc.insecure_channel(address, options)
        )
        self.access: Any = grpc_api.RecordingAccessServiceStub(self.channel)
        self.facts: Any = facts_pb2_grpc.FactsServiceStub(self.channel)
        self.containments: Any = containment_pb2_grpc.ContainmentServiceStub(self.channel)
        self.policy: Any = policy_pb2_grpc.PolicyServiceStub(self.channel)
        self.log: Any = decision_log_pb2_grpc.DecisionLogServiceStub(self.channel)
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)
        self.address = address
        self._http_address = http_address

    def check(
        self,
        subject: str = "mara",
        recording: str = "rec-mara",
        *,
        timeout: float | None = 10,
        metadata: Sequence[tuple[str, str]] = (),
        **fields: Any,
    ) -> Any:
        """Ask; return the answer as it came."""
        request = question(subject, recording, **fields)
        return self.access.CheckAccess(request, timeout=timeout, metadata=metadata)

    def outcome(self, subject: str = "mara", recording: str = "rec-mara", **fields: Any) -> Any:
        """Ask; return effect and reason by their short names."""
        return outcome_of(self.check(subject, recording, **fields))

    def write(self, facts: Sequence[Plain], *, actor: str = "operator", **options: Any) -> Any:
        """Write facts."""
        return self.facts.WriteFacts(write_request(facts, actor), timeout=10, **options)

    def contain(self, scope: Plain, *, actor: str = "jo.doe", reason: str = "ticket 4711") -> Any:
        """Switch access off for what *scope* covers."""
        request = containment_pb2.ContainRequest(reason=reason, actor=actor)
        fill(request.scope, scope)
        return self.containments.Contain(request, timeout=10)

    def lift(self, containment_id: str, *, actor: str = "sam.roe", reason: str = "mended") -> Any:
        """End a containment."""
        request = containment_pb2.LiftContainmentRequest(
            id=containment_id, reason=reason, actor=actor
        )
        return self.containments.LiftContainment(request, timeout=10)

    def listed_containments(self, *, include_lifted: bool = False, **paging: Any) -> Any:
        """Return a page of containments."""
        request = containment_pb2.ListContainmentsRequest(include_lifted=include_lifted, **paging)
        return self.containments.ListContainments(request, timeout=10)

    def reload(self, *, dry_run: bool = False) -> Any:
        """Have the bundle read again."""
        request = policy_pb2.ReloadPolicyRequest(actor="operator", dry_run=dry_run)
        return self.policy.ReloadPolicy(request, timeout=10)

    def active_policy(self) -> Any:
        """Return what is in force."""
        return self.policy.GetActivePolicy(policy_pb2.GetActivePolicyRequest(), timeout=10)

    def serving(self) -> bool:
        """Whether health says SERVING."""
        response = self.health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    def await_health(self, *, serving: bool, service: str = "") -> float:
        """Watch health until it says so; return how long that took, in seconds."""
        wanted = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        begun = time.monotonic()
        watch = self.health.Watch(
            health_pb2.HealthCheckRequest(service=service), timeout=_PATIENCE_SECONDS
        )
        try:
            for response in watch:
                if response.status == wanted:
                    return time.monotonic() - begun
        finally:
            watch.cancel()
        raise AssertionError("health never changed")  # pragma: no cover

    def http(self, path: str) -> tuple[int, str]:
        """Get a page of the console: status and text."""
        try:
            with urllib.request.urlopen(  # our own address
                f"http://{self._http_address}{path}", timeout=10
            ) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Return every sample of ``/metrics``, by name and labels as they are written."""
        samples = {}
        for line in self.http("/metrics")[1].splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples


@contextmanager
def client_of(service: Any, credentials: grpc.ChannelCredentials | None = None) -> Iterator[Client]:
    """Lend a client of *service*, over TLS where there are *credentials*."""
    client = Client(service.address, service.http_address, credentials)
    try:
        yield client
    finally:
        client.channel.close()


def write_as_three(service: Any, estate: Estate, facts: Sequence[Plain]) -> None:
    """Write *facts* over TLS: consultations and attendances each by the one that may say them."""
    said: dict[str, list[Plain]] = {CALLER: [], BOOKING: [], MEDIA_SERVER: []}
    for each in facts:
        said[_WITNESSES.get(next(iter(each)), CALLER)].append(each)
    for caller, theirs in said.items():
        with client_of(service, estate.credentials(caller)) as client:
            client.write(theirs)


def question(subject: str, recording: str, /, **fields: Any) -> pb.CheckAccessRequest:
    """Return a question: may *subject* VIEW *recording*, at the patient's request?"""
    request = pb.CheckAccessRequest()
    plain = {
        "subject": {"id": subject},
        "recording_id": recording,
        "action": "VIEW",
        "context": {"purpose_of_use": "PATRQT"},
        **fields,
    }
    fill(request, plain)
    return request


def write_request(facts: Sequence[Plain], actor: str = "operator") -> facts_pb2.WriteFactsRequest:
    """Return the request that writes *facts*."""
    request = facts_pb2.WriteFactsRequest(actor=actor)
    for plain in facts:
        fill(request.facts.add(), plain)
    return request


def outcome_of(response: Any) -> tuple[str, str]:
    """Return effect and reason by their short names."""
    return (
        vocabulary_pb2.Effect.Name(response.effect).removeprefix("EFFECT_"),
        vocabulary_pb2.Reason.Name(response.reason).removeprefix("REASON_"),
    )


def failing(call: Callable[..., Any], *args: Any, **kwargs: Any) -> RpcFailure:
    """Make a call that has to fail; return how it failed."""
    try:
        answer = call(*args, **kwargs)
    except grpc.RpcError as error:
        return failure_of(error)
    raise AssertionError(f"the call was answered: {answer}")


def eventually(holds: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait until something that another process does is seen to hold."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("it never came to hold")
        time.sleep(0.01)
