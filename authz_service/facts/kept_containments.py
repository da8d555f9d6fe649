"""The containments as they were last loaded, and loaded again where nobody asks: for counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from authz_service.facts.holdings import Holdings
from authz_service.facts.loads import Loads
from authz_service.facts.reader import CONTAINMENTS_KEY
from authz_service.pdp.entities import Containment
from authz_service.pdp.errors import FactsUnavailableError


class KeptContainments:
    """What is known of the containments, never the ground of an answer. For one event loop."""

    def __init__(self, holdings: Holdings, loads: Loads) -> None:
        """Know what *holdings* holds, and have *loads* bring what it lacks."""
        self._holdings = holdings
        self._loads = loads
        self._renewal: asyncio.Task[None] | None = None

    @property
    def known(self) -> Sequence[Containment] | None:
        """Those loaded last, lifted ones too; None before the first load."""
        return self._holdings.last_containments

    def renew(self) -> None:
        """Load them where a change has dropped them and nobody has asked since."""
        is_under_way = self._renewal is not None and not self._renewal.done()
        was_dropped = self.known is not None and self._holdings.lacks_containments
        if was_dropped and not is_under_way:
            self._renewal = asyncio.ensure_future(self._bring())

    def close(self) -> None:
        """Bring nothing any more."""
        if self._renewal is not None:
            self._renewal.cancel()

    async def _bring(self) -> None:
        """Load them; what fails is tried again after the next look."""
        with suppress(FactsUnavailableError):
            await self._loads.bring({CONTAINMENTS_KEY})
