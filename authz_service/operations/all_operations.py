"""All operations of the service, put together from the plugs that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from authz_service.operations.active_policy import ActivePolicy
from authz_service.operations.batch_check_access import BatchCheckAccess
from authz_service.operations.change_feed import ChangeFeed
from authz_service.operations.check_access import CheckAccess, NewId
from authz_service.operations.contain import CONTAINMENT_TOKENS, ContainAccess, ListContainments
from authz_service.operations.emergency_access import EMERGENCY_TOKENS, EmergencyAccess
from authz_service.operations.emergency_ports import EmergencyRegistry
from authz_service.operations.explain_access import ExplainAccess
from authz_service.operations.export_person import ExportPerson, PersonArchive
from authz_service.operations.list_recordings import LIST_TOKENS, ListObserver, ListRecordings
from authz_service.operations.list_subjects import SUBJECT_TOKENS, ListSubjects
from authz_service.operations.open_emergency import EmergencyObserver, OpenEmergency
from authz_service.operations.page_tokens import PageTokens
from authz_service.operations.ports import (
    CandidateSource,
    Clock,
    Containments,
    DecisionLog,
    DecisionObserver,
    FactsRegistry,
    FactsSource,
    HistorySource,
    Journal,
    SubjectSource,
)
from authz_service.operations.read_decisions import LOG_TOKENS, ReadDecisions
from authz_service.operations.reload_policy import Reload
from authz_service.operations.watch_facts import WatchFacts
from authz_service.operations.write_facts import FactsObserver, WriteFacts


class Observer(DecisionObserver, ListObserver, FactsObserver, EmergencyObserver, Protocol):
    """Hears of all that the operations do."""


@dataclass(frozen=True, slots=True)
class Plugs:
    """What the operations share."""

    active_policy: ActivePolicy
    reload_policy: Reload
    facts: FactsSource
    candidates: CandidateSource
    subjects: SubjectSource
    history: HistorySource
    registry: FactsRegistry
    containments: Containments
    feed: ChangeFeed
    emergency_registry: EmergencyRegistry
    emergency_minutes: int
    persons: PersonArchive
    token_key: bytes
    journal: Journal
    decisions: DecisionLog
    clock: Clock
    observer: Observer
    new_id: NewId


@dataclass(frozen=True, slots=True)
class Operations:
    """What the servicers ask."""

    check_access: CheckAccess
    batch_check_access: BatchCheckAccess
    list_recordings: ListRecordings
    list_subjects: ListSubjects
    explain_access: ExplainAccess
    write_facts: WriteFacts
    contain_access: ContainAccess
    list_containments: ListContainments
    watch_facts: WatchFacts
    emergency_access: EmergencyAccess
    export_person: ExportPerson
    registry: FactsRegistry
    read_decisions: ReadDecisions
    active_policy: ActivePolicy
    reload_policy: Reload
    journal: Journal
    clock: Clock


def operations_with(plugs: Plugs) -> Operations:
    """Return all operations over *plugs*."""
    policy, facts, journal = plugs.active_policy, plugs.facts, plugs.journal
    clock, observer, new_id = plugs.clock, plugs.observer, plugs.new_id
    return Operations(
        check_access=CheckAccess(
            policy, facts, journal, clock=clock, observer=observer, new_id=new_id
        ),
        batch_check_access=BatchCheckAccess(
            policy, facts, journal, clock=clock, observer=observer, new_id=new_id
        ),
        list_recordings=ListRecordings(
            policy,
            facts,
            journal,
            candidates=plugs.candidates,
            tokens=PageTokens(plugs.token_key, LIST_TOKENS),
            clock=clock,
            observer=observer,
            new_id=new_id,
        ),
        list_subjects=ListSubjects(
            policy,
            plugs.subjects,
            journal,
            tokens=PageTokens(plugs.token_key, SUBJECT_TOKENS),
            clock=clock,
            new_id=new_id,
        ),
        explain_access=ExplainAccess(
            policy,
            facts,
            journal,
            history=plugs.history,
            stored=plugs.registry,
            clock=clock,
            new_id=new_id,
        ),
        write_facts=WriteFacts(plugs.registry, journal, clock=clock, observer=observer),
        contain_access=ContainAccess(plugs.containments, journal, clock=clock, new_id=new_id),
        list_containments=ListContainments(
            plugs.containments, clock=clock, tokens=PageTokens(plugs.token_key, CONTAINMENT_TOKENS)
        ),
        watch_facts=WatchFacts(plugs.feed, journal, clock=clock),
        emergency_access=_emergency_access(plugs),
        export_person=ExportPerson(plugs.persons, journal, clock=clock),
        registry=plugs.registry,
        read_decisions=ReadDecisions(
            plugs.decisions, journal, clock=clock, tokens=PageTokens(plugs.token_key, LOG_TOKENS)
        ),
        active_policy=policy,
        reload_policy=plugs.reload_policy,
        journal=journal,
        clock=clock,
    )


def _emergency_access(plugs: Plugs) -> EmergencyAccess:
    """Return what opens, lists and reviews emergency accesses."""
    opening = OpenEmergency(
        plugs.active_policy,
        plugs.facts,
        plugs.emergency_registry,
        plugs.journal,
        clock=plugs.clock,
        observer=plugs.observer,
        new_id=plugs.new_id,
        minutes=plugs.emergency_minutes,
    )
    return EmergencyAccess(
        opening,
        plugs.emergency_registry,
        plugs.journal,
        clock=plugs.clock,
        tokens=PageTokens(plugs.token_key, EMERGENCY_TOKENS),
    )
