"""Facts as plain values: read strictly, with the field that is wrong, and written back the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authz_service.pdp import entities as e
from authz_service.pdp import entity_words as w
from authz_service.pdp import facts as f
from authz_service.pdp.entity_plain import (
    entity_from_plain,
    entity_to_plain,
    fact_from_plain,
    fact_to_plain,
    format_instant,
    parse_instant,
)
from authz_service.pdp.errors import InvalidRequestError
from authz_service.pdp.model import Action

_SOUND: dict[str, dict[str, Any]] = {
    "tenant": {"id": "t", "time_zone": "Europe/Oslo"},
    "subject": {"id": "s", "tenant_id": "t", "kind": "PATIENT", "status": "ACTIVE"},
    "consultation": {"id": "c", "tenant_id": "t"},
    "recording": {"id": "r", "tenant_id": "t", "state": "ACTIVE"},
    "attendance": {"id": "r"},
    "delegation": {"id": "d", "kind": "PARENTAL"},
    "block": {"id": "b", "patient_id": "p", "delegate_id": "d"},
    "relationship": {"id": "l", "kind": "REFERRAL"},
    "grant": {"id": "g", "kind": "SHARE"},
    "consent": {"id": "n", "patient_id": "p", "scope": "TRAINING", "status": "ACTIVE"},
    "containment": {"id": "x", "scope": {"audience": "EVERYONE"}},
}
_STATED = {"source": "desk", "observed_at": "2020-01-01T00:00:00Z"}


def _plain(kind: str, /, **changes: Any) -> dict[str, Any]:
    return {kind: {**_SOUND[kind], **changes}, **_STATED}


def _wrong_field(plain: Any, path: str = "") -> str:
    with pytest.raises(InvalidRequestError) as refused:
        fact_from_plain(plain, path)
    (violation,) = refused.value.violations
    return violation.field


@pytest.mark.parametrize("kind", sorted(_SOUND))
def test_the_least_of_every_entity_is_read_and_written_back(kind: str) -> None:
    fact = fact_from_plain(_plain(kind))

    assert fact.kind.value == kind
    assert fact_to_plain(fact) == _plain(kind)


def test_every_kind_is_described() -> None:
    assert set(_SOUND) == {kind.value for kind in w.FactKind}


@pytest.mark.parametrize(
    ("plain", "field"),
    [
        pytest.param(None, "fact", id="null"),
        pytest.param([], "fact", id="list"),
        pytest.param("recording", "fact", id="text"),
        pytest.param({}, "fact", id="empty"),
        pytest.param(_STATED, "fact", id="no-entity"),
        pytest.param({**_plain("tenant"), **_plain("consent")}, "fact", id="two-entities"),
        pytest.param({**_plain("tenant"), "tenants": 1}, "tenants", id="unknown-beside"),
        pytest.param(dict([*_plain("tenant").items(), (7, 1)]), "7", id="key-that-is-no-text"),
        pytest.param({"tenant": None, **_STATED}, "tenant", id="entity-null"),
        pytest.param({"tenant": [], **_STATED}, "tenant", id="entity-list"),
        pytest.param({"tenant": _SOUND["tenant"]}, "source", id="no-source"),
        pytest.param({**_plain("tenant"), "source": ""}, "source", id="source-empty"),
        pytest.param({**_plain("tenant"), "source": "a b"}, "source", id="source-no-id"),
        pytest.param({**_plain("tenant"), "observed_at": None}, "observed_at", id="unobserved"),
        pytest.param({**_plain("tenant"), "observed_at": "now"}, "observed_at", id="observed-now"),
        pytest.param(_plain("tenant", id=""), "tenant.id", id="id-empty"),
        pytest.param(_plain("tenant", id=None), "tenant.id", id="id-null"),
        pytest.param(_plain("tenant", id="t\n"), "tenant.id", id="id-with-newline"),
        pytest.param(_plain("tenant", id=7), "tenant.id", id="id-number"),
        pytest.param(_plain("tenant", name="x"), "tenant.name", id="unknown-field"),
        pytest.param(_plain("tenant", time_zone="Mars/Base"), "tenant.time_zone", id="zone"),
        pytest.param(_plain("tenant", time_zone="../UTC"), "tenant.time_zone", id="zone-path"),
        pytest.param(_plain("tenant", time_zone="/etc/hosts"), "tenant.time_zone", id="zone-abs"),
        pytest.param(_plain("tenant", time_zone="Europe"), "tenant.time_zone", id="zone-folder"),
        pytest.param(_plain("tenant", time_zone="U\0C"), "tenant.time_zone", id="zone-nul"),
        pytest.param(_plain("tenant", time_zone="x" * 5000), "tenant.time_zone", id="zone-long"),
        pytest.param(_plain("tenant", time_zone=3), "tenant.time_zone", id="zone-number"),
        pytest.param(_plain("tenant", time_zone=["UTC"]), "tenant.time_zone", id="zone-list"),
        pytest.param(
            _plain("tenant", proxy_restricted_from_age=True),
            "tenant.proxy_restricted_from_age",
            id="bool-for-int",
        ),
        pytest.param(
            _plain("tenant", proxy_restricted_from_age="11"),
            "tenant.proxy_restricted_from_age",
            id="text-for-int",
        ),
        pytest.param(
            _plain("tenant", proxy_suspended_from_age=16.0),
            "tenant.proxy_suspended_from_age",
            id="float-for-int",
        ),
        pytest.param(
            _plain("tenant", proxy_suspended_from_age=-1),
            "tenant.proxy_suspended_from_age",
            id="age-below-0",
        ),
        pytest.param(
            _plain("tenant", proxy_suspended_from_age=151),
            "tenant.proxy_suspended_from_age",
            id="age-above-150",
        ),
        pytest.param(_plain("subject", kind="patient"), "subject.kind", id="enum-lower-case"),
        pytest.param(_plain("subject", kind="PERSON"), "subject.kind", id="enum-unknown"),
        pytest.param(_plain("subject", kind=1), "subject.kind", id="enum-number"),
        pytest.param(_plain("subject", kind=None), "subject.kind", id="enum-null"),
        pytest.param(
            _plain("subject", kind="SUBJECT_STATUS_ACTIVE"), "subject.kind", id="enum-other-prefix"
        ),
        pytest.param(
            _plain("subject", kind="SUBJECT_KIND_UNSPECIFIED"), "subject.kind", id="unspecified"
        ),
        pytest.param(_plain("subject", birth_date="1986-2-11"), "subject.birth_date", id="date"),
        pytest.param(_plain("subject", birth_date="2019-02-29"), "subject.birth_date", id="no-day"),
        pytest.param(_plain("subject", birth_date="1849-12-31"), "subject.birth_date", id="old"),
        pytest.param(_plain("subject", birth_date="19860211"), "subject.birth_date", id="compact"),
        pytest.param(_plain("subject", birth_date=19860211), "subject.birth_date", id="date-int"),
        pytest.param(
            _plain("subject", birth_date="1986-02-11T00:00:00Z"), "subject.birth_date", id="instant"
        ),
        pytest.param(
            _plain("subject", birth_date="\u0661986-02-11"), "subject.birth_date", id="arabic-digit"
        ),
        pytest.param(_plain("subject", roles={}), "subject.roles", id="object-for-list"),
        pytest.param(_plain("subject", roles="clinician"), "subject.roles", id="text-for-list"),
        pytest.param(_plain("subject", roles=["clinician"]), "subject.roles[0]", id="text-in-list"),
        pytest.param(_plain("subject", roles=[{}]), "subject.roles[0].role", id="nested-missing"),
        pytest.param(
            _plain("subject", roles=[{"role": "a"}, {"role": "b", "valid_from": "x"}]),
            "subject.roles[1].valid_from",
            id="nested-instant",
        ),
        pytest.param(_plain("subject", family=["a", ""]), "subject.family[1]", id="empty-in-list"),
        pytest.param(_plain("subject", family=[None]), "subject.family[0]", id="null-in-list"),
        pytest.param(_plain("subject", family=["a"] * 1001), "subject.family", id="long-list"),
        pytest.param(
            _plain("subject", logins=[{"issuer": "i"}]), "subject.logins[0].subject", id="login"
        ),
        pytest.param(_plain("recording", state=None), "recording.state", id="no-state"),
        pytest.param(_plain("recording", sealed=1), "recording.sealed", id="int-for-bool"),
        pytest.param(_plain("recording", sealed="true"), "recording.sealed", id="text-for-bool"),
        pytest.param(
            _plain("recording", holds=[{"matter_id": "m", "kind": "MELT"}]),
            "recording.holds[0].kind",
            id="nested-enum",
        ),
        pytest.param(
            _plain("recording", holds=[{"matter_id": "m", "kind": "FREEZE", "viewers": ["a b"]}]),
            "recording.holds[0].viewers[0]",
            id="nested-twice",
        ),
        pytest.param(
            _plain("recording", created_by_release="x" * 4097),
            "recording.created_by_release",
            id="text-too-long",
        ),
        pytest.param(
            _plain("recording", created_by_release="a\0b"),
            "recording.created_by_release",
            id="text-with-nul",
        ),
        pytest.param(
            _plain("recording", created_by_release="a\ud800"),
            "recording.created_by_release",
            id="text-with-half-a-character",
        ),
        pytest.param(
            _plain("recording", created_by_release=2020.05),
            "recording.created_by_release",
            id="number-for-text",
        ),
        pytest.param(_plain("delegation", actions="VIEW"), "delegation.actions", id="one-action"),
        pytest.param(
            _plain("delegation", actions=["VIEW", "LOOK"]), "delegation.actions[1]", id="action"
        ),
        pytest.param(
            _plain("delegation", competence_review={}),
            "delegation.competence_review.at",
            id="nested-object-empty",
        ),
        pytest.param(
            _plain("delegation", competence_review=[]),
            "delegation.competence_review",
            id="list-for-object",
        ),
        pytest.param(
            _plain("grant", review={"at": "2020-01-01T00:00:00Z", "by": "x", "verdict": "FINE"}),
            "grant.review.verdict",
            id="verdict",
        ),
        pytest.param(_plain("block", delegate_id=""), "block.delegate_id", id="block-of-nobody"),
        pytest.param(_plain("containment", scope=None), "containment.scope", id="no-scope"),
        pytest.param(_plain("containment", scope={}), "containment.scope", id="scope-of-all"),
        pytest.param(
            _plain("containment", scope={"recording_ids": []}), "containment.scope", id="scope-void"
        ),
        pytest.param(
            _plain("containment", scope={"audience": "ALL"}),
            "containment.scope.audience",
            id="audience",
        ),
    ],
)
def test_what_is_malformed_is_refused_by_the_name_of_its_field(plain: Any, field: str) -> None:
    assert _wrong_field(plain) == field


def test_the_place_of_a_fact_stands_before_its_field() -> None:
    assert _wrong_field(_plain("tenant", id=""), "facts[3]") == "facts[3].tenant.id"
    assert _wrong_field(7, "facts[3]") == "facts[3]"


def test_an_entity_alone_is_refused_by_the_name_of_its_field() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        entity_from_plain(w.FactKind.RECORDING, {"id": "r", "tenant_id": "t", "state": "x"})

    assert refused.value.violations[0].field == "recording.state"


def test_a_violation_does_not_repeat_what_was_sent() -> None:
    """What is malformed may be a person's data that strayed into the wrong field."""
    with pytest.raises(InvalidRequestError) as refused:
        fact_from_plain(_plain("subject", id="Somebody's Name"))

    assert "Somebody" not in str(refused.value)


def test_null_and_empty_text_are_nothing() -> None:
    entity = entity_from_plain(
        w.FactKind.RECORDING,
        {**_SOUND["recording"], "owner_id": "", "consultation_id": None, "holds": None},
    )

    assert entity == e.Recording("r", "t", w.RecordingState.ACTIVE)


@pytest.mark.parametrize(
    ("kind", "field", "short", "long"),
    [
        ("subject", "kind", "STAFF", "SUBJECT_KIND_STAFF"),
        ("recording", "state", "QUARANTINED", "RECORDING_STATE_QUARANTINED"),
        ("delegation", "kind", "LASTING_POWER", "DELEGATION_KIND_LASTING_POWER"),
        ("consent", "scope", "RESEARCH", "CONSENT_SCOPE_RESEARCH"),
    ],
)
def test_enum_values_are_read_with_and_without_their_prefix(
    kind: str, field: str, short: str, long: str
) -> None:
    read = fact_from_plain(_plain(kind, **{field: short}))

    assert fact_from_plain(_plain(kind, **{field: long})) == read
    assert fact_to_plain(read)[kind][field] == short
    assert fact_to_plain(read, long_names=True)[kind][field] == long


def test_long_names_reach_what_is_nested() -> None:
    plain = {
        **_SOUND["recording"],
        "holds": [{"matter_id": "m", "kind": "HOLD_KIND_FREEZE", "viewers": ["a"]}],
    }

    entity = entity_from_plain(w.FactKind.RECORDING, plain)

    assert entity_to_plain(entity, long_names=True)["holds"] == plain["holds"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-06-09T14:00:00Z", datetime(2020, 6, 9, 14, tzinfo=UTC)),
        ("2020-06-09t14:00:00z", datetime(2020, 6, 9, 14, tzinfo=UTC)),
        ("2020-06-09T16:00:00+02:00", datetime(2020, 6, 9, 14, tzinfo=UTC)),
        ("2020-06-08T23:30:00-14:30", datetime(2020, 6, 9, 14, tzinfo=UTC)),
        ("2020-06-09T14:00:00-00:00", datetime(2020, 6, 9, 14, tzinfo=UTC)),
        ("2020-06-09T14:00:00.5Z", datetime(2020, 6, 9, 14, 0, 0, 500000, tzinfo=UTC)),
        ("2020-06-09T14:00:00.123456789Z", datetime(2020, 6, 9, 14, 0, 0, 123456, tzinfo=UTC)),
        ("2020-06-09T14:00:00.999999999Z", datetime(2020, 6, 9, 14, 0, 0, 999999, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_an_instant_is_rfc_3339_cut_to_the_microsecond(text: str, expected: datetime) -> None:
    assert parse_instant(text) == expected
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("2020-06-09", id="date"),
        pytest.param("2020-06-09T14:00:00", id="no-zone"),
        pytest.param("2020-06-09 14:00:00Z", id="blank-for-t"),
        pytest.param("2020-06-09T14:00Z", id="no-seconds"),
        pytest.param("2020-06-09T14:00:00.Z", id="dot-without-fraction"),
        pytest.param("2020-06-09T14:00:00.1234567890Z", id="ten-digits"),
        pytest.param("2020-06-09T14:00:00,5Z", id="comma"),
        pytest.param("2016-12-31T23:59:60Z", id="leap-second"),
        pytest.param("2020-06-09T24:00:00Z", id="hour-24"),
        pytest.param("2020-02-30T00:00:00Z", id="30-february"),
        pytest.param("0000-01-01T00:00:00Z", id="year-0"),
        pytest.param("10000-01-01T00:00:00Z", id="year-10000"),
        pytest.param("0001-01-01T00:00:00+01:00", id="before-year-1"),
        pytest.param("9999-12-31T23:59:59-01:00", id="after-year-9999"),
        pytest.param("2020-06-09T14:00:00+25:00", id="offset-25"),
        pytest.param("2020-06-09T14:00:00+0200", id="offset-compact"),
        pytest.param("2020-06-09T14:00:00 UTC", id="zone-by-name"),
        pytest.param("2020-06-09T14:00:00Z\n", id="newline"),
        pytest.param("\u0662020-06-09T14:00:00Z", id="arabic-digit"),
        pytest.param("1591711200", id="seconds"),
        pytest.param("2020-W24-2T14:00:00Z", id="week-date"),
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_instant(text or " ")
    assert _wrong_field({**_plain("tenant"), "observed_at": text}) == "observed_at"


@pytest.mark.parametrize("value", [7, 1.5, True, {}, []])
def test_an_instant_is_a_text(value: object) -> None:
    assert _wrong_field({**_plain("tenant"), "observed_at": value}) == "observed_at"


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_instant_survives_being_written(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant


# ---- round trips of every entity, with everything that it may hold

_IDS = st.from_regex(r"[A-Za-z0-9]{1,6}([._-][A-Za-z0-9]{1,6}){0,2}", fullmatch=True)
_TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)
_INSTANTS = st.datetimes(timezones=st.just(UTC))
_DATES = st.dates(min_value=datetime(1850, 1, 1, tzinfo=UTC).date())
_SCOPES = st.builds(
    e.ContainmentScope,
    st.sampled_from(w.Audience),
    st.none() | _IDS,
    st.none() | st.sampled_from(Action),
    st.none() | _TEXTS,
    st.lists(_IDS, max_size=3).map(tuple),
    st.none() | _INSTANTS,
    st.none() | _INSTANTS,
)


def _holding(made: type) -> st.SearchStrategy[Any]:
    """Return entities of type *made* with every field drawn by its annotation."""
    named = {
        "str": _IDS,
        "Instant": _INSTANTS,
        "date": _DATES,
        "bool": st.booleans(),
        "int": st.integers(0, 150),
        "Action": st.sampled_from(Action),
        "ContainmentScope": _SCOPES,
    }

    def drawn(annotation: str) -> st.SearchStrategy[Any]:
        if annotation.endswith(" | None"):
            return st.none() | drawn(annotation.removesuffix(" | None"))
        if annotation.startswith("tuple["):
            inner = annotation.removeprefix("tuple[").removesuffix(", ...]")
            return st.lists(drawn(inner), max_size=3).map(tuple)
        if annotation in named:
            return named[annotation]
        inside = getattr(e, annotation, None) or getattr(w, annotation)
        return st.sampled_from(list(inside)) if hasattr(inside, "__members__") else _holding(inside)

    fields = {name: drawn(annotation) for name, annotation in made.__annotations__.items()}
    if "time_zone" in fields:
        fields["time_zone"] = st.sampled_from(["UTC", "Europe/London", "America/Santiago"])
    for name in {"created_by_release", "reason"} & fields.keys():
        fields[name] = st.none() | _TEXTS
    return st.builds(made, **fields)


_ENTITIES = {kind: _holding(made) for kind, made in e.ENTITY_TYPES.items()}


@pytest.mark.parametrize("long_names", [False, True])
@pytest.mark.parametrize("kind", list(w.FactKind))
@settings(max_examples=20)
@given(data=st.data())
def test_every_entity_survives_being_written(
    kind: w.FactKind, *, long_names: bool, data: st.DataObject
) -> None:
    entity = data.draw(_ENTITIES[kind])
    fact = f.Fact(entity, "desk", datetime(2020, 1, 1, tzinfo=UTC))

    assert fact_from_plain(fact_to_plain(fact, long_names=long_names)) == fact
