"""How many connections leave room for the process's own files."""

from __future__ import annotations

import resource

import pytest

from authz_service.runtime import MOST_CONNECTIONS, OWN_FILES, connections_allowed

UNLIMITED = resource.RLIM_INFINITY


class Limit:
    """The limit of open files, which a process may raise up to a hard one."""

    def __init__(self, soft: int, hard: int, *, may_raise: bool = True) -> None:
        self.now = (soft, hard)
        self._may_raise = may_raise

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        if not self._may_raise:
            raise OSError(1, "not permitted")
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "raised_to", "connections"),
    [
        pytest.param(1024, 20_000, 16_512, 16_000, id="room-for-all"),
        pytest.param(1024, 4096, 4096, 3584, id="up-to-the-hard-limit"),
        pytest.param(1024, UNLIMITED, 16_512, 16_000, id="no-hard-limit"),
        pytest.param(UNLIMITED, UNLIMITED, UNLIMITED, 16_000, id="no-limit"),
        pytest.param(100_000, 100_000, 100_000, 16_000, id="never-lowered"),
        pytest.param(600, 600, 600, 300, id="at-least-half-where-there-are-few"),
    ],
)
def test_connections_leave_room_for_our_own_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised_to: int, connections: int
) -> None:
    limit = Limit(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limit.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limit.setrlimit)

    allowed = connections_allowed()

    assert (OWN_FILES, MOST_CONNECTIONS) == (512, 16_000)
    assert allowed == connections
    assert limit.now == (raised_to, hard)


def test_a_process_that_may_not_open_more_files_takes_fewer_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = Limit(1024, 20_000, may_raise=False)
    monkeypatch.setattr(resource, "getrlimit", limit.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limit.setrlimit)

    assert connections_allowed() == 512
