"""The two messages of Cerbos's CheckResources, as far as the benchmark needs them.

Cerbos publishes no Python stubs for the whole of its API, so the fields used here are described by
number and type, in a pool of their own: what is not named here is skipped as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "cerbos.bench"
_STRING = "string"
_ATTRIBUTES = "map:.google.protobuf.Value"


class Messages(NamedTuple):
    """The classes of the question and of the answer."""

    request: Any
    response: Any


_SHAPES: Mapping[str, Mapping[str, tuple[int, str, bool]]] = {
    "Principal": {
        "id": (1, _STRING, False),
        "roles": (3, _STRING, True),
        "attr": (4, _ATTRIBUTES, True),
    },
    "Resource": {
        "kind": (1, _STRING, False),
        "id": (3, _STRING, False),
        "attr": (4, _ATTRIBUTES, True),
    },
    "Entry": {
        "actions": (1, _STRING, True),
        "resource": (2, ".cerbos.bench.Resource", False),
    },
    "CheckResourcesRequest": {
        "request_id": (1, _STRING, False),
        "principal": (3, ".cerbos.bench.Principal", False),
        "resources": (4, ".cerbos.bench.Entry", True),
    },
    "ResultResource": {"id": (1, _STRING, False)},
    "Result": {
        "resource": (1, ".cerbos.bench.ResultResource", False),
        "actions": (2, "map:int32", True),
    },
    "CheckResourcesResponse": {
        "results": (2, ".cerbos.bench.Result", True),
        "cerbos_call_id": (3, _STRING, False),
    },
}
"""Of every message its fields: number, type, and whether there may be many."""


@cache
def messages() -> Messages:
    """Return the classes of both messages."""
    file = descriptor_pb2.FileDescriptorProto(
        name="bench/cerbos.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/struct.proto"],
    )
    for name, fields in _SHAPES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, many) in fields.items():
            _add(message, field, number, kind, many=many)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in ("CheckResourcesRequest", "CheckResourcesResponse")
    )
    return Messages(request, response)


def _add(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str, *, many: bool
) -> None:
    """Add a field; a map from strings is a message of its own, as protoc makes it."""
    if kind.startswith("map:"):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "key", 1, _STRING, many=False)
        _add(entry, "value", 2, kind.removeprefix("map:"), many=False)
        kind = f".{_PACKAGE}.{message.name}.{entry.name}"
    field = message.field.add(
        name=name,
        number=number,
        label=_Field.LABEL_REPEATED if many else _Field.LABEL_OPTIONAL,
    )
    if kind.startswith("."):
        field.type, field.type_name = _Field.TYPE_MESSAGE, kind
    else:
        field.type = _Field.TYPE_STRING if kind == _STRING else _Field.TYPE_INT32
