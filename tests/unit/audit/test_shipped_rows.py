"""How lines are taken apart beside checks that are answered on the same interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.audit.store.rows import shipment_of
from authz_service.audit.store.shipment import Progress
from tests.contract.shipping.journal_files import JournalFiles, decided, decisions


@pytest.mark.parametrize("a_line", [1, 10, 640], ids=lambda count: f"{count}-in-a-line")
def test_others_have_a_turn_every_few_records(tmp_path: Path, a_line: int) -> None:
    """However many records stand in a line."""
    journal = JournalFiles(tmp_path / "journal")
    if a_line == 1:
        journal.append(*decisions(0, 640))
    else:
        appends = [[decided(n) for n in range(at, at + a_line)] for at in range(0, 640, a_line)]
        journal.append(*appends)
    breaths = []

    shipment = shipment_of(
        journal.path(1).read_bytes(), Progress(), 1, 0, breathe=lambda: breaths.append(1)
    )

    assert shipment.records == len(shipment.decisions) == 640
    assert len(breaths) == 10
