"""How each database goes about each query of the store: along one index, scanning nothing.

The plans are those of 20,000 records over three months, without statistics and then with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any

import pytest

from authz_service.audit.store import sql_decision_log
from authz_service.audit.store.opening import open_store
from authz_service.audit.store.ports import Store
from authz_service.audit.store.questions import FEW, leads_of, lengths_of, one_of, page_of
from authz_service.audit.store.reading import Readings
from authz_service.audit.store.shipment import Line as ShippedLine
from authz_service.audit.store.shipment import Progress, Shipment
from authz_service.operations.decision_log import DecisionKey, DecisionsQuestion
from authz_service.pdp.model import Effect, Reason
from tests.contract.decision_log.log_cases import (
    BEGIN,
    CALLERS,
    JOURNALS,
    Line,
    analyze,
    fill,
    line,
    record,
)
from tests.contract.decision_log.log_plans import Explained, Plan, plan_of

RECORDS = 20_000
PAGE = 51
MIDDLE = DecisionKey(BEGIN + timedelta(days=40), "8")
FIRST, LAST = 10_001, 10_200
"""The lines that shipping asks about."""
RARE_CALLER = "spiffe://example.org/rare"


def records() -> Iterator[Line]:
    """Yield many records: some subjects are rare and some frequent, and so are the callers."""
    random = Random(3)
    for number in range(1, RECORDS + 1):
        fields = {
            "subject_id": "busy" if number % 3 else f"s{random.randrange(2000)}",
            "recording_id": f"r{random.randrange(5000)}",
            "patient_id": f"p{random.randrange(500)}",
            "caller": CALLERS[0] if number % 2000 else RARE_CALLER,
        }
        at = BEGIN + timedelta(minutes=6 * number)
        yield line(JOURNALS[0], number, (record(random, at, **fields),))


@pytest.fixture(scope="module")
def readings(store_url: str) -> Iterator[Readings]:
    """A store with many records, at which its database has not looked yet."""
    fill(store_url, records())
    made = Readings(store_url, statement_seconds=10.0, connections=1)
    yield made
    made.close()


def followed(readings: Readings, plan: Plan) -> set[str]:
    """Return which indexes of the decisions a plan follows, by what they begin with."""
    if readings.is_sqlite:
        return {name for name in plan.indexes if not name.startswith("sqlite_autoindex_journal")}
    parts = {name.split("_", 3)[-1] for name in plan.indexes if name.startswith("decisions_")}
    return {part.removesuffix("_evaluated_at_decision_id_idx") for part in parts}


def assert_plain(plan: Plan) -> None:
    """Nothing that grows is scanned, and nothing is sorted."""
    assert plan.scanned == []
    assert plan.sorted == []
    assert plan.indexes


SINGLE = [
    (DecisionsQuestion(recording_id="r7"), "decisions_by_recording", "recording_id"),
    (DecisionsQuestion(patient_id="p7"), "decisions_by_patient", "patient_id"),
    (DecisionsQuestion(subject_id="s7"), "decisions_by_subject", "subject_id"),
    (DecisionsQuestion(subject_id="busy"), "decisions_by_subject", "subject_id"),
    (DecisionsQuestion(caller=CALLERS[0]), "decisions_by_caller", "caller"),
    (DecisionsQuestion(caller="spiffe://no/body"), "decisions_by_caller", "caller"),
    (DecisionsQuestion(reason=Reason.SEALED), "denials_by_reason", "reason"),
    (DecisionsQuestion(effect=Effect.DENY), "denials_by_time", "evaluated_at_decision_id_idx1"),
    (DecisionsQuestion(effect=Effect.ALLOW), "decisions_by_time", "evaluated_at_decision_id_idx"),
    (
        DecisionsQuestion(reason=Reason.RULE_ALLOWED),
        "decisions_by_time",
        "evaluated_at_decision_id_idx",
    ),
    (DecisionsQuestion(kind="LISTED"), "lists_by_kind", "kind"),
    (DecisionsQuestion(kind="PRESENTED"), "lists_by_kind", "kind"),
    (DecisionsQuestion(kind="DECISION"), "decisions_by_time", "evaluated_at_decision_id_idx"),
    (DecisionsQuestion(), "decisions_by_time", "evaluated_at_decision_id_idx"),
]
EARLY, LATE = BEGIN + timedelta(days=20), BEGIN + timedelta(days=50)
TIMES: tuple[dict[str, Any], ...] = (
    {},
    {"evaluated_from": EARLY},
    {"evaluated_to": LATE},
    {"evaluated_from": EARLY, "evaluated_to": LATE},
)


@pytest.mark.parametrize(("question", "index", "begins"), SINGLE)
def test_a_question_follows_its_own_index(
    readings: Readings, question: DecisionsQuestion, index: str, begins: str
) -> None:
    """Whatever is asked for, a page costs what is on it, on the first page and on a later one."""
    for times, after in product(TIMES, (None, MIDDLE)):
        asked = question._replace(**times)
        (lead,) = leads_of(asked)

        plan = plan_of(readings, page_of(lead, asked, after, PAGE))

        assert_plain(plan)
        assert lead.index_name == index
        assert followed(readings, plan) == {index if readings.is_sqlite else begins}
        assert plan.rows <= 5 * PAGE


COMBINED = [
    (DecisionsQuestion(subject_id="s7", caller=CALLERS[0]), "decisions_by_subject"),
    (DecisionsQuestion(subject_id="busy", caller=RARE_CALLER), "decisions_by_caller"),
    (DecisionsQuestion(subject_id="busy", recording_id="r7"), "decisions_by_recording"),
    (
        DecisionsQuestion(subject_id="s7", effect=Effect.DENY, kind="PRESENTED"),
        "decisions_by_subject",
    ),
    (DecisionsQuestion(patient_id="p7", reason=Reason.SEALED), "decisions_by_patient"),
    (DecisionsQuestion(caller=RARE_CALLER, reason=Reason.SEALED), "decisions_by_caller"),
    (DecisionsQuestion(caller=CALLERS[0], reason=Reason.SEALED), "denials_by_reason"),
    (DecisionsQuestion(subject_id="busy", caller=CALLERS[0]), "decisions_by_subject"),
    (DecisionsQuestion(caller=RARE_CALLER, kind="LISTED"), "decisions_by_caller"),
    (DecisionsQuestion(effect=Effect.DENY, kind="PRESENTED"), "denials_by_time"),
]


@pytest.mark.parametrize(("question", "index"), COMBINED)
def test_of_several_filters_the_rarest_leads(
    readings: Readings, question: DecisionsQuestion, index: str
) -> None:
    """Who asks for a rare subject at a busy caller does not wait for all that the caller asked."""
    leads = leads_of(question)
    counting = plan_of(readings, lengths_of(leads, question, None))

    with readings.session() as session:
        lead = sql_decision_log._lead(session, question, None)
    plan = plan_of(readings, page_of(lead, question, None, PAGE))

    assert_plain(counting)
    assert_plain(plan)
    assert lead.index_name == index
    assert counting.rows <= FEW
    assert plan.rows <= FEW


def test_one_record_is_found_by_its_id(readings: Readings) -> None:
    plan = plan_of(readings, one_of("0190163d-8694-739b-aea5-966c26f8ad91"))

    assert_plain(plan)
    names = {"decisions_by_id"} if readings.is_sqlite else {"decision_id_idx"}
    assert followed(readings, plan) == names


@pytest.fixture(scope="module")
def shipment() -> Shipment:
    """Lines in the middle of the journal, with the decisions in them."""
    content = [each for each in records() if FIRST <= each.sequence <= LAST]
    lines = [
        ShippedLine(each.sequence, each.at, each.hash.encode(), each.content) for each in content
    ]
    decisions = [(each.records[0]["decision_id"], each.at, each.sequence) for each in content]
    end = Progress(LAST, lines[-1].hash.decode(), 1, 1, lines[-1].at)
    return Shipment(lines, decisions, len(lines), lines[0].at, end)


SHIPPING: dict[str, Callable[[Store, Shipment], object]] = {
    "progress": lambda store, _: store.progress(JOURNALS[0]),
    "last line": lambda store, _: store.last_line(JOURNALS[0], RECORDS - 5),
    "known lines": lambda store, shipment: store.known_lines(JOURNALS[0], shipment),
    "stored lines": lambda store, _: list(store.stored_lines(JOURNALS[0], FIRST, LAST)),
    "stored decisions": lambda store, shipment: store.stored_decisions(JOURNALS[0], shipment),
}


def plans_of(
    url: str, query: Callable[[Store, Shipment], object], shipment: Shipment
) -> list[Plan]:
    """Return how everything was gone about that *query* asked for."""
    store: Any = open_store(url)
    plans: list[Plan] = []
    store._connection = Explained(store._connection, plans)
    try:
        assert query(store, shipment) is not ...
    finally:
        store.close()
    return plans


@pytest.mark.parametrize("name", SHIPPING)
def test_shipping_reads_no_more_than_it_asks_for(
    readings: Readings, store_url: str, shipment: Shipment, name: str
) -> None:
    """Neither the table of lines nor that of decisions is gone through, however long they are."""
    plans = plans_of(store_url, SHIPPING[name], shipment)

    assert plans
    for plan in plans:
        assert plan.scanned == []
        assert plan.rows <= 3 * (LAST - FIRST + 1)


def test_statistics_change_no_plan(readings: Readings, store_url: str, shipment: Shipment) -> None:
    """What a database believes of its rows may be old, or of another month: it is not asked."""
    analyze(store_url)

    for question, index, begins in SINGLE:
        test_a_question_follows_its_own_index(readings, question, index, begins)
    for question, index in COMBINED:
        test_of_several_filters_the_rarest_leads(readings, question, index)
    test_one_record_is_found_by_its_id(readings)
    for name in SHIPPING:
        test_shipping_reads_no_more_than_it_asks_for(readings, store_url, shipment, name)
