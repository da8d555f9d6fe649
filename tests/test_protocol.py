"""The protocol and the program say the same words: nothing on the wire that is not in the pdp."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime
from enum import Enum, StrEnum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from authz_service.api.v1 import (
    containment_pb2,
    decision_log_pb2,
    emergency_access_pb2,
    entities_pb2,
    facts_pb2,
    policy_pb2,
    recording_access_pb2,
    vocabulary_pb2,
)
from authz_service.operations.batch_check_access import Semantics
from authz_service.operations.records import RecordKind
from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp.model import Action, Assurance, Effect, PurposeOfUse, Reason
from authz_service.server import (
    access_servicer,
    containment_messages,
    convert,
    decision_messages,
    fact_messages,
)

FILES = (
    vocabulary_pb2,
    entities_pb2,
    facts_pb2,
    containment_pb2,
    policy_pb2,
    recording_access_pb2,
    decision_log_pb2,
    emergency_access_pb2,
)
VOCABULARY = vocabulary_pb2.DESCRIPTOR.enum_types_by_name
ENTITY_ENUMS = entities_pb2.DESCRIPTOR.enum_types_by_name
NAMES_ON_THE_WIRE = {"Subject": "SubjectFact"}


def words_of(enum: EnumDescriptor, prefix: str) -> list[str]:
    """Return the values of a proto enum without prefix; the first is UNSPECIFIED, and 0."""
    assert enum.values_by_number[0].name == f"{prefix}_UNSPECIFIED"
    names = [value.name for value in enum.values]
    assert all(name.startswith(f"{prefix}_") for name in names)
    return [name.removeprefix(f"{prefix}_") for name in names][1:]


@pytest.mark.parametrize(
    ("words", "name", "prefix"),
    [
        (Action, "Action", "ACTION"),
        (Effect, "Effect", "EFFECT"),
        (Assurance, "Assurance", "ASSURANCE"),
        (PurposeOfUse, "PurposeOfUse", "PURPOSE_OF_USE"),
        (Reason, "Reason", "REASON"),
    ],
)
def test_every_word_of_a_decision_is_on_the_wire_and_back(
    words: type[StrEnum], name: str, prefix: str
) -> None:
    assert words_of(VOCABULARY[name], prefix) == [word.value for word in words]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (convert.ACTIONS, Action),
        (convert.PURPOSES, PurposeOfUse),
        (convert.ASSURANCES, Assurance),
        (convert.EFFECTS, Effect),
        (convert.REASONS, Reason),
        (fact_messages.KINDS, w.FactKind),
        (containment_messages.AUDIENCES, w.Audience),
        (access_servicer._SEMANTICS, Semantics),
    ],
)
def test_every_number_is_understood(table: dict[int, Any], words: type[Enum]) -> None:
    assert set(table.values()) == set(words)
    assert 0 not in table or table[0] is Semantics.EXECUTE_ALL


_RECORDED = ["DECISION", "PRESENTED", "LISTED", "EXPLAINED", "EMERGENCY"]


def test_every_kind_of_record_is_on_the_wire_and_back() -> None:
    kinds = decision_log_pb2.DESCRIPTOR.enum_types_by_name["RecordKind"]

    assert set(_RECORDED) == {*RecordKind, "LISTED", "EMERGENCY"}
    assert words_of(kinds, "RECORD_KIND") == _RECORDED
    assert list(decision_messages.KINDS.values()) == _RECORDED


def test_every_kind_of_fact_is_in_the_protocol_and_back() -> None:
    kinds = [kind.value for kind in w.FactKind]

    assert [w.lower() for w in words_of(ENTITY_ENUMS["FactKind"], "FACT_KIND")] == kinds
    (oneof,) = entities_pb2.Fact.DESCRIPTOR.oneofs
    assert [field.name for field in oneof.fields] == kinds


def entity_messages() -> list[Any]:
    """Pair every entity, and every value inside of one, with its message."""
    found: dict[type, Descriptor] = {}

    def walk(made: type, message: Descriptor | None) -> None:
        if made in found:
            return
        assert message is not None, made
        found[made] = message
        for name, hint in get_type_hints(made).items():
            inner = inner_type(hint)
            if dataclasses.is_dataclass(inner):
                walk(inner, message.fields_by_name[name].message_type)

    for kind, made in e.ENTITY_TYPES.items():
        walk(made, entities_pb2.Fact.DESCRIPTOR.fields_by_name[kind.value].message_type)
    return [pytest.param(made, found[made], id=made.__name__) for made in found]


def inner_type(hint: Any) -> type:
    """Return what an optional or a tuple holds."""
    if get_origin(hint) in {Union, UnionType}:
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
    assert isinstance(hint, type)
    return hint


@pytest.mark.parametrize(("made", "message"), entity_messages())
def test_every_field_of_an_entity_is_in_the_protocol_and_back(
    made: type, message: Descriptor
) -> None:
    hints = get_type_hints(made)

    assert message.name == NAMES_ON_THE_WIRE.get(made.__name__, made.__name__)
    assert {field.name for field in message.fields} == set(hints)
    for field in message.fields:
        assert is_of(field, inner_type(hints[field.name])), field.full_name
        is_tuple = get_origin(hints[field.name]) is tuple
        assert field.is_repeated == is_tuple, field.full_name


def is_of(field: FieldDescriptor, hint: type) -> bool:
    """Whether *field* carries values of *hint*, an enum's values included."""
    if issubclass(hint, StrEnum):
        assert field.enum_type is not None
        prefix = field.enum_type.values_by_number[0].name.removesuffix("_UNSPECIFIED")
        return words_of(field.enum_type, prefix) == [word.value for word in hint]
    if hint is datetime:
        message = field.message_type
        return message is not None and message.full_name == "google.protobuf.Timestamp"
    if dataclasses.is_dataclass(hint):
        return field.message_type is not None
    scalars = {str: FieldDescriptor.TYPE_STRING, date: FieldDescriptor.TYPE_STRING}
    scalars |= {bool: FieldDescriptor.TYPE_BOOL, int: FieldDescriptor.TYPE_UINT32}
    return bool(field.type == scalars[hint])


def test_nothing_is_published_that_does_not_work_yet() -> None:
    services = {
        name: sorted(service.methods_by_name)
        for file in FILES
        for name, service in file.DESCRIPTOR.services_by_name.items()
    }

    assert services == {
        "RecordingAccessService": [
            "BatchCheckAccess",
            "CheckAccess",
            "ExplainAccess",
            "ListRecordings",
            "ListSubjects",
        ],
        "FactsService": [
            "DeleteFacts",
            "ErasePerson",
            "ExportPerson",
            "ReadFacts",
            "ResolveConflict",
            "WatchFacts",
            "WriteFacts",
        ],
        "EmergencyAccessService": [
            "ListEmergencyAccess",
            "OpenEmergencyAccess",
            "ReviewEmergencyAccess",
        ],
        "ContainmentService": ["Contain", "LiftContainment", "ListContainments"],
        "PolicyService": ["GetActivePolicy", "ReloadPolicy"],
        "DecisionLogService": ["GetDecision", "ListDecisions"],
    }


def test_no_answer_is_a_bool_that_vanishes_from_json() -> None:
    response = recording_access_pb2.CheckAccessResponse.DESCRIPTOR

    effect = response.fields_by_name["effect"].enum_type
    assert effect is not None
    assert effect.name == "Effect"
    assert not [each for each in response.fields if each.type == FieldDescriptor.TYPE_BOOL]
