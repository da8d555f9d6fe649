"""Every scenario question that the decision itself can answer, asked of the pdp."""

from __future__ import annotations

import pytest

from tests.golden.bundles import ruleset_of
from tests.golden.pdp_target import opening_pdp_targets
from tests.golden.runner import is_played, play
from tests.golden.scenarios import OWN, SHARED, Case, load

_SHARED_CASES = [case for case in load(SHARED) if is_played(case)] if SHARED.is_dir() else []
_OWN_CASES = [case for case in load(OWN) if is_played(case)]
_AT_THE_WIRE = [case for case in _SHARED_CASES if case.expects_status]

_open_target = opening_pdp_targets(ruleset_of)


def _params(cases: list[Case]) -> list[object]:
    return [pytest.param(case, id=case.id) for case in cases if not case.expects_status]


@pytest.mark.skipif(not _SHARED_CASES, reason="the shared scenarios are not beside the project")
@pytest.mark.parametrize("case", _params(_SHARED_CASES))
async def test_shared_scenario_holds_on_the_pdp(case: Case) -> None:
    await play(case, _open_target)


@pytest.mark.parametrize("case", _params(_OWN_CASES))
async def test_own_scenario_holds_on_the_pdp(case: Case) -> None:
    await play(case, _open_target)


@pytest.mark.skipif(not _SHARED_CASES, reason="the shared scenarios are not beside the project")
def test_malformed_questions_are_left_to_the_wire() -> None:
    """What is malformed never reaches the decision, so these are asked over gRPC alone."""
    pytest.skip(
        f"{len(_AT_THE_WIRE)} cases expect a status and are asked over gRPC: "
        + ", ".join(case.id for case in _AT_THE_WIRE)
    )
