"""cases/*.yaml: the policy's own golden decisions, read strictly.

A file holds people and recordings that its cases share, and the cases: a question each, with the
answer that it must have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from authz_service.pdp.entities import Entity
from authz_service.pdp.entity_plain import fact_from_plain, parse_instant
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import InvalidRequestError
from authz_service.pdp.facts import Fact
from authz_service.pdp.model import (
    AccessRequest,
    Action,
    Assurance,
    Effect,
    Instant,
    PurposeOfUse,
    Reason,
    is_id,
)
from authz_service.policy.case_fields import CaseFields
from authz_service.policy.yaml_tree import Node, yaml_tree
from authz_service.tables.findings import Findings, Place, shown
from authz_service.tables.rows import Text

MAX_CASES = 2000
"""How many cases a bundle may have."""

SOURCES = {
    FactKind.TENANT: "operations",
    FactKind.SUBJECT: "identity",
    FactKind.CONSULTATION: "booking",
    FactKind.RECORDING: "recording-pipeline",
    FactKind.ATTENDANCE: "media-server",
    FactKind.DELEGATION: "proxy-desk",
    FactKind.BLOCK: "safeguarding",
    FactKind.RELATIONSHIP: "care-teams",
    FactKind.GRANT: "grants-desk",
    FactKind.CONSENT: "consent-desk",
    FactKind.CONTAINMENT: "operations",
}
"""The source of a fact in a case that does not name one."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The answer that a case must have; a rule only where the case names one."""

    effect: Effect
    reason: Reason
    rule: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One golden decision.

    Attributes:
        id: Its id, unique in the bundle.
        says: What it shows, in one sentence.
        place: Where it begins.
        facts: All facts that it rests on, a later one in place of an earlier one.
        request: The question.
        now: The instant at which it is asked.
        expected: The answer.
    """

    id: str
    says: str
    place: Place
    facts: tuple[Fact[Entity], ...]
    request: AccessRequest
    now: Instant
    expected: Expectation


def parse_cases(texts: Iterable[Text], findings: Findings) -> tuple[Case, ...]:
    """Return the cases of all files, in order."""
    cases: list[Case] = []
    for text in texts:
        tree = yaml_tree(text, findings)
        if tree is not None:
            cases += _file(tree, findings)
    seen: dict[str, Place] = {}
    for case in cases:
        first = seen.setdefault(case.id, case.place)
        if first is not case.place:
            message = f"the case {shown(case.id)} stands in {first.file}:{first.line} already"
            findings.invalid(case.place, message, "give each case an id of its own")
    if len(cases) > MAX_CASES:
        place = cases[MAX_CASES].place
        findings.invalid(place, f"there are more than {MAX_CASES} cases", "remove some")
    return tuple(cases)


def _file(tree: Node, findings: Findings) -> list[Case]:
    """Return the cases of one file."""
    fields = CaseFields(tree, "a file of cases", ("clock", "facts", "cases"), findings)
    clock = fields.read("clock", parse_instant, "an instant, as in 2020-06-09T14:00:00Z")
    facts = _facts(fields.items("facts"), clock, findings)
    items = fields.items("cases")
    if tree.value and not items:
        findings.invalid(tree.place, "there are no cases", "list them under cases")
    cases = (_case(item, clock, facts, findings) for item in items)
    return [case for case in cases if case is not None]


def _case(
    node: Node, clock: Instant | None, shared: list[Fact[Entity]], findings: Findings
) -> Case | None:
    """Return one case, or None where it was refused."""
    fields = CaseFields(node, "a case", ("id", "says", "ask", "expect"), findings, ("given", "at"))
    case_id, says = fields.read("id", _id, "an id"), fields.text("says")
    given = _facts(fields.items("given"), clock, findings)
    at = fields.read("at", parse_instant, "an instant, as in 2020-06-09T14:00:00Z")
    request = _request(fields.node("ask"), findings)
    expected = _expectation(fields.node("expect"), findings)
    now = at or clock
    if case_id is None or says is None or now is None or request is None or expected is None:
        return None
    return Case(case_id, says, node.place, (*shared, *given), request, now, expected)


def _facts(nodes: list[Node], clock: Instant | None, findings: Findings) -> list[Fact[Entity]]:
    """Return the facts of a list, each with a source and an observation by default."""
    facts = []
    for node in nodes:
        plain = node.plain()
        if isinstance(plain, dict):
            kinds = [kind for kind in FactKind if kind.value in plain]
            source = SOURCES[kinds[0]] if kinds else "operations"
            observed_at = clock.isoformat() if clock else "1970-01-01T00:00:00Z"
            plain = {"source": source, "observed_at": observed_at, **plain}
        try:
            facts.append(fact_from_plain(plain))
        except InvalidRequestError as wrong:
            for violation in wrong.violations:
                message = f"{violation.field} {violation.description}"
                findings.invalid(
                    node.place_of(violation.field),
                    message,
                    "facts are written as in the import format",
                )
    return facts


def _request(node: Node | None, findings: Findings) -> AccessRequest | None:
    """Return the question of a case, or None where it was refused."""
    if node is None:
        return None
    required = ("subject", "recording", "action", "purpose_of_use")
    optional = ("tenant_id", "assurance", "authenticated_at", "matter_id")
    fields = CaseFields(node, "a question", required, findings, optional)
    subject, recording = (
        fields.read("subject", _id, "an id"),
        fields.read("recording", _id, "an id"),
    )
    action, purpose = fields.word("action", Action), fields.word("purpose_of_use", PurposeOfUse)
    tenant_id, matter_id = (fields.read(name, _id, "an id") for name in ("tenant_id", "matter_id"))
    assurance = fields.word("assurance", Assurance)
    authenticated_at = fields.read("authenticated_at", parse_instant, "an instant")
    if subject is None or recording is None or action is None or purpose is None:
        return None
    return AccessRequest(
        subject, recording, action, purpose, tenant_id, assurance, authenticated_at, matter_id
    )


def _expectation(node: Node | None, findings: Findings) -> Expectation | None:
    """Return the answer of a case, or None where it was refused."""
    if node is None:
        return None
    fields = CaseFields(node, "an answer", ("effect", "reason"), findings, ("rule",))
    effect, reason = fields.word("effect", Effect), fields.word("reason", Reason)
    rule = fields.read("rule", _id, "a rule's id")
    if effect is None or reason is None:
        return None
    return Expectation(effect, reason, rule)


def _id(text: str) -> str:
    """Return *text* where it is an id.

    Raises:
        ValueError: It is none.
    """
    if not is_id(text):
        raise ValueError(text)
    return text
