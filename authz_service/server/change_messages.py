"""Changes as messages: made once for all who are told of the same."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from authz_service.api.v1 import facts_pb2 as pb
from authz_service.operations.change_feed import RevisionPart
from authz_service.server.fact_messages import NUMBERS, fill_fact

_FEW = 8
"""So many changes are made into a message on the event loop."""
_REMEMBERED = 16


async def told(part: RevisionPart, turn: asyncio.Lock) -> pb.WatchFactsResponse:
    """Return *part* as a message, which nobody may change; a large one is made in its *turn*.

    Each thread that makes messages delays the event loop, and there may be a hundred watchers.
    """
    if len(part.changes) <= _FEW:
        return _message_of(part)
    async with turn:
        return await asyncio.to_thread(_message_of, part)


@lru_cache(_REMEMBERED)
def _message_of(part: RevisionPart) -> pb.WatchFactsResponse:
    """Return *part* as a message."""
    message = pb.WatchFactsResponse(
        revision=part.state.revision,
        state=part.state.nonce,
        actor=part.actor,
        attribution_recording_ids=part.attributions,
        is_whole=part.is_whole,
        read_anew=part.read_anew,
    )
    if part.recorded_at is not None:
        message.recorded_at.FromDatetime(part.recorded_at)
    for reference, fact in part.changes:
        change = message.changes.add()
        change.reference.kind = NUMBERS[reference.kind]
        change.reference.id = reference.id
        if fact is not None:
            fill_fact(change.fact, fact)
    return message
