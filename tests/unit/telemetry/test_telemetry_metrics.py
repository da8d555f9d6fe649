"""Numbers as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from authz_service.telemetry.histogram import SECONDS, Histogram
from authz_service.telemetry.metrics import Metrics

RPCS = [("a.v1.S", "Check"), ("a.v1.S", "Write")]


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of a scrape."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_buckets_are_cumulative_and_begin_at_50_microseconds() -> None:
    observed = Histogram()

    for value in (0.00005, 0.000051, 0.3, 99.0):
        observed.observe(value)

    buckets = dict(observed.buckets())
    assert SECONDS[0] == 0.00005
    assert (buckets["5e-05"], buckets["0.0001"], buckets["0.25"]) == (1, 2, 2)
    assert (buckets["1.0"], buckets["5.0"], buckets["+Inf"]) == (3, 3, 4)
    assert observed.sum == pytest.approx(99.300101)


def test_what_is_counted_is_shown() -> None:
    metrics = Metrics(RPCS)
    before = samples(metrics)

    metrics.decided("DENY", "SEALED", "VIEW", 0.0002)
    metrics.policy_loaded("refused", "abc")
    metrics.facts_written("written", 3)
    metrics.conflicts_found(2)
    meter = metrics.rpc(*RPCS[0])
    meter.arrived()
    meter.answered("UNAVAILABLE", 0.1)
    after = samples(metrics)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    check = {"grpc_service": "a.v1.S", "grpc_method": "Check"}
    assert grown("authz_decisions_total", effect="DENY", reason="SEALED", action="VIEW") == 1
    assert grown("authz_decision_seconds_bucket", effect="DENY", le="0.00025") == 1
    assert grown("authz_policy_reloads_total", result="refused") == 1
    assert after["authz_policy_last_load_successful", ()] == 0
    assert after["authz_policy_info", (("revision", "abc"),)] == 1
    assert grown("authz_facts_written_total", result="written") == 3
    assert grown("authz_facts_conflicts_total") == 2
    assert grown("grpc_server_started_total", **check) == 1
    assert grown("grpc_server_handled_total", grpc_code="UNAVAILABLE", **check) == 1


def test_a_decision_outside_the_closed_sets_is_a_bug() -> None:
    """Whatever a caller invents, no new series comes of it: the sets are closed."""
    metrics = Metrics(RPCS)
    known = set(samples(metrics))

    metrics.decided("ALLOW", "RULE_ALLOWED", "UNSPECIFIED", 0.1)

    assert set(samples(metrics)) == known


def test_lists_are_counted_by_themselves() -> None:
    """Their rows are no answers to questions about one recording, and are not counted as such."""
    metrics = Metrics(RPCS)
    before = samples(metrics)

    metrics.listed("LIST", 3, 7, 0.0002)
    metrics.listed("LIST", 0, 2, 0.3)
    metrics.listed("EXPORT", 1, 1, 0.0002)
    after = samples(metrics)

    changed = {
        (name, *(value for label, value in labels if label != "le")): value
        for (name, labels), value in after.items()
        if value != before.get((name, labels)) and name.startswith(("authz_list", "authz_dec"))
    }
    assert before["authz_lists_total", (("action", "LIST"), ("result", "empty"))] == 0
    assert {name: n for name, n in changed.items() if not name[0].startswith("authz_list_s")} == {
        ("authz_lists_total", "LIST", "rows"): 1,
        ("authz_lists_total", "LIST", "empty"): 1,
        ("authz_lists_total", "EXPORT", "rows"): 1,
        ("authz_list_rows_total",): 4,
        ("authz_list_candidates_total",): 10,
    }
    assert after["authz_list_seconds_count", ()] == 3


def test_a_candidate_that_alarms_is_counted_by_itself() -> None:
    """It answered nobody, so it is no decision; and the metric is there before the first."""
    metrics = Metrics(RPCS)
    labels = (("reason", "PATIENT_BOUNDARY"),)
    before = samples(metrics)

    metrics.alarmed("PATIENT_BOUNDARY")
    after = samples(metrics)

    alarms = "authz_list_alarms_total"
    assert (before[alarms, labels], after[alarms, labels]) == (0, 1)
    assert after[alarms, (("reason", "FACTS_CONFLICT"),)] == 0
    assert not any(n for (name, _), n in after.items() if name == "authz_decisions_total")


def test_what_is_read_at_each_scrape_follows() -> None:
    metrics, numbers = Metrics(RPCS), {"subject": 1.0}
    metrics.watch("authz_things", "Things.", lambda: numbers, "kind")
    metrics.watch("authz_seen_total", "Seen.", lambda: sum(numbers.values()))

    numbers["subject"] = 5.0

    assert samples(metrics)["authz_things", (("kind", "subject"),)] == 5
    assert samples(metrics)["authz_seen_total", ()] == 5
