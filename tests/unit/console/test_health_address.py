"""The health address: two protocols at one port, yes or no, and room for every probe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as grpc_api

from authz_service.console import health_address
from authz_service.console.health_address import HealthAddress
from authz_service.console.listener import Bounds
from authz_service.server.health import HealthServicer
from authz_service.server.probe_server import ProbeServer

SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


class Probed:
    """A health address, and whether it is ready."""

    def __init__(self) -> None:
        self.is_ready = True
        self.servicer = HealthServicer(["a.Service"])
        self.server = ProbeServer(self.servicer)
        self.address: HealthAddress | None = None
        self.port = 0

    async def start(self) -> None:
        """Serve."""
        path = await self.server.start()
        self.address = HealthAddress("127.0.0.1:0", is_ready=lambda: self.is_ready, grpc_path=path)
        await self.address.start()
        self.port = self.address.port

    async def tell(self, status: Any) -> None:
        """Tell gRPC's probes."""
        await self.servicer.set(status, is_last=False)

    async def stop(self) -> None:
        """Serve no more."""
        if self.address is not None:
            await self.address.close()
        await self.server.stop()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def said(self, *parts: bytes) -> bytes:
        """Send the parts one by one; return all that comes back."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    async def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Get a page as kubelet does: status and body."""
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.35\r\n\r\n"
        head, _, body = (await self.said(request.encode())).partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def channel(self) -> grpc.aio.Channel:
        """Return a channel of its own."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options)

    async def check(self, service: str = "") -> Any:
        """Ask over gRPC, on a connection of its own."""
        async with self.channel() as channel:
            stub: Any = grpc_api.HealthStub(channel)
            return (await stub.Check(pb.HealthCheckRequest(service=service), timeout=5)).status


def entries(folder: Path) -> list[tuple[str, int]]:
    """Return what is in a folder: names and modes."""
    return [(path.name, path.stat().st_mode & 0o777) for path in folder.iterdir()]


@asynccontextmanager
async def probed() -> AsyncIterator[Probed]:
    """Serve health on a free port."""
    at = Probed()
    await at.start()
    try:
        yield at
    finally:
        await at.stop()


async def test_http_says_whether_it_lives_and_whether_it_serves() -> None:
    async with probed() as at:
        ready = [await at.get(path) for path in ("/livez", "/readyz", "/readyz?verbose")]
        at.is_ready = False
        away = [await at.get(path) for path in ("/livez", "/readyz")]
        head = await at.get("/readyz", "HEAD")

    assert ready == [(200, b"SERVING\n")] * 3
    assert away == [(200, b"SERVING\n"), (503, b"NOT_SERVING\n")]
    assert head == (503, b"")


async def test_http_says_nothing_else() -> None:
    async with probed() as at:
        missing = [await at.get(path) for path in ("/", "/healthz", "/metrics", "/workers")]
        posted = [await at.get("/livez", method) for method in ("POST", "PUT", "PRI", "PROPFIND")]
        answer = await at.said(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")

    assert missing == [(404, b"")] * 4
    assert posted == [(405, b"")] * 4
    assert b"Cache-Control: no-store\r\n" in answer
    assert b"Server:" not in answer


async def test_grpc_says_the_same_at_the_same_address() -> None:
    async with probed() as at:
        before = await at.check()
        await at.tell(SERVING)
        found = [await at.check(), await at.check("a.Service")]
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await at.check("another.Service")

    assert (before, found) == (NOT_SERVING, [SERVING, SERVING])
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_grpc_says_nothing_else() -> None:
    async with probed() as at, at.channel() as channel:
        for method in (
            "/authz_service.api.v1.RecordingAccessService/CheckAccess",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ):
            call: Any = channel.unary_unary(method)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"", timeout=5)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_who_watches_is_told_of_changes() -> None:
    async with probed() as at, at.channel() as channel:
        stub: Any = grpc_api.HealthStub(channel)
        watch = stub.Watch(pb.HealthCheckRequest(), timeout=10)
        told = [(await watch.read()).status]
        await at.tell(SERVING)
        told.append((await watch.read()).status)
        watch.cancel()

    assert told == [NOT_SERVING, SERVING]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([PREFACE + SETTINGS], id="at-once"),
        pytest.param([PREFACE[:1], PREFACE[1:], SETTINGS], id="after-one-byte"),
        pytest.param([PREFACE[:16], PREFACE[16:] + SETTINGS], id="after-its-first-line"),
    ],
)
async def test_http_2_is_known_by_its_preface(parts: list[bytes]) -> None:
    async with probed() as at:
        reader, writer = await at.connect()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        frame = await asyncio.wait_for(reader.readexactly(9), 5)
        writer.close()

    assert frame[3] == 4  # SETTINGS


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", id="nearly-http-2"),
        pytest.param(b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n", id="a-method-named-pri"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="tls"),
        pytest.param(b"hello\r\n\r\n", id="words"),
    ],
)
async def test_whatever_else_is_sent_is_refused(sent: bytes) -> None:
    async with probed() as at:
        answer = await at.said(sent)

        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 405 "))
        assert await at.get("/livez") == (200, b"SERVING\n")


async def test_who_only_connects_is_no_trouble() -> None:
    """As a probe of the TCP port does."""
    async with probed() as at:
        for _ in range(5):
            _, writer = await at.connect()
            writer.close()

        assert await at.get("/readyz") == (200, b"SERVING\n")


async def test_a_connection_that_only_begins_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_address, "BOUNDS", Bounds(4, 0.2))
    async with probed() as at:
        for begun in (b"", b"P", PREFACE[:20], b"GET /livez HTTP/1.1\r\nHost:"):
            assert await at.said(begun) == b""
        assert at.address is not None
        assert at.address.dropped == 4


async def test_http_2_is_cut_too_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_address, "HTTP2_SECONDS", 0.3)
    async with probed() as at, at.channel() as channel:
        stub: Any = grpc_api.HealthStub(channel)
        watch = stub.Watch(pb.HealthCheckRequest(), timeout=10)
        assert (await watch.read()).status == NOT_SERVING

        with pytest.raises(grpc.aio.AioRpcError) as cut:
            await watch.read()

    assert cut.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_silent_and_watching_connections_keep_no_probe_out() -> None:
    """More of each than there is room for: 64 connections."""
    async with probed() as at:
        await at.tell(SERVING)
        silent = [await at.connect() for _ in range(70)]
        channels = [at.channel() for _ in range(70)]
        watches: list[Any] = []
        for channel in channels:
            stub: Any = grpc_api.HealthStub(channel)
            watches.append(stub.Watch(pb.HealthCheckRequest()))
        await asyncio.gather(*(watch.read() for watch in watches), return_exceptions=True)

        assert await asyncio.wait_for(at.get("/readyz"), 1) == (200, b"SERVING\n")
        assert await asyncio.wait_for(at.check(), 2) == SERVING
        assert at.address is not None
        assert at.address.dropped >= 70
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*(channel.close() for channel in channels))
        for _, writer in silent:
            writer.close()


async def test_one_connection_cannot_have_many_calls() -> None:
    async with probed() as at, at.channel() as channel:
        stub: Any = grpc_api.HealthStub(channel)
        watches = [stub.Watch(pb.HealthCheckRequest()) for _ in range(20)]
        reads = [asyncio.create_task(watch.read()) for watch in watches]
        answered, waiting = await asyncio.wait(reads, timeout=0.5)

        assert (len(answered), len(waiting)) == (8, 12)
        assert await at.check() == NOT_SERVING
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*reads, return_exceptions=True)


async def test_a_large_request_or_large_metadata_is_refused() -> None:
    async with probed() as at:
        async with at.channel() as channel:
            stub: Any = grpc_api.HealthStub(channel)
            for request, metadata in (
                (pb.HealthCheckRequest(service="x" * 2000), ()),
                (pb.HealthCheckRequest(), [("x-large", "x" * 20_000)]),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Check(request, timeout=5, metadata=metadata)
                assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        assert await at.check() == NOT_SERVING


async def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with probed() as at:
        [(_, mode)] = entries(tmp_path)
        assert await at.check() == NOT_SERVING

    assert mode == 0o700
    assert entries(tmp_path) == []


async def test_the_drain_is_not_held_up_by_who_watches() -> None:
    at = Probed()
    await at.start()
    async with at.channel() as channel:
        stub: Any = grpc_api.HealthStub(channel)
        watch = stub.Watch(pb.HealthCheckRequest())
        await watch.read()

        async with asyncio.timeout(2):
            await at.stop()
        watch.cancel()
