"""Every scenario question again, over gRPC, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golden.grpc_target import GrpcServices
from tests.golden.runner import is_played, play
from tests.golden.scenarios import OWN, SHARED, Case, load
from tests.postgres import new_database

_SHARED_CASES = [case for case in load(SHARED) if is_played(case)] if SHARED.is_dir() else []
_OWN_CASES = [case for case in load(OWN) if is_played(case)]


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'registry.db'}"


def _postgresql(_folder: Path) -> str:
    return new_database()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((_sqlite, 1), id="sqlite"),
        pytest.param((_postgresql, 16), id="postgresql", marks=pytest.mark.postgres),
    ],
)
def services(request: pytest.FixtureRequest) -> Iterator[GrpcServices]:
    """Services whose explanations are held against their answers; on the second, some of them."""
    new_registry_url, explain_every = request.param
    started = GrpcServices(new_registry_url, explain_every=explain_every)
    yield started
    started.close()


@pytest.mark.skipif(not _SHARED_CASES, reason="the shared scenarios are not beside the project")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in _SHARED_CASES])
async def test_shared_scenario_holds_over_grpc(case: Case, services: GrpcServices) -> None:
    await play(case, services.open)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in _OWN_CASES])
async def test_own_scenario_holds_over_grpc(case: Case, services: GrpcServices) -> None:
    await play(case, services.open)
