"""What the explaining verbs do: make the question, have it answered, print the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from authz_service.api.v1 import recording_access_pb2 as pb
from authz_service.api.v1 import vocabulary_pb2 as words
from authz_service.cli import remote_check, remote_list
from authz_service.cli.explainer import Explainer, Place
from authz_service.cli.explanation_report import show_explanation
from authz_service.cli.options import Format
from authz_service.cli.quiet import keep_logs_off
from authz_service.cli.reach_report import show_recordings, show_subjects
from authz_service.operations.lists import ListRequest
from authz_service.operations.subjects import SubjectsRequest
from authz_service.pdp.model import AccessRequest, Instant


def explained(
    request: AccessRequest, as_of: Instant | None, at_least: int, place: Place, form: Format
) -> None:
    """Print why the answer to *request* is what it is.

    Raises:
        CommandError: Nothing can answer, or not so.
    """
    message = pb.ExplainAccessRequest(check=remote_check.to_proto(request, at_least))
    if as_of is not None:
        message.as_of.FromDatetime(as_of)
    with _explainer(place) as explainer:
        response = explainer.why(message)
    show_explanation(response, request, form, recorded=not place.is_here)


def named(
    request: SubjectsRequest, at_least: int, place: Place, form: Format, *, every_page: bool
) -> None:
    """Print everybody who may, a page or all.

    Raises:
        CommandError: As for `explained`.
    """
    message = pb.ListSubjectsRequest(
        recording_id=request.recording_id,
        action=words.Action.Value(f"ACTION_{request.action.name}"),
        tenant_id=request.tenant_id or "",
        page_size=request.page_size,
        at_least_facts_revision=at_least,
    )
    remote_check.fill_context(message.context, request)
    with _explainer(place) as explainer:
        pages = [explainer.who(message)]
        while every_page and pages[-1].next_page_token:
            message.page_token = pages[-1].next_page_token
            pages.append(explainer.who(message))
    show_subjects(pages, request, form, recorded=not place.is_here)


def reached(
    request: ListRequest, at_least: int, place: Place, form: Format, *, every_page: bool
) -> None:
    """Print every recording that somebody may, a page or all.

    Raises:
        CommandError: As for `explained`.
    """
    message = remote_list.to_proto(request, at_least)
    with _explainer(place) as explainer:
        pages = [explainer.what(message)]
        while every_page and pages[-1].next_page_token:
            message.page_token = pages[-1].next_page_token
            pages.append(explainer.what(message))
    show_recordings(pages, request, form, recorded=not place.is_here)


@contextmanager
def _explainer(place: Place) -> Iterator[Explainer]:
    """Lend what answers at *place*."""
    if place.is_here:
        from authz_service.cli.offline_explain import explainer_here  # noqa: PLC0415  # heavy

        keep_logs_off()
        with explainer_here(place) as here:
            yield here
        return
    from authz_service.cli.remote_explain import explainer_at  # noqa: PLC0415  # gRPC

    with explainer_at(place) as there:
        yield there
