"""Connections are bounded in number and in time, and never in who gets the next place."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import structlog

from authz_service.console.listener import (
    Bounds,
    Connection,
    ConsoleAddressError,
    Listener,
    Place,
)
from tests.certificates import Estate

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(connection: Connection) -> None:
    """Answer with the first line."""
    connection.writer.write(await connection.reader.readline())


@asynccontextmanager
async def listening(
    bounds: Bounds,
    serve: Callable[[Connection], Awaitable[None]] = echo,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[Listener, Callable[[], Awaitable[Streams]]]]:
    """Listen on a free port; lend the listener, and what connects to it in plaintext."""
    place = Place("127.0.0.1:0", "AUTHZ_TEST_LISTEN")
    listener = Listener(place, serve, bounds=bounds, tls=lambda: tls)
    port = await listener.start()
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        return reader, writer

    try:
        yield listener, connect
    finally:
        for writer in opened:
            writer.close()
        await listener.close()


async def echoed(streams: Streams) -> bytes:
    """Send a line; return what comes back until the end."""
    reader, writer = streams
    writer.write(b"hello\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def ended(streams: Streams) -> bool:
    """Whether the other side ends the connection, without a word."""
    try:
        return await asyncio.wait_for(streams[0].read(), 5) == b""
    except ConnectionResetError:
        return True


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names alone


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something comes to hold."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # nobody tells of it
            await asyncio.sleep(0.02)


async def test_a_connection_that_says_nothing_is_cut_when_its_time_is_up() -> None:
    async with listening(Bounds(4, 0.2)) as (listener, connect):
        silent = await connect()

        assert await ended(silent)
        assert listener.dropped == 1


async def test_a_byte_now_and_then_gains_no_time() -> None:
    async with listening(Bounds(4, 0.3)) as (_, connect):
        slow = await connect()

        async def drip() -> None:
            while True:
                slow[1].write(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await ended(slow)
        dripping.cancel()


async def test_who_does_not_read_its_answer_is_cut_too() -> None:
    async def flood(connection: Connection) -> None:
        connection.writer.write(b"x" * (64 << 20))
        await connection.writer.drain()

    async with listening(Bounds(4, 0.3), flood) as (listener, connect):
        await connect()
        await eventually(lambda: listener.dropped == 1)


async def test_time_can_be_given() -> None:
    async def wait(connection: Connection) -> None:
        connection.may_last(5)
        await asyncio.sleep(0.3)
        await echo(connection)

    async with listening(Bounds(4, 0.1), wait) as (listener, connect):
        assert await echoed(await connect()) == b"hello\n"
        assert listener.dropped == 0


async def test_the_newest_takes_the_place_of_the_oldest() -> None:
    async with listening(Bounds(3, 30)) as (listener, connect):
        idle = [await connect() for _ in range(3)]

        assert await echoed(await connect()) == b"hello\n"

        assert await ended(idle[0])
        assert listener.dropped == 1
        assert await echoed(idle[2]) == b"hello\n"


async def test_places_are_given_back() -> None:
    async with listening(Bounds(2, 30)) as (listener, connect):
        for _ in range(10):
            assert await echoed(await connect()) == b"hello\n"

        assert listener.dropped == 0


async def test_a_flood_leaves_nothing_behind() -> None:
    async with listening(Bounds(8, 30)) as (listener, connect):
        before = descriptors()
        flood = [await connect() for _ in range(300)]

        assert await echoed(await connect()) == b"hello\n"
        assert listener.dropped >= 293
        for _, writer in flood:
            writer.close()
        await eventually(lambda: descriptors() <= before)


async def test_a_handshake_that_stops_is_bounded_as_well(shared_estate: Estate) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(shared_estate.folder / "server.crt", shared_estate.folder / "server.key")
    async with listening(Bounds(4, 0.3), tls=tls) as (listener, connect):
        before = descriptors()
        halted = [await connect() for _ in range(8)]
        halted[0][1].write(b"\x16\x03\x01\x02\x00\x01")
        halted[1][1].write(b"GET /metrics HTTP/1.1\r\n\r\n")

        assert all(await asyncio.gather(*(ended(each) for each in halted[2:])))
        assert listener.dropped >= 6
        for _, writer in halted:
            writer.close()
        await eventually(lambda: descriptors() <= before)


async def test_a_flood_is_one_line_in_the_log() -> None:
    with structlog.testing.capture_logs() as logs:
        async with listening(Bounds(1, 30)) as (_, connect):
            for _ in range(20):
                await connect()
            assert await echoed(await connect()) == b"hello\n"

    assert [line["event"] for line in logs] == ["connections_dropped"]
    assert (logs[0]["setting"], logs[0]["why"]) == ("AUTHZ_TEST_LISTEN", "no room")


async def test_a_defect_ends_one_connection_and_is_told() -> None:
    async def break_down(connection: Connection) -> None:
        if await connection.reader.readline() == b"break\n":
            raise LookupError
        connection.writer.write(b"fine")

    with structlog.testing.capture_logs() as logs:
        async with listening(Bounds(4, 5), break_down) as (_, connect):
            broken = await connect()
            broken[1].write(b"break\n")
            assert await ended(broken)
            assert await echoed(await connect()) == b"fine"

    assert [(line["event"], line["error_type"]) for line in logs] == [
        ("connection_failed", "LookupError")
    ]


async def test_who_is_being_answered_when_it_closes_is_answered() -> None:
    begun = asyncio.Event()

    async def wait(connection: Connection) -> None:
        begun.set()
        await asyncio.sleep(0.1)
        await echo(connection)

    async with listening(Bounds(4, 5), wait) as (listener, connect):
        answered = asyncio.create_task(echoed(await connect()))
        await begun.wait()
        await listener.close()
        assert await answered == b"hello\n"
        with pytest.raises(ConnectionRefusedError):
            await connect()


async def test_closing_waits_for_nobody_for_long() -> None:
    async with listening(Bounds(4, 30)) as (listener, connect):
        silent = await connect()
        await asyncio.sleep(0.05)

        async with asyncio.timeout(2):
            await listener.close(0.1)

        assert await ended(silent)


async def test_a_port_that_is_taken_is_an_error_that_names_the_setting() -> None:
    async with listening(Bounds(1, 1)) as (listener, _):
        assert listener._listening is not None
        port = listener._listening.getsockname()[1]
        second = Listener(Place(f"127.0.0.1:{port}", "AUTHZ_TEST"), echo, bounds=Bounds(1, 1))

        with pytest.raises(ConsoleAddressError, match=r"AUTHZ_TEST=127\.0\.0\.1:\d+ .*in use"):
            await second.start()
        await second.close()
