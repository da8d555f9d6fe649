"""A list decided here, without a service, from the registry and the policy as they are now.

The same operation as the service's, over a reader of the registry; nothing is recorded.
"""

from __future__ import annotations

import asyncio
import secrets

from authz_service.cli.listing import ListedRecording, Listing, PageAnswer
from authz_service.cli.named_registry import named_registry
from authz_service.cli.readings import NoJournal, NoObserver, RegistryReadings
from authz_service.clocks import clock_of
from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.list_recordings import LIST_TOKENS, ListOutcome, ListRecordings
from authz_service.operations.lists import ListRequest
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import Clock
from authz_service.operations.records import CallContext
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
        readings = RegistryReadings(url)
        try:
            operation = _operation(policy, readings, clock)
            return asyncio.run(_pages(operation, request, every_page=every_page, at_least=at_least))
        finally:
            readings.close()


def _operation(policy: ActivePolicy, readings: RegistryReadings, clock: Clock) -> ListRecordings:
    """Return the operation of the service, over *readings* and with nothing to record in."""
    return ListRecordings(
        policy,
        readings,
        NoJournal(),
        candidates=readings,
        tokens=PageTokens(secrets.token_bytes(32), LIST_TOKENS),
        clock=clock,
        observer=NoObserver(),
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
