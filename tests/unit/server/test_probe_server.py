"""A server of health alone, on a socket of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.server.health import HealthServicer
from authz_service.server.listen import ListenError
from authz_service.server.probe_server import ProbeServer


async def test_a_path_that_is_too_long_for_a_socket_is_refused_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    server = ProbeServer(HealthServicer([]))

    with pytest.raises(ListenError, match=r"AUTHZ_HEALTH_LISTEN: .*set TMPDIR"):
        await server.start()
    await server.stop()

    assert not any(deep.iterdir())
