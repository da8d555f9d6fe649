"""The Starlette application of an address: pages to read, and few words for everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

Page = Callable[[], Response]
"""Makes a page anew at each request; on the event loop, so it does not wait for anything."""


def application_of(pages: Mapping[str, Page]) -> ASGIApp:
    """Return what answers with *pages*, by path: each path as it is written, and no other."""
    application = Starlette(
        routes=[Route(path, _endpoint(page)) for path, page in pages.items()],
        middleware=[Middleware(ReadingOnly)],
        exception_handlers={HTTPException: _in_few_words},
    )
    application.router.redirect_slashes = False
    return application


class ReadingOnly:
    """Lets reading pass; whatever else is asked for, at any path, is not done."""

    def __init__(self, application: ASGIApp) -> None:
        """Stand before *application*."""
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["method"] in {"GET", "HEAD"}:
            await self._application(scope, receive, send)
        else:
            refusal = Response(status_code=405, headers={"Allow": "GET, HEAD"})
            await refusal(scope, receive, send)


def _endpoint(page: Page) -> Callable[[Request], Awaitable[Response]]:
    """Return *page* as a route takes it: on the loop, where all that is shown lives."""

    async def answer(_request: Request) -> Response:
        return page()

    return answer


async def _in_few_words(_request: Request, refused: Exception) -> Response:
    """Answer with the status alone: who knows the pages needs no words, nobody else gets any."""
    status = refused.status_code if isinstance(refused, HTTPException) else 500
    return Response(status_code=status)
