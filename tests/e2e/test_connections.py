"""However many connect, the service keeps files for itself, and who is connected is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from tests import service_process
from tests.e2e.attack_frames import CHECK, Line
from tests.e2e.client import ALLOWED, Client, client_of, failing
from tests.e2e.clinic import FACTS, patient
from tests.service_process import serving_process
from tests.wire import failure_of

FILES = 400
"""So many files the service may open here, and so half as many connections."""


@pytest.mark.slow
def test_connections_do_not_take_the_files_of_journal_and_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_files = ["bash", "-c", f'ulimit -n {FILES}; exec "$@"', "_", *service_process.COMMAND]
    monkeypatch.setattr(service_process, "COMMAND", few_files)
    with (
        serving_process(tmp_path, AUTHZ_JOURNAL_SEGMENT_BYTES="65536") as service,
        client_of(service) as client,
    ):
        client.write(FACTS)
        lines = [Line(service.address) for _ in range(FILES)]
        for line in lines:
            line.hear(0.2)
            line.hear(0.001)
        shown_out = sum(not line.is_open for line in lines)

        for number in range(150):
            assert client.outcome() == ALLOWED
            assert client.write([patient(f"new-{number}")]).written == 1
        assert client.reload().outcome

        assert shown_out >= FILES // 2
        assert psutil.Process(service.pid).num_fds() < FILES - 50
        assert client.metrics()["authz_journal_segments"] > 1
        for line in lines:
            line.close()
        with client_of(service) as other:
            assert other.outcome() == ALLOWED
        assert [event for event in service.events() if event["level"] != "info"] == []


def test_more_metadata_than_is_taken_is_refused_by_grpc(shared_client: Client) -> None:
    small = [("x-small", "y" * 8000)]
    large = [("x-large", "y" * 17_000)]

    refused = failing(shared_client.check, metadata=large, timeout=5)

    assert refused.code == "RESOURCE_EXHAUSTED"
    assert shared_client.check(metadata=small).subject_id == "mara"


def test_a_compressed_message_counts_as_what_it_is_unpacked(shared_client: Client) -> None:
    """A gzip of 8 MiB of zeros is 8 KiB on the wire."""
    method: Any = shared_client.channel.unary_unary(CHECK)
    with pytest.raises(grpc.RpcError) as error:
        method(bytes(8 << 20), timeout=10, compression=grpc.Compression.Gzip)

    assert failure_of(error.value).code == "RESOURCE_EXHAUSTED"
