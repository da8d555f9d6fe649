"""A list decided here, without a service, from the registry and the policy as they are now.

The same operation as the service's, over a reader of the registry; nothing is recorded.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from authz_service.cli.listing import ListedRecording, Listing, PageAnswer
from authz_service.cli.named_registry import named_registry
from authz_service.clocks import SystemClock, clock_of
from authz_service.facts.questions import facts_in, keys_of, questions_about
from authz_service.facts.reader import PageQuestion
from authz_service.facts.sql_reader import SqlReader
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.list_recordings import LIST_TOKENS, ListOutcome, ListRecordings
from authz_service.operations.lists import CandidatePage, CandidateQuestion, ListKey, ListRequest
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import Clock, FactsQuestion
from authz_service.operations.records import CallContext, Record
from authz_service.pdp.errors import RevisionAheadError
from authz_service.pdp.facts import Facts
from authz_service.pdp.model import Instant
from authz_service.policy.source import BundleSource
from authz_service.settings import load_settings

_NOBODY = CallContext("offline", "offline")


def list_offline(
    request: ListRequest, *, every_page: bool, at_least: int, overrides: dict[str, str | None]
) -> Listing:
    """Return the answer to *request*, which nobody records: a page, or all from there on.

    Args:
        request: The question.
        every_page: Whether to go on to the last page.
        at_least: The facts revision that the answer must rest on at least; 0 for any.
        overrides: Settings that go before those of the environment.

    Raises:
        SettingsError: A setting is wrong.
        PolicyRefusedError: The bundle is one that no service would put in force.
        CommandError: The registry cannot be read.
        RevisionAheadError: The registry has not reached *at_least*.
    """
    settings = load_settings(overrides)
    clock = clock_of(settings)
    policy = ActivePolicy(clock)
    policy.activate(BundleSource(settings.policy_dir).load())
    with named_registry(settings.registry_url) as url:
        reader = SqlReader(url, SystemClock(), connections=1)
        try:
            reader.look()
            operation = _operation(policy, _Readings(reader), clock)
            return asyncio.run(_pages(operation, request, every_page=every_page, at_least=at_least))
        finally:
            reader.close()


def _operation(policy: ActivePolicy, readings: _Readings, clock: Clock) -> ListRecordings:
    """Return the operation of the service, over *readings* and with nothing to record in."""
    return ListRecordings(
        policy,
        readings,
        _NoJournal(),
        candidates=readings,
        tokens=PageTokens(secrets.token_bytes(32), LIST_TOKENS),
        clock=clock,
        observer=_NoObserver(),
        new_id=str,
    )


async def _pages(
    operation: ListRecordings, request: ListRequest, *, every_page: bool, at_least: int
) -> Listing:
    """Return the pages that are asked for."""
    outcomes: list[ListOutcome] = []
    while not outcomes or (every_page and outcomes[-1].next_page_token):
        token = outcomes[-1].next_page_token if outcomes else ""
        asked = request._replace(page_token=token)
        outcomes.append(await operation(asked, _NOBODY, at_least=at_least, started_ns=0))
    return Listing(
        tuple(row for outcome in outcomes for row in _rows_of(outcome)),
        tuple(_page_of(outcome) for outcome in outcomes),
        outcomes[-1].next_page_token,
    )


def _rows_of(outcome: ListOutcome) -> list[ListedRecording]:
    """Return the rows of one page."""
    return [
        ListedRecording(
            row.record.request.recording_id,
            row.record.decision.patient_id or "",
            _text(row.created_at),
            None,
        )
        for row in outcome.rows
        if row.record.request is not None
    ]


def _page_of(outcome: ListOutcome) -> PageAnswer:
    """Return what one page says beside its rows."""
    record = outcome.record
    return PageAnswer(
        record.rows, record.policy_revision, record.facts_revision, _text(record.evaluated_at)
    )


def _text(instant: Instant) -> str:
    """Return *instant* as RFC 3339."""
    return instant.isoformat().replace("+00:00", "Z")


class _Readings:
    """Facts and candidates read anew each time, each reading in one snapshot of the registry."""

    def __init__(self, reader: SqlReader) -> None:
        """Read by *reader*."""
        self._reader = reader
        self.revision = -1

    def cached(self, question: FactsQuestion, at_least: int) -> Facts | None:  # noqa: ARG002  # the port's
        return None

    async def facts_for(self, questions: Sequence[FactsQuestion], at_least: int) -> Sequence[Facts]:
        load = self._reader.load(keys_of(questions))
        self._require(load.revision, at_least)
        return [facts_in(load, question, load.revision) for question in questions]

    async def candidates(
        self, question: CandidateQuestion, *, after: ListKey | None, limit: int, at_least: int
    ) -> CandidatePage:
        page = PageQuestion(question, after, limit)
        found, load = self._reader.candidates_with_facts(page)
        self._require(found.revision, at_least)
        facts = [facts_in(load, one, load.revision) for one in questions_about(page, found)]
        return CandidatePage(facts, found.keys, found.is_last, found.revision)

    def _require(self, revision: int, at_least: int) -> None:
        """Refuse a state before *at_least*.

        Raises:
            RevisionAheadError: It is.
        """
        self.revision = revision
        if revision < at_least:
            raise RevisionAheadError(at_least, revision)


class _NoJournal:
    """Takes records, and keeps none."""

    def require_usable(self) -> None:
        """Never refuse."""

    async def append(self, records: Sequence[Record]) -> None:
        """Keep nothing."""


class _NoObserver:
    """Hears of lists, and counts none."""

    def listed(self, action: str, rows: int, candidates: int, seconds: float) -> None:
        """Count nothing."""

    def alarmed(self, reason: str) -> None:
        """Count nothing."""
