"""What a parent reserves: a port that is nobody else's, and a directory of journals."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.server.listen import ListenError
from authz_service.supervision.journals import left_behind, worker_journal, worker_journals
from authz_service.supervision.port import reserved_port


@contextlib.contextmanager
def listening(port: int, *, shared: bool) -> Iterator[socket.socket]:
    """Listen as gRPC does, as a worker or as a service of one process."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server


def linger(*servers: socket.socket) -> None:
    """Leave a closed connection behind that holds the port; whichever of *servers* gets it."""
    with socket.create_connection(servers[0].getsockname()):
        ready, _, _ = select.select(servers, (), (), 10)
        ready[0].accept()[0].close()


def port_of(sock: socket.socket) -> int:
    """Return the port that a socket is bound to."""
    return int(sock.getsockname()[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reserved_port_is_for_its_own_workers_only(workers: int) -> None:
    """Also in a moment in which none of them listens."""
    with reserved_port("127.0.0.1:0") as ours, contextlib.ExitStack() as stack:
        port = port_of(ours)
        listeners = [stack.enter_context(listening(port, shared=True)) for _ in range(workers)]
        if listeners:
            linger(*listeners)

        with pytest.raises(ListenError, match=f"AUTHZ_LISTEN=127.0.0.1:{port} is taken"):
            reserved_port(f"127.0.0.1:{port}")
        with pytest.raises(OSError, match="in use"), listening(port, shared=False):
            pass


@pytest.mark.parametrize("shared", [False, True], ids=["one-process", "workers"])
def test_a_port_can_be_reserved_right_after_a_service_on_it_has_ended(*, shared: bool) -> None:
    with listening(0, shared=shared) as before:
        linger(before)
        port = port_of(before)

    with reserved_port(f"127.0.0.1:{port}") as ours:
        with pytest.raises(ListenError):
            reserved_port(f"127.0.0.1:{port}")
        with listening(port, shared=True) as worker:
            assert port_of(worker) == port_of(ours) == port


def test_a_port_of_ipv6_can_be_reserved() -> None:
    with reserved_port("[::1]:0") as ours:
        assert port_of(ours) > 0


def test_journals_of_other_arrangements_are_found(tmp_path: Path) -> None:
    """Those that hold something; a directory that is called otherwise is none."""
    for name in ("worker-1", "worker-2", "worker-10", "worker-0", "worker-x", "worker-3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "segment-00000001.jsonl").touch()
    (tmp_path / "worker-3" / "segment-00000001.jsonl").unlink()

    assert list(worker_journals(tmp_path)) == [1, 2, 3, 10]
    assert left_behind(tmp_path, 2) == [tmp_path / "worker-10"]
    assert left_behind(tmp_path, 0) == [tmp_path / f"worker-{n}" for n in (1, 2, 10)]
    (tmp_path / "segment-00000001.jsonl").touch()
    assert left_behind(tmp_path, 10) == [tmp_path]
    assert worker_journal(tmp_path, 2) == tmp_path / "worker-2"
