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
from authz_service.pdp.errors import StateError
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
        pytest.param(replace(GRANT, subject_id="other", review=review("doc")), id="other-holder"),
        pytest.param(replace(GRANT, approved_by=None, review=review("boss")), id="no-approver"),
    ],
)  # fmt: skip
async def test_a_review_is_held_against_the_grant_as_it_was_too(
    registry: SqlRegistry, written: Grant
) -> None:
    await registry.write([fact(GRANT)], actor=ACTOR)

    with pytest.raises(StateError, match=r"grant\.review\.by"):
        await registry.write([fact(written, day=1)], actor=ACTOR)


async def test_a_reviewed_grant_is_not_handed_to_who_reviewed_it(registry: SqlRegistry) -> None:
    reviewed = replace(GRANT, review=review("rev"))
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
