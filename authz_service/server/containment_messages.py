"""Containments as messages, and back. Every field that is malformed is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from google.protobuf import timestamp_pb2

from authz_service.api.v1 import containment_pb2 as pb
from authz_service.api.v1 import entities_pb2 as entities
from authz_service.operations.containments import ContainmentsPage
from authz_service.pdp.entities import Containment, ContainmentScope
from authz_service.pdp.entity_words import Audience
from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import Instant, is_id
from authz_service.server.convert import (
    ACTION_NUMBERS,
    ACTIONS,
    ID_HINT,
    instant_from_proto,
    set_instant,
)

MAX_RECORDINGS: Final = 1000
"""Most recordings in one scope."""
MAX_PAGE: Final = 500
DEFAULT_PAGE: Final = 50
_MAX_TEXT: Final = 4096
_MOST_NAMED: Final = 20
"""Of a thousand ids that are wrong so many are named: all would not fit the answer's metadata."""

AUDIENCES: Mapping[int, Audience] = {
    entities.Audience.Value(f"AUDIENCE_{one.name}"): one for one in Audience
}
_AUDIENCE_NUMBERS = {audience: number for number, audience in AUDIENCES.items()}


def scope_from_proto(
    message: entities.ContainmentScope, found: list[Violation]
) -> ContainmentScope:
    """Return the scope of *message*; what is malformed is added to *found*."""
    scope = ContainmentScope(
        _audience(message.audience, found),
        _text(message.tenant_id),
        ACTIONS.get(message.action),
        _text(message.created_by_release),
        tuple(message.recording_ids),
        _instant(message, "created_from", found),
        _instant(message, "created_to", found),
    )
    before = len(found)
    if message.action and scope.action is None:
        found.append(Violation("scope.action", f"has no value {message.action}"))
    if message.tenant_id and not is_id(message.tenant_id):
        found.append(Violation("scope.tenant_id", ID_HINT))
    if _is_no_text(message.created_by_release):
        found.append(Violation("scope.created_by_release", _text_hint()))
    found.extend(_wrong_recordings(scope.recording_ids))
    start, end = scope.created_from, scope.created_to
    if start is not None and end is not None and start >= end:
        found.append(Violation("scope.created_to", "is not after created_from"))
    if scope == ContainmentScope() and len(found) == before and not message.ListFields():
        found.append(Violation("scope", "sets no field; a scope sets at least one"))
    return scope


def check_reason(reason: str, found: list[Violation]) -> None:
    """Add to *found* what is wrong with *reason*."""
    if not reason.strip():
        found.append(Violation("reason", "is missing; write why, in words"))
    elif _is_no_text(reason):
        found.append(Violation("reason", _text_hint()))


def check_actor(actor: str, found: list[Violation]) -> None:
    """Add to *found* what is wrong with *actor*."""
    if not actor:
        what = "is missing; name the person who is answerable for the change"
        found.append(Violation("actor", what))
    elif not is_id(actor):
        found.append(Violation("actor", ID_HINT))


def check_containment_id(text: str, found: list[Violation]) -> None:
    """Add to *found* what is wrong with the id of a containment."""
    if not text:
        found.append(Violation("id", "is missing; ListContainments shows those in force"))
    elif not is_id(text):
        found.append(Violation("id", ID_HINT))


def page_size_of(message: pb.ListContainmentsRequest) -> int:
    """Return how many containments a page has at most.

    Raises:
        InvalidRequestError: It is out of range.
    """
    if not 0 <= message.page_size <= MAX_PAGE:
        raise InvalidRequestError(Violation("page_size", f"is not 1 to {MAX_PAGE}, nor 0"))
    return message.page_size or DEFAULT_PAGE


def refuse_malformed(found: list[Violation]) -> None:
    """Refuse a request in which anything was *found*.

    Raises:
        InvalidRequestError: Names every field.
    """
    if found:
        raise InvalidRequestError(*found)


def fill_page(response: pb.ListContainmentsResponse, page: ContainmentsPage) -> None:
    """Put *page* into *response*."""
    for one in page.containments:
        fill_containment(response.containments.add(), one)
    response.next_page_token = page.next_page_token
    response.facts_revision = page.revision


def fill_containment(message: entities.Containment, containment: Containment) -> None:
    """Put *containment* into *message*."""
    scope = containment.scope
    message.id = containment.id
    message.reason = containment.reason or ""
    message.set_by = containment.set_by or ""
    message.lifted_by = containment.lifted_by or ""
    _set(message.set_at, containment.set_at)
    _set(message.lifted_at, containment.lifted_at)
    if scope.audience is not None:
        message.scope.audience = _AUDIENCE_NUMBERS[scope.audience]  # type: ignore[assignment]  # an int
    if scope.action is not None:
        message.scope.action = ACTION_NUMBERS[scope.action]  # type: ignore[assignment]  # as above
    message.scope.tenant_id = scope.tenant_id or ""
    message.scope.created_by_release = scope.created_by_release or ""
    message.scope.recording_ids.extend(scope.recording_ids)
    _set(message.scope.created_from, scope.created_from)
    _set(message.scope.created_to, scope.created_to)


def _set(stamp: timestamp_pb2.Timestamp, instant: Instant | None) -> None:
    """Set *stamp* where there is an *instant*."""
    if instant is not None:
        set_instant(stamp, instant)


def _audience(number: int, found: list[Violation]) -> Audience | None:
    """Return the audience of *number*, or None where it is not set."""
    if number and number not in AUDIENCES:
        found.append(Violation("scope.audience", f"has no value {number}"))
    return AUDIENCES.get(number)


def _instant(
    message: entities.ContainmentScope, name: str, found: list[Violation]
) -> Instant | None:
    """Return one of the instants of a scope, or None where it is not set."""
    if not message.HasField(name):  # type: ignore[arg-type]  # one of two names
        return None
    try:
        return instant_from_proto(getattr(message, name), f"scope.{name}")
    except InvalidRequestError as error:
        found.extend(error.violations)
        return None


def _wrong_recordings(ids: tuple[str, ...]) -> list[Violation]:
    """Return what is wrong with the recordings of a scope."""
    if len(ids) > MAX_RECORDINGS:
        what = f"has {len(ids)} items; one scope takes up to {MAX_RECORDINGS}"
        return [Violation("scope.recording_ids", what)]
    wrong = [
        Violation(f"scope.recording_ids[{index}]", ID_HINT)
        for index, one in enumerate(ids)
        if not is_id(one)
    ]
    if len(wrong) > _MOST_NAMED:
        rest = Violation("scope.recording_ids", f"has {len(wrong) - _MOST_NAMED} more of them")
        return [*wrong[:_MOST_NAMED], rest]
    return wrong


def _text(text: str) -> str | None:
    """Return *text*, or None where there is none."""
    return text or None


def _is_no_text(text: str) -> bool:
    """Whether *text* is too long to be kept, or holds what no database keeps."""
    return len(text) > _MAX_TEXT or "\0" in text


def _text_hint() -> str:
    """Return what a text has to be."""
    return f"is longer than {_MAX_TEXT} characters, or holds a zero character"
