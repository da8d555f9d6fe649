"""`authz status` while workers are starting: nobody is told to start what is being started."""

from __future__ import annotations

import pytest

from authz_service.cli import status_report
from authz_service.cli.console_client import ConsoleReading, WorkerReading
from authz_service.cli.http_client import NOTHING
from authz_service.cli.options import Format
from authz_service.cli.wording import start_hint


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("starting", "its workers are starting"),
        ("restarting", "its workers are starting"),
        ("not_serving", start_hint()),
    ],
)
def test_workers_that_are_starting_are_not_to_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, said: str
) -> None:
    reading = ConsoleReading(workers=(WorkerReading(1, state, {}, "", "", 0),))
    silence = f"no service answers at x:1; {start_hint()}"
    monkeypatch.setattr(status_report, "read_console", lambda *_: reading)
    monkeypatch.setattr(
        status_report, "status_or_silence", lambda *_, **__: ("UNREACHABLE", silence)
    )

    status_report.report_status("x:1", "x:2", 1.0, Format.TEXT, shown=NOTHING)

    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert (start_hint() in shown) == (state == "not_serving")
