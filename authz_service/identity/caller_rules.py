"""What one caller may: the limits that are put to every call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal

LOOPBACK = "loopback"
"""The caller on insecure loopback."""

MAY = frozenset(
    {"explain", "assert_assurance", "omit_token", "contain", "review", "read_log", "erase"}
)
"""What a caller may be allowed beside the RPCs themselves."""
TO_COME = frozenset({"omit_token"})
"""Those of them that give nothing yet."""
CONTAINMENT = "containment"
"""The kind of facts that takes `contain`."""


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

    @property
    def may_review(self) -> bool:
        """Whether it writes reviews; on `LOOPBACK` nobody is told apart, and everybody does."""
        return self.caller == LOOPBACK or "review" in self.may

    def require_rpc(self, rpc: str) -> None:
        """Refuse an RPC that the caller may not use.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.rpcs is not None and rpc not in self.rpcs:
            raise CallerNotAllowedError(f"use {rpc}", CallerRefusal.RPC)

    def require_power(self, power: str, what: str) -> None:
        """Refuse *what*, for which a caller needs *power*, one of `MAY`.

        Raises:
            CallerNotAllowedError: It has not.
        """
        if power not in self.may:
            raise CallerNotAllowedError(what, CallerRefusal.POWER)

    def require_contain(self) -> None:
        """Refuse to touch containments; on `LOOPBACK` nobody is told apart, and everybody may.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.caller != LOOPBACK:
            self.require_power("contain", "set, lift or delete a containment")

    def require_erase(self) -> None:
        """Refuse to erase a person; on `LOOPBACK` nobody is told apart, and everybody may.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.caller != LOOPBACK:
            self.require_power("erase", "erase a person")

    def require_every_tenant(self, what: str) -> None:
        """Refuse *what*, which is not divided by tenant, to a caller that is bound to some.

        Raises:
            CallerNotAllowedError: It is.
        """
        if self.tenants is not None:
            raise CallerNotAllowedError(what, CallerRefusal.TENANT)

    def require_log(self) -> None:
        """Refuse to show the decision log to a caller that may not read it.

        Raises:
            CallerNotAllowedError: It may not.
        """
        self.require_power("read_log", "read the decision log")
        self.require_every_tenant("read the decision log: it holds every tenant's decisions")

    def require_write(self, kind: str, source: str | None = None) -> None:
        """Refuse a fact that the caller may not write or delete, or not as that *source*.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.writes is not None and kind not in self.writes:
            raise CallerNotAllowedError(f"write a {kind}", CallerRefusal.KIND)
        if kind == CONTAINMENT:
            self.require_contain()
        bound = self.source_of(kind)
        if source is not None and bound is not None and source != bound:
            raise CallerNotAllowedError(
                f"write a {kind} as another source than its own", CallerRefusal.SOURCE
            )

    def source_of(self, kind: str) -> str | None:
        """Return the source as which the caller writes *kind*; None where it has to state one."""
        return None if self.writes is None else self.writes.get(kind)

    def require(self, tenant_id: str | None, action: str, purpose: str) -> None:
        """Refuse a question that the caller may not ask.

        Raises:
            CallerNotAllowedError: It may not.
        """
        if self.tenants is not None and tenant_id not in self.tenants:
            raise CallerNotAllowedError("ask for that tenant", CallerRefusal.TENANT)
        if self.actions is not None and action not in self.actions:
            raise CallerNotAllowedError(f"ask about {action}", CallerRefusal.ACTION)
        if self.purposes is not None and purpose not in self.purposes:
            raise CallerNotAllowedError(f"ask for the purpose {purpose}", CallerRefusal.PURPOSE)
