"""The registry's changes, told by a running service for as long as somebody wants to hear them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import json_format

from authz_service.api.v1 import entities_pb2 as entities
from authz_service.api.v1 import facts_pb2 as pb
from authz_service.api.v1 import facts_pb2_grpc as grpc_api
from authz_service.cli.channel import Connection, connected
from authz_service.cli.codes import ExitCode
from authz_service.cli.failures import CommandError
from authz_service.cli.options import Format
from authz_service.cli.output import print_line
from authz_service.cli.wording import counted

_PAUSE_SECONDS = 0.5


class _Known(NamedTuple):
    """The last revision that was told whole, and in which state of the registry."""

    revision: int
    state: str


def watch_facts(
    after: int, state: str, *, address: str, timeout_seconds: float, form: Format
) -> None:
    """Print every change after *after* as it is told, until an interrupt.

    A service that ends, or that ends a watch because it has lasted long enough, is asked again for
    what follows; one that does not answer, for *timeout_seconds*.

    Raises:
        CommandError: The service refuses, or does not answer; says from where on to go on.
    """
    known = _Known(after, state)
    try:
        with connected(address, timeout_seconds) as service:
            stub = service.stub(grpc_api.FactsServiceStub)
            heard_at = time.monotonic()
            while True:
                try:
                    for message in _watched(service, stub, known):
                        heard_at = time.monotonic()
                        _print(message, form)
                        if message.is_whole:
                            known = _Known(message.revision, message.state)
                except CommandError as failure:
                    silent = time.monotonic() - heard_at
                    is_ending = failure.code is ExitCode.UNAVAILABLE
                    if not is_ending or silent >= timeout_seconds:
                        raise _with_place(failure, known) from None
                    time.sleep(_PAUSE_SECONDS)
    except KeyboardInterrupt:
        if form is Format.TEXT:
            print_line(f"told up to revision {known.revision}", "dim", stderr=True)


def _watched(service: Connection, stub: Any, known: _Known) -> Iterator[pb.WatchFactsResponse]:
    """Yield what follows *known*.

    Raises:
        CommandError: The service refuses, does not answer, or has ended the watch.
    """
    request = pb.WatchFactsRequest(after_revision=known.revision, after_state=known.state)
    yield from service.stream(stub.WatchFacts, request)


def _with_place(failure: CommandError, known: _Known) -> CommandError:
    """Return *failure*, which says from where on to go on, or that this is too far behind."""
    if failure.reason == "HISTORY_GONE":
        failure.message = f"too far behind: {failure.message}"
        failure.hint = (
            "note the facts revision (authz status), read all facts (authz facts export), then "
            "watch after that revision"
        )
    elif failure.reason == "REVISION_AHEAD":
        failure.hint = "watch after a revision that there is: authz status says which is the last"
    elif known.revision:
        failure.hint = f"go on with: authz facts watch --after {known.revision}"
    return failure


def _print(message: pb.WatchFactsResponse, form: Format) -> None:
    """Print one message: as a line of JSON, or a line for each change."""
    if form is Format.JSON:
        sys.stdout.write(json.dumps(_document(message)) + "\n")
    else:
        for line in _lines(message):
            print_line(line)
    sys.stdout.flush()


def _document(message: pb.WatchFactsResponse) -> dict[str, Any]:
    """Return *message* for programs, with all its fields."""
    return {
        "revision": message.revision,
        "state": message.state,
        "recorded_at": message.recorded_at.ToJsonString() if _has_time(message) else None,
        "actor": message.actor or None,
        "changes": [
            {
                "kind": _kind(change.reference),
                "id": change.reference.id,
                "fact": _plain(change.fact) if change.HasField("fact") else None,
            }
            for change in message.changes
        ],
        "attribution_recording_ids": list(message.attribution_recording_ids),
        "is_whole": message.is_whole,
        "read_anew": message.read_anew,
    }


def _lines(message: pb.WatchFactsResponse) -> Iterator[str]:
    """Yield *message* for people; a sign of life is no line."""
    if not _has_time(message):
        return
    head = f"{message.revision}  {message.recorded_at.ToJsonString()}  {message.actor}"
    for change in message.changes:
        became = "" if change.HasField("fact") else "  deleted"
        yield f"{head}  {_kind(change.reference)}/{change.reference.id}{became}"
    for recording_id in message.attribution_recording_ids:
        yield f"{head}  attribution/{recording_id}"
    if message.read_anew:
        yield f"{head}  facts that are not told one by one: read all anew"
    if not message.is_whole:
        yield f"{head}  {counted(len(message.changes), 'change')} so far, more follow"


def _has_time(message: pb.WatchFactsResponse) -> bool:
    """Whether *message* tells of a revision, and is no sign of life."""
    return message.HasField("recorded_at")


def _kind(reference: entities.FactReference) -> str:
    """Return the kind of a fact as the import format names it."""
    return entities.FactKind.Name(reference.kind).removeprefix("FACT_KIND_").lower()


def _plain(fact: entities.Fact) -> dict[str, Any]:
    """Return *fact* as the import format has it, with its revision."""
    plain: dict[str, Any] = json_format.MessageToDict(fact, preserving_proto_field_name=True)
    return {**plain, "revision": fact.revision}
