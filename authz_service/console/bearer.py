"""Who shows no valid token is told nothing, whatever was asked for (RFC 6750)."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from authz_service.console.tokens import Tokens
from authz_service.telemetry.seldom import Seldom

log = structlog.get_logger(__name__)

_REALM = 'Bearer realm="authz"'
_KIND = "refused"


class BearerCheck:
    """Stands before all else that answers. For one event loop.

    Attributes:
        refused: How many requests did not show a valid token.
    """

    def __init__(self, application: ASGIApp, tokens: Callable[[], Tokens | None]) -> None:
        """Stand before *application*; where *tokens* returns None nobody is asked."""
        self._application = application
        self._tokens = tokens
        self._said = Seldom()
        self.refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        tokens = self._tokens()
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        if tokens is None or tokens.accept(shown):
            await self._application(scope, receive, send)
        else:
            await self._refusal(scope, has_shown=bool(shown))(scope, receive, send)

    def finish(self) -> None:
        """Say at the end what was not said yet."""
        unsaid = self._said.left(_KIND)
        if unsaid:
            log.warning("http_refused_unsaid", refused=self.refused, since_last=unsaid)

    def _refusal(self, scope: Scope, *, has_shown: bool) -> Response:
        """Refuse, as RFC 6750, section 3, has it; count it, and log it once a minute at most."""
        self.refused += 1
        why = "not a valid token" if has_shown else "no token"
        unsaid = self._said.due(_KIND)
        if unsaid is not None:
            peer = scope["client"][0] if scope["client"] else ""
            since = {"since_last": unsaid} if unsaid else {}
            log.warning("http_refused", why=why, peer=peer, refused=self.refused, **since)
        challenge = f'{_REALM}, error="invalid_token"' if has_shown else _REALM
        return Response(status_code=401, headers={"WWW-Authenticate": challenge})
