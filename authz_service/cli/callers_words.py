"""What a row of the callers file grants, and what it withholds, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from authz_service.identity.caller_rules import LOOPBACK, TO_COME, CallerRule
from authz_service.identity.contradictions import ASKING, CHANGING, READING_LOG

Fields = list[tuple[str, str]]

_EVERYTHING = "*"
_BESIDES = {
    "assert_assurance": "is believed when it says how a person has logged in",
    "contain": "stops access and lifts what stops it",
    "review": "writes reviews of grants and delegations",
    "erase": "erases patients, for good",
}
_WHETHER = "whether access is allowed"
_WHY = "why and by which rule"


def fields_of(rule: CallerRule) -> Fields:
    """Return what *rule* grants as names and sentences."""
    asks = may_any(rule, ASKING)
    written = _written(rule.writes) if may_any(rule, CHANGING) else ()
    fields = [
        ("may call", _list(rule.rpcs, "every RPC, those of later versions too")),
        ("for tenants", _list(rule.tenants, "every tenant")),
        ("asks about", _list(rule.actions, "every action") if asks else "nothing"),
        ("for purposes", _list(rule.purposes, "every purpose") if asks else "none"),
        ("writes", _list(written, "every kind of fact, as whatever source it states")),
        ("is told", "; ".join(told(rule)) or "nothing"),
        ("is not told", "; ".join(not_told(rule)) or "nothing is kept from it"),
    ]
    if besides := [words for power, words in _BESIDES.items() if power in rule.may]:
        fields.append(("besides", "; ".join(besides)))
    if idle := sorted(rule.may & TO_COME):
        fields.append(("for later", f"{', '.join(idle)}: known words that give nothing yet"))
    if rule.caller == LOOPBACK:
        fields.append(("note", "whoever calls on insecure loopback: for trials on one machine"))
    return fields


def document_of(rule: CallerRule) -> dict[str, Any]:
    """Return what *rule* grants, for programs; ``*`` stands for everything."""
    return {
        "caller": rule.caller,
        "rpcs": _plain(rule.rpcs),
        "tenants": _plain(rule.tenants),
        "actions": _plain(rule.actions),
        "purposes": _plain(rule.purposes),
        "writes": _EVERYTHING if rule.writes is None else dict(sorted(rule.writes.items())),
        "may": sorted(rule.may),
        "is_told": told(rule),
        "is_not_told": not_told(rule),
    }


def told(rule: CallerRule) -> list[str]:
    """Return what the caller is told."""
    return [what for what, is_told in _answers(rule).items() if is_told]


def not_told(rule: CallerRule) -> list[str]:
    """Return what the caller is never told."""
    return [what for what, is_told in _answers(rule).items() if not is_told]


def cells_of(rule: CallerRule | None) -> dict[str, Collection[str] | None]:
    """Return what *rule* grants by column; nothing where there is no row, None for everything."""
    if rule is None:
        return dict.fromkeys(("rpcs", "tenants", "actions", "purposes", "writes", "may"), ())
    return {
        "rpcs": rule.rpcs,
        "tenants": rule.tenants,
        "actions": rule.actions,
        "purposes": rule.purposes,
        "writes": _written(rule.writes),
        "may": rule.may,
    }


def may_any(rule: CallerRule, rpcs: Collection[str]) -> bool:
    """Whether the caller may use any of *rpcs*."""
    return rule.rpcs is None or not rule.rpcs.isdisjoint(rpcs)


def _answers(rule: CallerRule) -> dict[str, bool]:
    """Return all that a caller can be told, and whether this one is."""
    asks = may_any(rule, ASKING)
    reads_log = may_any(rule, READING_LOG) and "read_log" in rule.may and rule.tenants is None
    return {
        _WHETHER: asks,
        _WHY: asks and rule.may_explain,
        "stored facts": may_any(rule, ("ReadFacts", "WatchFacts", "ExportPerson")),
        "the decision log": reads_log,
        "which policy is in force": may_any(rule, ("GetActivePolicy",)),
    }


def _written(writes: Mapping[str, str | None] | None) -> list[str] | None:
    """Return what is written, each kind with the source that it is written as."""
    if writes is None:
        return None
    return [f"{kind} as {source or 'whatever it states'}" for kind, source in writes.items()]


def _list(words: Collection[str] | None, everything: str) -> str:
    """Return *words* in one line."""
    return everything if words is None else ", ".join(sorted(words)) or "nothing"


def _plain(words: Collection[str] | None) -> str | list[str]:
    """Return *words* as JSON has them."""
    return _EVERYTHING if words is None else sorted(words)
