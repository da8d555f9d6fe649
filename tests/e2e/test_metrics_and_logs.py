"""What operators see: every metric from the start, one line a decision, and nobody's data."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.pdp.model import Action, Reason
from tests.e2e.client import Client, client_of, failing, question
from tests.e2e.clinic import FACTS, SEEN, delegation, fact
from tests.marked import BIRTH_DATE, FREE_TEXT
from tests.service_process import serving_process
from tests.service_thread import serving

FAMILY: dict[str, Any] = {"context": {"purpose_of_use": "FAMRQT"}}
IDS = ("mara", "ines", "olga", "lio", "dr-lund", "rec-mara", "rec-lio", "operator", "fjell")
LINE_FIELDS = {
    "decision_id",
    "request_id",
    "caller",
    "subject_id",
    "action",
    "recording_id",
    "effect",
    "reason",
    "rule",
    "policy_revision",
    "facts_revision",
    "elapsed_microseconds",
}
NEVER_RECORDED = {"RULE_ALLOWED", "ALLOWED", "NOT_AVAILABLE"}
OF_OPENINGS = {"PATIENT_UNKNOWN", "REVIEW_OVERDUE"}


class Evening(NamedTuple):
    """Metrics in the morning and in the evening, and the page as it is then."""

    before: dict[str, float]
    after: dict[str, float]
    page: str


def busy_day(client: Client) -> None:
    """Ask, write and fail in every way that counts."""
    grant = {"kind": "SHARE", "subject_id": "ines", "recording_id": "rec-mara"}
    client.write([*FACTS, delegation("del-1")])
    client.write(
        [fact("grant", id="gra-1", actions=["VIEW"], valid_from=SEEN, reason=FREE_TEXT, **grant)]
    )
    client.check()
    client.check("ines", "rec-mara", metadata=[("x-request-id", "req-of-ines")])
    client.check("olga", "rec-lio", **FAMILY)
    failing(client.access.CheckAccess, question("", "rec-mara"), timeout=10)
    broken = question("no id", "rec-mara")
    request = pb.BatchCheckAccessRequest(checks=[question("mara", "rec-mara"), broken])
    client.access.BatchCheckAccess(request, timeout=10)
    client.reload()


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Evening:
    """What the metrics say at the start of a busy day and at its end."""
    with serving(tmp_path_factory.mktemp("day")) as service, client_of(service) as client:
        before = client.metrics()
        busy_day(client)
        return Evening(before, client.metrics(), client.http("/metrics")[1])


def test_every_label_value_is_there_from_the_start(evening: Evening) -> None:
    metrics = evening.before

    for action in (*Action, "UNSPECIFIED"):
        allowed = f'{{action="{action}",effect="ALLOW",reason="RULE_ALLOWED"}}'
        assert metrics[f"authz_decisions_total{allowed}"] == 0
        for reason in set(Reason) - NEVER_RECORDED - OF_OPENINGS:
            denied = f'{{action="{action}",effect="DENY",reason="{reason}"}}'
            assert metrics[f"authz_decisions_total{denied}"] == 0
    for result in ("activated", "unchanged", "refused", "valid"):
        assert f'authz_policy_reloads_total{{result="{result}"}}' in metrics
    for kind in ("full", "lost", "refused", "io", "bug"):
        assert metrics[f'authz_journal_failures_total{{kind="{kind}"}}'] == 0
    for method in ("CheckAccess", "BatchCheckAccess", "WriteFacts", "ReloadPolicy"):
        for code in ("OK", "INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"):
            name = rf'grpc_server_handled_total{{grpc_code="{code}",grpc_method="{method}",.*}}'
            assert any(re.fullmatch(name, each) for each in metrics)
    assert 'authz_decision_seconds_bucket{effect="ALLOW",le="5e-05"}' in metrics
    assert metrics["authz_serving"] == 1


def test_no_label_value_comes_up_later(evening: Evening) -> None:
    assert set(evening.after) == set(evening.before)


def test_counters_count(evening: Evening) -> None:
    metrics = evening.after

    def decided(effect: str, reason: str, action: str = "VIEW") -> float:
        labels = f'action="{action}",effect="{effect}",reason="{reason}"'
        return metrics[f"authz_decisions_total{{{labels}}}"]

    def handled(method: str, code: str) -> float:
        labels = f'grpc_code="{code}",grpc_method="{method}"'
        return sum(v for n, v in metrics.items() if f"handled_total{{{labels}," in n)

    assert decided("ALLOW", "RULE_ALLOWED") == 3
    assert decided("DENY", "NO_RULE_MATCHED") == 1
    assert decided("DENY", "INVALID_REQUEST", "UNSPECIFIED") == 1
    assert metrics['authz_decision_seconds_count{effect="ALLOW"}'] == 3
    assert (handled("CheckAccess", "OK"), handled("CheckAccess", "INVALID_ARGUMENT")) == (3, 1)
    assert (handled("WriteFacts", "OK"), handled("BatchCheckAccess", "OK")) == (2, 1)
    assert metrics['authz_facts_written_total{result="written"}'] == len(FACTS) + 2
    assert metrics["authz_journal_written_records_total"] == 2 + 2 + 3 + 2 + 1
    assert metrics['authz_policy_reloads_total{result="unchanged"}'] == 1
    assert metrics["authz_facts_revision"] == 2


def test_no_id_ever_stands_in_the_metrics(evening: Evening) -> None:
    words = set(re.findall(r"[A-Za-z0-9._-]+", evening.page))
    assert not words & {*IDS, "req-of-ines", "del-1", "gra-1", FREE_TEXT, BIRTH_DATE}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say(evening: Evening) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],  # noqa: S607  # as found
        input=evening.page,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_console_has_no_other_pages(shared_client: Client) -> None:
    status, text = shared_client.http("/healthz")
    said = json.loads(text)
    assert (status, said["status"], said["reasons"]) == (200, "SERVING", {})
    assert said.keys() == {"status", "reasons", "shipping", "callers", "http"}
    assert shared_client.http("/")[0] == 404


@pytest.mark.slow
def test_each_decision_is_one_line_of_closed_fields(tmp_path: Path) -> None:
    with serving_process(tmp_path) as service, client_of(service) as client:
        busy_day(client)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        text = service.log.read_text(encoding="utf-8")
        decided = service.events("access_decided")

    assert [line["effect"] for line in decided] == ["ALLOW", "DENY", "ALLOW", "ALLOW", "DENY"]
    for line in decided:
        assert set(line) == LINE_FIELDS | {"event", "level", "timestamp"}
    assert (decided[1]["request_id"], decided[1]["subject_id"]) == ("req-of-ines", "ines")
    assert (decided[2]["rule"], decided[2]["caller"]) == ("parent-watches", "loopback")
    assert (decided[4]["subject_id"], decided[4]["reason"]) == (None, "INVALID_REQUEST")
    for private in (BIRTH_DATE, "1979-08-08", "2016-03-03", FREE_TEXT, "no id"):
        assert private not in text
    for raw in text.splitlines():
        assert {"event", "level", "timestamp"} <= set(json.loads(raw))
