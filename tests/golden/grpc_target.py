"""The whole service over a real port, as a target for the scenarios; one for each kind of set-up.

A service is started once for each database, set of rules and kind of caller; between cases its
registry is emptied under it, as a restore from an empty backup would, which it has to notice.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any
from zlib import crc32

import grpc
import sqlalchemy
from google.protobuf import json_format

from authz_service.api.v1 import (
    containment_pb2,
    containment_pb2_grpc,
    emergency_access_pb2,
    emergency_access_pb2_grpc,
    facts_pb2,
    facts_pb2_grpc,
    vocabulary_pb2,
)
from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.facts.schema import metadata
from authz_service.pdp.entity_plain import parse_instant
from tests.golden.bundles import write_bundle
from tests.golden.scenarios import Case, Plain
from tests.golden.target import Answer, Failure, Page, Row, Setting
from tests.service_thread import SHIPPED_POLICY, ServiceThread, serving
from tests.wire import failure_of, fill

_PLAIN_CALLERS = (
    "caller,rpcs,tenants,actions,purposes,writes,may\n"
    "loopback,*,*,*,*,*,assert_assurance|omit_token\n"
)
_NOT_COMPARED = frozenset(
    {"decision_id", "evaluated_at", "request_id", "subject_id", "recording_id", "action",
     "effect", "reason", "patient_id"}
)  # fmt: skip


class GrpcServices:
    """Starts services as cases ask for them, and stops them all at the end."""

    def __init__(self, new_registry_url: Any, *, explain_every: int) -> None:
        """Have every so many checks explained, too, where their caller may ask that."""
        self._new_registry_url = new_registry_url
        self._explain_every = explain_every
        self._stack = ExitStack()
        self._running: dict[tuple[object, ...], tuple[ServiceThread, str]] = {}

    def close(self) -> None:
        """Stop what was started."""
        self._stack.close()

    def open(self, setting: Setting) -> AbstractAsyncContextManager[GrpcTarget]:
        """Return a target that is set up for a case."""
        return self._opened(setting)

    @asynccontextmanager
    async def _opened(self, setting: Setting) -> AsyncIterator[GrpcTarget]:
        key = (setting.rules, setting.plain)
        if key not in self._running:
            self._running[key] = self._start(setting)
        service, url = self._running[key]
        _empty(url)
        service.clock.instant = parse_instant(setting.clock)
        with grpc.insecure_channel(service.address) as channel:
            yield GrpcTarget(channel, 0 if setting.plain else self._explain_every)

    def _start(self, setting: Setting) -> tuple[ServiceThread, str]:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        policy = write_bundle(setting.rules, folder / "policies")
        callers = SHIPPED_POLICY / "callers.csv"
        if setting.plain:
            callers = folder / "callers.csv"
            callers.write_text(_PLAIN_CALLERS, encoding="utf-8")
        url = self._new_registry_url(folder)
        service = self._stack.enter_context(
            serving(
                folder,
                registry_url=url,
                policy_dir=policy,
                callers_file=callers,
                facts_staleness_ms=0,
            )
        )
        return service, url


class GrpcTarget:
    """A `Target` that asks over a channel."""

    def __init__(self, channel: grpc.Channel, explain_every: int) -> None:
        self._explain_every = explain_every
        self._facts = facts_pb2_grpc.FactsServiceStub(channel)
        self._containments = containment_pb2_grpc.ContainmentServiceStub(channel)
        self._emergency = emergency_access_pb2_grpc.EmergencyAccessServiceStub(channel)
        self._access = grpc_api.RecordingAccessServiceStub(channel)

    async def write_facts(self, facts: Sequence[Plain]) -> None:
        request = facts_pb2.WriteFactsRequest(actor="scenario-runner")
        for fact in facts:
            fill(request.facts.add(), fact)
        self._facts.WriteFacts(request, timeout=30)

    async def contain(self, case: Case) -> None:
        for scope in case.contain:
            request = containment_pb2.ContainRequest(reason="as the case says", actor="case-runner")
            fill(request.scope, scope)
            self._containments.Contain(request, timeout=30)

    async def check(self, question: Plain) -> Answer | Failure:
        request = pb.CheckAccessRequest()
        fill(request, _fields(question))
        try:
            answer = _answer(self._access.CheckAccess(request, timeout=30))
        except grpc.RpcError as error:
            return _failure(error)
        if self._explain_every and crc32(request.SerializeToString()) % self._explain_every == 0:
            why = pb.ExplainAccessRequest(check=request)
            told = self._access.ExplainAccess(why, timeout=30).answer
            assert _answer(told) == answer, "the explanation is of another answer"
        return answer

    async def batch(self, question: Plain) -> Sequence[Answer | None] | Failure:
        request = pb.BatchCheckAccessRequest()
        fill(request, _fields(question))
        try:
            response = self._access.BatchCheckAccess(request, timeout=30)
        except grpc.RpcError as error:
            return _failure(error)
        return [_answer(result.answer) if result.evaluated else None for result in response.results]

    async def open(self, question: Plain) -> Answer | Failure:
        request = emergency_access_pb2.OpenEmergencyAccessRequest()
        fill(request, _fields(question))
        try:
            response = self._emergency.OpenEmergencyAccess(request, timeout=30)
        except grpc.RpcError as error:
            return _failure(error)
        answer = _answer(response)
        assert response.HasField("grant") == (answer.effect == "ALLOW")
        echo = {"subject_id": response.subject_id, "patient_id": response.patient_id}
        return replace(answer, echo=echo)

    async def page(self, question: Plain) -> Page | Failure:
        request = pb.ListRecordingsRequest()
        fill(request, _fields(question))
        try:
            response = self._access.ListRecordings(request, timeout=30)
        except grpc.RpcError as error:
            return _failure(error)
        ids = [response.decision_id, *(row.decision_id for row in response.recordings)]
        assert all(ids), "a page or a row has no decision id"
        assert len(set(ids)) == len(ids), "a decision id is there twice"
        return Page(
            tuple(
                Row(row.recording_id, row.patient_id, row.created_at.ToDatetime(UTC))
                for row in response.recordings
            ),
            response.next_page_token,
            {
                "subject_id": response.subject_id,
                "action": vocabulary_pb2.Action.Name(response.action).removeprefix("ACTION_"),
                "patient_id": response.patient_id,
            },
        )


def _fields(question: Plain) -> Plain:
    return {name: value for name, value in question.items() if name != "rpc"}


def _answer(
    response: pb.CheckAccessResponse | emergency_access_pb2.OpenEmergencyAccessResponse,
) -> Answer:
    plain: Mapping[str, Any] = json_format.MessageToDict(response, preserving_proto_field_name=True)
    return Answer(
        vocabulary_pb2.Effect.Name(response.effect).removeprefix("EFFECT_"),
        vocabulary_pb2.Reason.Name(response.reason).removeprefix("REASON_"),
        {
            "subject_id": response.subject_id,
            "recording_id": str(plain.get("recording_id", "")),
            "action": str(plain.get("action", "")).removeprefix("ACTION_"),
        },
        {name: value for name, value in plain.items() if name not in _NOT_COMPARED},
    )


def _failure(error: Any) -> Failure:
    failure = failure_of(error)
    return Failure(failure.code, failure.fields)


def _empty(url: str) -> None:
    """Take every fact out of the registry, as a restore from an empty backup would."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name == "facts_revision":
                connection.execute(table.update().values(revision=0, nonce="emptied"))
            elif table.name != "alembic_version":
                connection.execute(table.delete())
    engine.dispose()
