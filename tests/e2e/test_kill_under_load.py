"""kill -9 while many ask: whoever was answered is in the journal, and the next start serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from authz_service.api.v1 import recording_access_pb2_grpc as grpc_api
from authz_service.audit.verify import read_records, verify_journal
from tests.e2e.client import client_of, outcome_of, question
from tests.e2e.clinic import FACTS
from tests.service_process import ServiceProcess, serving_process

Told = tuple[str, str, str]
"""Decision id, subject, and the effect that the client was told."""


async def told_until_killed(service: ServiceProcess, enough: int) -> list[Told]:
    """Ask with 32 calls in flight; kill the service once enough were answered."""
    told: list[Told] = []
    enough_told = asyncio.Event()

    async def ask(stub: Any, subject: str) -> None:
        while True:
            try:
                answer = await stub.CheckAccess(question(subject, "rec-mara"), timeout=10)
            except grpc.aio.AioRpcError:
                return
            told.append((answer.decision_id, subject, outcome_of(answer)[0]))
            if len(told) >= enough:
                enough_told.set()

    async with grpc.aio.insecure_channel(service.address) as channel:
        stub: Any = grpc_api.RecordingAccessServiceStub(channel)
        asking = [asyncio.create_task(ask(stub, ("mara", "ines")[n % 2])) for n in range(32)]
        await asyncio.wait_for(enough_told.wait(), timeout=30)
        await asyncio.to_thread(service.kill)
        await asyncio.gather(*asking)
    return told


@pytest.mark.slow
def test_every_answer_that_left_is_in_the_journal(tmp_path: Path) -> None:
    told: list[Told] = []
    for life, enough in enumerate((1, 150, 600)):
        with serving_process(tmp_path) as service:
            if life == 0:
                with client_of(service) as client:
                    client.write(FACTS)
            told += asyncio.run(told_until_killed(service, enough))

        assert verify_journal(tmp_path / "journal").fault is None
    with serving_process(tmp_path) as service, client_of(service) as client:
        last = client.check()
        told.append((last.decision_id, "mara", outcome_of(last)[0]))

    report = verify_journal(tmp_path / "journal")
    recorded = {
        (record["decision_id"], record["subject_id"], record["effect"])
        for record in read_records(tmp_path / "journal")
        if record["kind"] == "DECISION"
    }
    assert (report.fault, report.segments >= 4) == (None, True)
    assert len(told) >= 752
    assert set(told) <= recorded
    assert {effect for _, _, effect in told} == {"ALLOW", "DENY"}
