"""What is stored comes back as what it was, and as the strict reader would read it."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.facts.decoding import entity_of, from_microseconds, to_microseconds
from authz_service.facts.rows import canonical
from authz_service.pdp.entities import ENTITY_TYPES, ContainmentScope, Tenant
from authz_service.pdp.entity_plain import entity_from_plain
from authz_service.pdp.entity_words import FactKind
from authz_service.pdp.errors import FactsUnavailableError

IDS = st.from_regex(r"[A-Za-z0-9]{1,4}([._-][A-Za-z0-9]{1,3})?", fullmatch=True)
INSTANTS = st.datetimes(
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001  # hypothesis adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001  # the same
    timezones=st.just(UTC),
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: IDS,
    bool: st.booleans(),
    int: st.integers(0, 150),
    datetime: INSTANTS,
    date: st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)),
}


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Return values of a field's type."""
    if annotation in SIMPLE:
        return SIMPLE[annotation]
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple:
        return st.lists(values_of(arguments[0]), max_size=2, unique=True).map(tuple)
    if isinstance(annotation, types.UnionType):
        some = [one for one in arguments if one is not type(None)]
        return st.none() | values_of(some[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    return instances_of(annotation)


def instances_of(made: type) -> st.SearchStrategy[Any]:
    """Return instances of a dataclass."""
    assert is_dataclass(made)
    if made is Tenant:
        return st.builds(Tenant, IDS, st.sampled_from(("Europe/London", "UTC")))
    hints = typing.get_type_hints(made)
    built = st.builds(made, **{one.name: values_of(hints[one.name]) for one in fields(made)})
    return built.filter(lambda one: one != ContainmentScope())


@given(st.sampled_from(FactKind).flatmap(lambda kind: instances_of(ENTITY_TYPES[kind])))
def test_what_is_stored_is_read_as_the_strict_reader_reads_it(entity: Any) -> None:
    """The fast reader leaves out the checks, and nothing else."""
    kind = next(kind for kind, made in ENTITY_TYPES.items() if made is type(entity))

    stored = canonical(entity)

    assert entity_of(kind, stored) == entity
    assert entity_from_plain(kind, orjson.loads(stored)) == entity


@given(INSTANTS)
def test_instants_are_kept_to_the_microsecond(instant: datetime) -> None:
    assert from_microseconds(to_microseconds(instant)) == instant


@pytest.mark.parametrize("value", ["", "[]", "{}", '{"kind": "X"}'])
@pytest.mark.parametrize("kind", FactKind)
def test_what_is_damaged_is_not_guessed(kind: FactKind, value: str) -> None:
    with pytest.raises(FactsUnavailableError, match=f"a stored {kind} is damaged"):
        entity_of(kind, value)
