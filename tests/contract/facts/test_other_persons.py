"""Lifting and reviewing take another person; the same on every database, and for imports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from authz_service.facts.importer import FactsImporter
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.pdp.entities import (
    CompetenceReview,
    Containment,
    ContainmentScope,
    Delegation,
    Grant,
    GrantReview,
)
from authz_service.pdp.entity_words import (
    Audience,
    CompetenceOutcome,
    DelegationKind,
    FactKind,
    GrantKind,
    ReviewVerdict,
)
from authz_service.pdp.errors import CallerNotAllowedError, CallerRefusal, StateError
from tests.contract.facts.registry_cases import (
    ACTOR,
    STARTED,
    YEAR,
    SteppingClock,
    fact,
    reference,
    subject,
)

BRAKE = Containment("k1", ContainmentScope(audience=Audience.EVERYONE), set_by="eve")
LIFTED = replace(BRAKE, lifted_by="zed", lifted_at=STARTED)
GRANT = Grant("g1", GrantKind.EMERGENCY, "doc", patient_id="ana", approved_by="boss")
LEGAL = replace(GRANT, kind=GrantKind.LEGAL)
PROXY = Delegation("d1", DelegationKind.PARENTAL, patient_id="kid", delegate_id="mum")
REVIEWED = replace(PROXY, competence_review=CompetenceReview(YEAR, CompetenceOutcome.PROXY_ENDS))


def review(by: str, verdict: ReviewVerdict = ReviewVerdict.JUSTIFIED) -> GrantReview:
    """Return a review by somebody."""
    return GrantReview(YEAR, by, verdict)


async def stands(registry: SqlRegistry, kind: FactKind, fact_id: str) -> Any:
    """Return the entity that is stored."""
    found, _ = await registry.read([reference(kind, fact_id)])
    return found[0].entity


async def test_another_person_lifts_a_containment(registry: SqlRegistry) -> None:
    await registry.write([fact(BRAKE)], actor="eve")

    outcome = await registry.write([fact(LIFTED, day=1)], actor="zed")

    assert outcome.written == 1
    assert await stands(registry, FactKind.CONTAINMENT, "k1") == LIFTED


@pytest.mark.parametrize(
    ("lifted", "actor", "field"),
    [
        pytest.param(replace(LIFTED, lifted_by="eve"), "zed", "lifted_by", id="by-who-set-it"),
        pytest.param(replace(LIFTED, lifted_by="evie"), "zed", "lifted_by", id="by-another-id"),
        pytest.param(LIFTED, "eve", "lifted_at", id="on-the-word-of-who-set-it"),
        pytest.param(LIFTED, "evie", "lifted_at", id="on-the-word-of-another-id"),
        pytest.param(
            replace(LIFTED, set_by="somebody", lifted_by="eve"), "eve", "set_by", id="set-by-other"
        ),
        pytest.param(replace(LIFTED, set_by=None), "zed", "set_by", id="set-by-nobody"),
        pytest.param(
            replace(BRAKE, scope=ContainmentScope(audience=Audience.STAFF)), "zed", "scope",
            id="made-smaller",
        ),
    ],
)  # fmt: skip
async def test_who_set_a_containment_does_not_lift_it(
    registry: SqlRegistry, lifted: Containment, actor: str, field: str
) -> None:
    """Not by another name either, nor by writing that somebody else set it, or less of it."""
    people = [fact(subject("eve")), fact(subject("evie", same_person_as=("eve",)))]
    await registry.write([fact(BRAKE), *people], actor="eve")

    with pytest.raises(StateError, match=rf"facts\[0\]\.containment\.{field}: "):
        await registry.write([fact(lifted, day=1)], actor=actor)

    assert await stands(registry, FactKind.CONTAINMENT, "k1") == BRAKE


async def test_who_wrote_a_containment_that_names_nobody_counts_as_who_set_it(
    registry: SqlRegistry,
) -> None:
    unsigned = replace(BRAKE, set_by=None)
    lifted = replace(LIFTED, set_by=None)
    await registry.write([fact(unsigned)], actor="eve")

    with pytest.raises(StateError, match="another person lifts it"):
        await registry.write([fact(lifted, day=1)], actor="eve")
    with pytest.raises(StateError, match="another person lifts it"):
        await registry.write([fact(replace(lifted, lifted_by="eve"), day=1)], actor="zed")

    assert (await registry.write([fact(lifted, day=1)], actor="zed")).written == 1


@pytest.mark.parametrize(
    ("lifted_by", "actor"),
    [
        pytest.param("zed", "mallory", id="on-the-word-of-who-wrote-it"),
        pytest.param("mallory", "zed", id="by-who-wrote-it"),
        pytest.param("mallory", "mallory", id="both"),
        pytest.param("zed", "mal", id="by-another-id"),
    ],
)
async def test_who_wrote_a_containment_as_somebody_else_does_not_lift_it(
    registry: SqlRegistry, lifted_by: str, actor: str
) -> None:
    """Nor once another has rewritten it: who first wrote it set it."""
    mal = fact(subject("mal", same_person_as=("mallory",)))
    await registry.write([fact(BRAKE), mal], actor="mallory")
    await registry.write([fact(replace(BRAKE, reason="noted"), day=1)], actor="zed")

    with pytest.raises(StateError, match="another person lifts it"):
        await registry.write([fact(replace(LIFTED, lifted_by=lifted_by), day=2)], actor=actor)

    assert (await registry.write([fact(LIFTED, day=2)], actor="zed")).lifted == ("containment/k1",)


async def test_who_set_it_first_in_an_earlier_life_does_not_count(registry: SqlRegistry) -> None:
    """What was lifted and deleted may be set anew, under the same id, by somebody else."""
    await registry.write([fact(BRAKE)], actor="zed-2")
    await registry.write([fact(replace(LIFTED, lifted_by="zed"), day=1)], actor="zed")
    await registry.delete([reference(FactKind.CONTAINMENT, "k1")], actor="zed")
    again = replace(BRAKE, set_by=None)
    await registry.write([fact(again, day=900)], actor="mallory")

    with pytest.raises(StateError, match="another person lifts it"):
        await registry.write(
            [fact(replace(again, lifted_by="mallory", lifted_at=YEAR), day=901)], actor="mallory"
        )
    lifted = replace(again, lifted_by="zed-2", lifted_at=YEAR)
    assert (await registry.write([fact(lifted, day=901)], actor="zed-2")).written == 1


async def test_who_lifts_is_the_actor(registry: SqlRegistry) -> None:
    await registry.write([fact(BRAKE)], actor="eve")

    with pytest.raises(StateError, match=r"containment\.lifted_by: is not the actor"):
        await registry.write([fact(LIFTED, day=1)], actor="somebody")


async def test_who_approved_a_grant_does_not_write_its_review(registry: SqlRegistry) -> None:
    """But a grant that comes reviewed may be written by anybody who does not hold it."""
    reviewed = replace(GRANT, review=review("rev"))
    await registry.write([fact(GRANT)], actor="doc")

    with pytest.raises(StateError, match=r"grant\.review: is written by who approved it"):
        await registry.write([fact(reviewed, day=1)], actor="boss")

    new = replace(reviewed, id="g2")
    assert (await registry.write([fact(new)], actor="boss")).reviewed == ("grant/g2",)


async def test_who_reviews_is_the_actor(registry: SqlRegistry) -> None:
    await registry.write([fact(GRANT)], actor="doc")

    with pytest.raises(StateError, match=r"grant\.review\.by: is not the actor"):
        await registry.write([fact(replace(GRANT, review=review("rev")), day=1)], actor="somebody")


@pytest.mark.parametrize(
    "entity",
    [
        pytest.param(GRANT, id="emergency"),
        pytest.param(replace(LEGAL, review=review("rev")), id="reviewed"),
    ],
)
async def test_what_is_evidence_is_not_deleted(registry: SqlRegistry, entity: Grant) -> None:
    await registry.write([fact(entity)], actor="rev")

    with pytest.raises(StateError, match="is evidence is not deleted"):
        await registry.delete([reference(FactKind.GRANT, "g1")], actor="somebody")

    assert await stands(registry, FactKind.GRANT, "g1") == entity


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        pytest.param(LEGAL, "kind", id="no-emergency"),
        pytest.param(replace(GRANT, subject_id="other"), "subject_id", id="another-holder"),
        pytest.param(replace(GRANT, approved_by="other"), "approved_by", id="another-approver"),
    ],
)
async def test_an_emergency_grant_stays_what_it_was(
    registry: SqlRegistry, changed: Grant, field: str
) -> None:
    """Else it could be deleted, or reviewed by who had it, one write later."""
    await registry.write([fact(GRANT)], actor="doc")

    with pytest.raises(StateError, match=rf"grant\.{field}: of an emergency grant stays"):
        await registry.write([fact(changed, day=1)], actor="doc")

    ended = await registry.write([fact(replace(GRANT, valid_to=YEAR), day=1)], actor="doc")
    assert ended.written == 1


@pytest.mark.parametrize(
    "later", [None, review("rev", ReviewVerdict.UNJUSTIFIED), review("rev-2")],
    ids=["none", "another-verdict", "another-person"],
)  # fmt: skip
async def test_a_stored_review_stays(registry: SqlRegistry, later: GrantReview | None) -> None:
    reviewed = replace(GRANT, review=review("rev"))
    await registry.write([fact(reviewed)], actor="rev")

    with pytest.raises(StateError, match=r"grant\.review: a stored review is never"):
        await registry.write([fact(replace(GRANT, review=later), day=1)], actor="rev-2")

    revoked = await registry.write([fact(replace(reviewed, revoked_at=YEAR), day=1)], actor="x")
    assert (revoked.written, revoked.reviewed) == (1, ())


@pytest.mark.parametrize("actor", ["eve", "evie"])
async def test_who_is_two_ids_does_not_unlink_them(registry: SqlRegistry, actor: str) -> None:
    """Else the one id would lift what the other has set."""
    linked = fact(subject("evie", same_person_as=("eve",)))
    await registry.write([fact(BRAKE), fact(subject("eve")), linked], actor="eve")
    unlinked = fact(subject("evie"), day=1)

    with pytest.raises(StateError, match=r"subject\.same_person_as: .*another person"):
        await registry.write([unlinked], actor=actor)

    assert (await registry.write([unlinked], actor="zed")).written == 1


REVIEWS = [
    pytest.param(GRANT, replace(GRANT, review=review("rev")), id="grant"),
    pytest.param(PROXY, REVIEWED, id="delegation"),
]


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "new"])
@pytest.mark.parametrize(("before", "after"), REVIEWS)
async def test_a_review_is_written_by_who_may(
    registry: SqlRegistry, before: Any, after: Any, *, is_stored: bool
) -> None:
    """What changes no review is not held up: not the same once more, nor anything else in it."""
    await registry.write([fact(before)] if is_stored else [], actor="ada")

    with pytest.raises(CallerNotAllowedError, match=r"the review of facts\[0\]") as error:
        await registry.write([fact(after, day=1)], actor="rev", may_review=False)
    assert error.value.refusal is CallerRefusal.POWER

    outcome = await registry.write([fact(after, day=1)], actor="rev")
    assert outcome.reviewed == (f"{fact(after).kind}/{after.id}",)
    for day, again in ((1, after), (2, after), (3, replace(after, revoked_at=YEAR))):
        await registry.write([fact(again, day=day)], actor="ada", may_review=False)


async def test_a_review_is_dropped_by_who_may(registry: SqlRegistry) -> None:
    """Neither by a rewrite nor by a deletion."""
    goes_on = CompetenceReview(YEAR, CompetenceOutcome.PROXY_CONTINUES)
    await registry.write([fact(replace(PROXY, competence_review=goes_on))], actor="gp")

    with pytest.raises(CallerNotAllowedError):
        await registry.write([fact(PROXY, day=1)], actor="gp", may_review=False)
    with pytest.raises(CallerNotAllowedError):
        await registry.delete([reference(FactKind.DELEGATION, "d1")], actor="gp", may_review=False)

    assert (await registry.write([fact(PROXY, day=1)], actor="gp")).reviewed == ("delegation/d1",)


async def test_a_write_says_what_it_stops_and_lifts(registry: SqlRegistry) -> None:
    unlifted = replace(BRAKE, reason="again")
    said = [
        await registry.write([fact(one, day=day)], actor=actor)
        for day, (one, actor) in enumerate(
            ((BRAKE, "eve"), (unlifted, "eve"), (LIFTED, "zed"), (BRAKE, "eve"))
        )
    ]

    assert [(one.contained, one.lifted) for one in said] == [
        (("containment/k1",), ()),
        ((), ()),
        ((), ("containment/k1",)),
        (("containment/k1",), ()),
    ]


async def test_a_lifting_that_is_put_off_is_not_brought_forward_by_who_set_it(
    registry: SqlRegistry,
) -> None:
    later = replace(LIFTED, lifted_at=YEAR.replace(year=2030))
    await registry.write([fact(BRAKE)], actor="eve")
    await registry.write([fact(later, day=1)], actor="zed")

    with pytest.raises(StateError, match=r"containment\.lifted_at"):
        await registry.write([fact(LIFTED, day=2)], actor="eve")


async def test_what_is_lifted_already_may_be_written_again_by_anybody(
    registry: SqlRegistry,
) -> None:
    """A source that sends its facts again is not in the way of itself."""
    await registry.write([fact(BRAKE)], actor="eve")
    await registry.write([fact(LIFTED, day=1)], actor="zed")

    again = await registry.write([fact(replace(LIFTED, reason="noted"), day=2)], actor="eve")

    assert again.written == 1


async def test_a_containment_that_comes_lifted_was_lifted_by_another(
    registry: SqlRegistry,
) -> None:
    with pytest.raises(StateError, match=r"containment\.lifted_by"):
        await registry.write([fact(replace(LIFTED, lifted_by="eve"))], actor=ACTOR)

    assert (await registry.write([fact(LIFTED)], actor="eve")).written == 1


async def test_another_person_reviews_a_grant(registry: SqlRegistry) -> None:
    await registry.write([fact(GRANT)], actor="doc")

    outcome = await registry.write([fact(replace(GRANT, review=review("rev")), day=1)], actor="rev")

    assert outcome.written == 1


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "new"])
@pytest.mark.parametrize(
    ("by", "actor", "field"),
    [
        pytest.param("doc", "rev", "review.by", id="its-holder"),
        pytest.param("doc-2", "rev", "review.by", id="its-holder-by-another-id"),
        pytest.param("doc-3", "rev", "review.by", id="its-holder-by-a-chain"),
        pytest.param("boss", "rev", "review.by", id="who-approved-it"),
        pytest.param("rev", "doc", "review", id="on-its-holders-word"),
        pytest.param("rev", "doc-3", "review", id="on-its-holders-word-by-a-chain"),
    ],
)
async def test_nobody_reviews_ones_own_access(
    registry: SqlRegistry, by: str, actor: str, field: str, *, is_stored: bool
) -> None:
    people = [
        fact(subject("doc-2", same_person_as=("doc",))),
        fact(subject("doc-3", same_person_as=("doc-2",))),
    ]
    await registry.write([*people, *([fact(GRANT)] if is_stored else [])], actor=ACTOR)

    with pytest.raises(StateError, match=rf"facts\[0\]\.grant\.{field}: .*another"):
        await registry.write([fact(replace(GRANT, review=review(by)), day=1)], actor=actor)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(replace(LEGAL, subject_id="other", review=review("doc")), id="other-holder"),
        pytest.param(replace(LEGAL, approved_by=None, review=review("boss")), id="no-approver"),
    ],
)  # fmt: skip
async def test_a_review_is_held_against_the_grant_as_it_was_too(
    registry: SqlRegistry, written: Grant
) -> None:
    await registry.write([fact(LEGAL)], actor=ACTOR)

    with pytest.raises(StateError, match=r"grant\.review\.by"):
        await registry.write([fact(written, day=1)], actor=ACTOR)


async def test_a_reviewed_grant_is_not_handed_to_who_reviewed_it(registry: SqlRegistry) -> None:
    reviewed = replace(LEGAL, review=review("rev"))
    await registry.write([fact(reviewed)], actor=ACTOR)

    with pytest.raises(StateError, match=r"grant\.review\.by"):
        await registry.write([fact(replace(reviewed, subject_id="rev"), day=1)], actor=ACTOR)


async def test_a_holder_does_not_take_a_review_back(registry: SqlRegistry) -> None:
    unjustified = replace(GRANT, review=review("rev", ReviewVerdict.UNJUSTIFIED))
    await registry.write([fact(unjustified)], actor="rev")

    with pytest.raises(StateError, match=r"grant\.review: "):
        await registry.write([fact(GRANT, day=1)], actor="doc")


async def test_a_grant_that_a_service_approved_is_reviewed_by_a_person(
    registry: SqlRegistry,
) -> None:
    opened = replace(GRANT, approved_by="emergency-access", review=review("rev"))

    assert (await registry.write([fact(opened)], actor="rev")).written == 1


@pytest.mark.parametrize("actor", ["mum", "kid", "mum-2"])
async def test_a_party_to_a_delegation_does_not_review_it(
    registry: SqlRegistry, actor: str
) -> None:
    other_id = fact(subject("mum-2", same_person_as=("mum",)))
    await registry.write([fact(PROXY), other_id], actor="mum")

    with pytest.raises(StateError, match=r"delegation\.competence_review: .*another person"):
        await registry.write([fact(REVIEWED, day=1)], actor=actor)

    assert (await registry.write([fact(REVIEWED, day=1)], actor="gp")).written == 1


async def test_a_party_changes_what_is_no_review(registry: SqlRegistry) -> None:
    await registry.write([fact(REVIEWED)], actor="gp")

    outcome = await registry.write([fact(replace(REVIEWED, revoked_at=YEAR), day=1)], actor="kid")

    assert outcome.written == 1


async def test_an_older_lifting_is_skipped_and_not_refused(registry: SqlRegistry) -> None:
    await registry.write([fact(BRAKE, day=3)], actor="eve")

    assert (await registry.write([fact(LIFTED, day=1)], actor="eve")).skipped == 1


async def test_an_import_obeys_the_same_rules(
    registry: SqlRegistry, registry_url: str, tmp_path: Path
) -> None:
    await registry.write([fact(BRAKE)], actor="eve")
    path = tmp_path / "lifting.jsonl"
    path.write_text(
        '{"containment": {"id": "k1", "scope": {"audience": "EVERYONE"}, "set_by": "eve",'
        ' "lifted_by": "zed", "lifted_at": "2020-05-01T00:00:00Z"},'
        ' "source": "containment-source", "observed_at": "2020-05-01T00:00:00Z"}\n',
        encoding="utf-8",
    )
    importer = FactsImporter(registry_url, SteppingClock())

    refused = importer.import_file(path, actor="eve", progress=lambda _summary: None)
    lifted = importer.import_file(path, actor="zed", progress=lambda _summary: None)
    importer.close()

    assert refused.problem is not None
    assert "lifting.jsonl:1: containment.lifted_at: " in refused.problem
    assert (lifted.problem, lifted.written) == (None, 1)


async def test_an_import_replays_what_others_did(
    registry: SqlRegistry, registry_url: str, tmp_path: Path
) -> None:
    """Who imports has neither set what the file sets nor lifted what it lifts."""
    path = tmp_path / "history.jsonl"
    brake = '"id": "k1", "scope": {"audience": "EVERYONE"}, "set_by": "eve"'
    lifted = '"lifted_by": "zed", "lifted_at": "2020-05-01T00:00:00Z"'
    path.write_text(
        f'{{"containment": {{{brake}}}, "source": "s", "observed_at": "2020-04-01T00:00:00Z"}}\n'
        f'{{"containment": {{{brake}, {lifted}}}, "source": "s",'
        ' "observed_at": "2020-05-01T00:00:00Z"}\n',
        encoding="utf-8",
    )
    importer = FactsImporter(registry_url, SteppingClock())

    summary = importer.import_file(path, actor="operator", progress=lambda _summary: None)
    importer.close()

    assert (summary.problem, summary.written) == (None, 2)
