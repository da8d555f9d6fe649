"""Which service may ask what: the callers file, read strictly.

One row a caller: ``caller,rpcs,tenants,actions,purposes,writes,may``; a cell is ``*``, words
joined by ``|``, or empty for none. On insecure loopback there is one caller, ``loopback``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import CallerNotAllowedError
from authz_service.pdp.model import Action, PurposeOfUse, is_id

LOOPBACK = "loopback"
"""The caller on insecure loopback."""

HEADER = ("caller", "rpcs", "tenants", "actions", "purposes", "writes", "may")
MAY = frozenset({"explain", "assert_assurance", "omit_token", "contain", "review", "read_log"})
"""What a caller may be allowed beside the RPCs themselves."""

_CALLER = re.compile(r"loopback|spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+")
_MAX_LENGTH = 2048
"""Of a SPIFFE ID in bytes (SPIFFE-ID, section 2.3)."""
_WRITES = re.compile(r"([a-z]+)(?: as ([A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*))?")


class CallersFileError(Exception):
    """The callers file is defective; the message names line and column."""


@dataclass(frozen=True, slots=True)
class CallerRule:
    """What one caller may; None stands for everything.

    Attributes:
        caller: The caller.
        rpcs: Method names.
        tenants: Tenants that it acts for.
        actions: Actions that it may ask about.
        purposes: Purposes of use that it may state.
        writes: For each kind of fact that it writes, the source that it writes as; None where
            the source is taken as stated.
        may: Powers beside the RPCs.
    """

    caller: str
    rpcs: frozenset[str] | None
    tenants: frozenset[str] | None
    actions: frozenset[str] | None
    purposes: frozenset[str] | None
    writes: Mapping[str, str | None] | None
    may: frozenset[str]

    @property
    def may_explain(self) -> bool:
        """Whether it is told reasons in full."""
        return "explain" in self.may

    def require_rpc(self, rpc: str) -> None:
        """Refuse an RPC that the caller may not use.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.rpcs is not None and rpc not in self.rpcs:
            raise CallerNotAllowedError(f"use {rpc}")

    def require_log(self) -> None:
        """Refuse to show the decision log to a caller that may not read it.

        A log is not divided by tenant, so a caller that is bound to tenants may not either.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if "read_log" not in self.may:
            raise CallerNotAllowedError("read the decision log")
        if self.tenants is not None:
            raise CallerNotAllowedError("read the decision log: it holds every tenant's decisions")

    def require_write(self, kind: str, source: str | None = None) -> None:
        """Refuse a fact that the caller may not write, delete or resolve.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.writes is None:
            return
        if kind not in self.writes:
            raise CallerNotAllowedError(f"write a {kind}")
        bound = self.writes[kind]
        if source is not None and bound is not None and source != bound:
            raise CallerNotAllowedError(f"write a {kind} as another source than {bound}")

    def require(self, tenant_id: str | None, action: str, purpose: str) -> None:
        """Refuse a question that the caller may not ask.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.tenants is not None and tenant_id not in self.tenants:
            raise CallerNotAllowedError("ask for that tenant")
        if self.actions is not None and action not in self.actions:
            raise CallerNotAllowedError(f"ask about {action}")
        if self.purposes is not None and purpose not in self.purposes:
            raise CallerNotAllowedError(f"ask for the purpose {purpose}")


def is_caller(text: str) -> bool:
    """Whether *text* can be a caller."""
    return len(text) <= _MAX_LENGTH and _CALLER.fullmatch(text) is not None


def read_callers(path: Path, rpcs: frozenset[str]) -> Mapping[str, CallerRule]:
    """Return the rules of the callers file at *path*, by caller.

    Args:
        path: The file.
        rpcs: The RPCs that there are.

    Raises:
        CallersFileError: The file is missing, unreadable or defective.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise CallersFileError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise CallersFileError(f"{path}: is not UTF-8") from None
    rows = [
        (number, line)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not rows or _cells(rows[0][1]) != list(HEADER):
        raise CallersFileError(f"{path}:1: the first row must be {','.join(HEADER)}")
    rules: dict[str, CallerRule] = {}
    for number, line in rows[1:]:
        rule = _rule(line, rpcs, f"{path}:{number}")
        if rule.caller in rules:
            raise CallersFileError(f"{path}:{number}: {rule.caller} has a row already")
        rules[rule.caller] = rule
    return rules


def _cells(line: str) -> list[str]:
    """Return the cells of *line*."""
    return [cell.strip(" ") for cell in line.split(",")]


def _rule(line: str, rpcs: frozenset[str], place: str) -> CallerRule:
    """Return the rule of one row."""
    for odd, name in (("\ufeff", "a byte-order mark"), ("\t", "a tab"), ('"', "a quote"),
                      ("\r", "a carriage return"), ("#", "a trailing comment")):  # fmt: skip
        if odd in line:
            raise CallersFileError(
                f"{place}: holds {name}; cells are plain words, comments whole lines"
            )
    cells = _cells(line)
    if len(cells) != len(HEADER):
        raise CallersFileError(f"{place}: has {len(cells)} cells; a row has {len(HEADER)}")
    caller = cells[0]
    if not _CALLER.fullmatch(caller):
        raise CallersFileError(
            f"{place}: {caller!r} is neither {LOOPBACK} nor a SPIFFE ID with a path"
        )
    return CallerRule(
        caller,
        _words(cells[1], rpcs, "rpcs", place),
        _tenants(cells[2], place),
        _words(cells[3], [action.value for action in Action], "actions", place),
        _words(cells[4], [purpose.value for purpose in PurposeOfUse], "purposes", place),
        _writes(cells[5], place),
        MAY if cells[6] == "*" else frozenset(_words(cells[6], MAY, "may", place) or ()),
    )


def _split(cell: str) -> list[str]:
    """Return the words of *cell*."""
    return [word.strip(" ") for word in cell.split("|")] if cell else []


def _words(
    cell: str, known: Sequence[str] | frozenset[str], column: str, place: str
) -> frozenset[str] | None:
    """Return the words of a cell of a closed list; None for ``*``."""
    if cell == "*":
        return None
    words = _split(cell)
    for word in words:
        if word not in known:
            choices = ", ".join(sorted(known))
            raise CallersFileError(f"{place}: {column}: {word!r} is not one of {choices}")
    return frozenset(words)


def _tenants(cell: str, place: str) -> frozenset[str] | None:
    """Return the tenants of a cell; None for ``*``."""
    if cell == "*":
        return None
    words = _split(cell)
    for word in words:
        if not is_id(word):
            raise CallersFileError(f"{place}: tenants: {word!r} is not an id")
    return frozenset(words)


def _writes(cell: str, place: str) -> Mapping[str, str | None] | None:
    """Return the kinds of facts that a caller writes, each with its source; None for ``*``."""
    if cell == "*":
        return None
    kinds = {kind.value for kind in FactKind}
    found: dict[str, str | None] = {}
    for word in _split(cell):
        match = _WRITES.fullmatch(word)
        if match is None or match.group(1) not in kinds:
            choices = ", ".join(sorted(kinds))
            raise CallersFileError(
                f"{place}: writes: {word!r} is not `<kind> as <source>`; kinds are {choices}"
            )
        found[match.group(1)] = match.group(2)
    return found
