"""Files of facts go in line by line, can be stopped anywhere, and come out as they went in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from authz_service.facts.exporter import export_lines
from authz_service.facts.import_progress import ImportSummary
from authz_service.facts.importer import FactsImporter
from authz_service.facts.sql_reader import SqlReader
from authz_service.facts.sql_registry import SqlRegistry
from authz_service.facts.tallies import Finding
from authz_service.facts.verification import Conflict, conflicts_in, verify_registry
from authz_service.pdp.entities import Relationship
from authz_service.pdp.entity_plain import fact_to_plain
from authz_service.pdp.entity_words import FactKind, RelationshipKind
from tests.contract.facts.registry_cases import (
    ACTOR,
    SteppingClock,
    attendance,
    consultation,
    empty,
    fact,
    recording,
    reference,
    subject,
    world,
)


class Killed(BaseException):
    """Ends an import as a kill would: nothing is caught, nothing is said."""


@pytest.fixture
def importer(registry_url: str) -> Iterator[FactsImporter]:
    made = FactsImporter(registry_url, SteppingClock())
    yield made
    made.close()


def subjects_file(path: Path, count: int) -> Path:
    """Write a file of so many subjects."""
    lines = [json.dumps(fact_to_plain(fact(subject(f"s{number}")))) for number in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


def ignore(_summary: ImportSummary) -> None:
    """Hear of progress, and do nothing."""


def revision_of(url: str) -> int:
    """Return the registry's revision."""
    reader = SqlReader(url, SteppingClock())
    try:
        return reader.changes(0, "").revision
    finally:
        reader.close()


def test_a_file_is_imported_a_thousand_facts_at_a_time_at_first(
    importer: FactsImporter, registry_url: str, tmp_path: Path
) -> None:
    """PostgreSQL takes more at once from then on, where it is quick."""
    path = subjects_file(tmp_path / "facts.jsonl", 2500)
    heard: list[int] = []

    summary = importer.import_file(
        path, actor=ACTOR, progress=lambda so_far: heard.append(so_far.lines)
    )

    assert heard in ([1000, 2000, 2500], [1000, 2500])
    assert summary == ImportSummary(str(path), 2500, written=2500, finished=True)
    assert revision_of(registry_url) == len(heard)


def test_a_killed_import_goes_on_at_the_next_line(
    importer: FactsImporter, registry_url: str, tmp_path: Path
) -> None:
    """What was committed is not repeated: the revisions show it."""
    path = subjects_file(tmp_path / "facts.jsonl", 2500)

    def kill(so_far: ImportSummary) -> None:
        if so_far.lines == 1000:
            raise Killed

    with pytest.raises(Killed):
        importer.import_file(path, actor=ACTOR, progress=kill)
    before = revision_of(registry_url)
    summary = importer.import_file(path, actor=ACTOR, progress=ignore)

    assert summary == ImportSummary(
        str(path), 2500, written=2500, resumed_after=1000, written_before=1000, finished=True
    )
    assert (before, revision_of(registry_url)) == (1, 3)


def test_a_finished_file_is_not_imported_twice(
    importer: FactsImporter, registry_url: str, tmp_path: Path
) -> None:
    """Not under another name either: it is the bytes that count."""
    path = subjects_file(tmp_path / "facts.jsonl", 10)
    importer.import_file(path, actor=ACTOR, progress=ignore)
    same = path.rename(tmp_path / "other.jsonl")

    summary = importer.import_file(same, actor=ACTOR, progress=ignore)

    assert (summary.finished, summary.resumed_after, revision_of(registry_url)) == (True, 10, 1)


def test_a_pipe_relies_on_what_is_stored(importer: FactsImporter, tmp_path: Path) -> None:
    lines = subjects_file(tmp_path / "facts.jsonl", 10).read_bytes().splitlines(keepends=True)
    importer.import_lines(lines, "-", actor=ACTOR, progress=ignore)

    summary = importer.import_lines(lines, "-", actor=ACTOR, progress=ignore)

    assert summary == ImportSummary("-", 10, unchanged=10, finished=True)


def test_another_file_of_the_same_facts_is_imported_to_its_end(
    importer: FactsImporter, registry_url: str, tmp_path: Path
) -> None:
    """Where all of a transaction's facts are stored already, how far the file is counts still."""
    path = subjects_file(tmp_path / "facts.jsonl", 2500)
    importer.import_file(path, actor=ACTOR, progress=ignore)
    before = revision_of(registry_url)
    again = tmp_path / "again.jsonl"
    again.write_text("\n" + path.read_text())

    summary = importer.import_file(again, actor=ACTOR, progress=ignore)

    assert summary == ImportSummary(str(again), 2501, unchanged=2500, finished=True)
    assert revision_of(registry_url) == before


def test_a_fact_may_stand_twice_in_a_file(importer: FactsImporter, registry_url: str) -> None:
    """A file may be a history; each observation is a write of its own."""
    lines = [
        json.dumps(fact_to_plain(fact(subject("ana", tenant_id), day=day))).encode()
        for day, tenant_id in ((0, "uk"), (2, "us"), (1, "fr"))
    ]

    summary = importer.import_lines(lines, "-", actor=ACTOR, progress=ignore)

    assert (summary.written, summary.skipped, revision_of(registry_url)) == (2, 1, 2)


GOOD = json.dumps(fact_to_plain(fact(subject("ana"))))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param("{", "f:3: fact: is not JSON", id="no-json"),
        pytest.param(
            '{"subject": {"id": "x", "id": "y"}}', "f:3: id: stands twice", id="key-twice"
        ),
        pytest.param("[]", "f:3: fact: is not an object", id="no-object"),
        pytest.param('{"subject": NaN}', "f:3: fact: is not JSON: nan is no number", id="nan"),
        pytest.param(
            GOOD.replace("ACTIVE", "ALIVE"), "f:3: subject.status: is not one of", id="enum"
        ),
        pytest.param(GOOD.replace("2020-", "20-"), "f:3: observed_at: is not", id="instant"),
        pytest.param("[" * 100_000, "f:3: fact: is nested too deeply", id="depth"),
        pytest.param(
            '{"containment": {"id": "k", "scope": {}}, "source": "s",'
            ' "observed_at": "2020-01-01T00:00:00Z"}',
            "f:3: containment.scope: ",
            id="refused-by-the-registry",
        ),
        pytest.param(GOOD.replace('"uk"', '"us"'), "f:3: subject: contradicts", id="state"),
    ],
)
def test_the_first_bad_line_stops_the_import_and_is_named(
    importer: FactsImporter, registry_url: str, line: str, problem: str
) -> None:
    """What came before it in an earlier transaction stays, and is said."""
    lines = [GOOD.encode(), b"\n", line.encode(), GOOD.replace("ana", "bob").encode()]

    summary = importer.import_lines(lines, "f", actor=ACTOR, progress=ignore)

    assert summary.problem is not None
    assert summary.problem.startswith(problem)
    assert not summary.finished
    assert revision_of(registry_url) == summary.written


def test_bytes_that_are_no_text_are_refused(importer: FactsImporter) -> None:
    summary = importer.import_lines([b"\xff\xfe"], "f", actor=ACTOR, progress=ignore)

    assert summary.problem == "f:1: fact: is not UTF-8"


async def test_an_export_imports_to_the_same_export(
    registry: SqlRegistry, importer: FactsImporter, registry_url: str
) -> None:
    more = [fact(subject(f"s{number}", family=("ana",))) for number in range(900)]
    await registry.write([*world(), *more], actor=ACTOR)
    await registry.delete([reference(FactKind.ATTENDANCE, "r1")], actor=ACTOR)

    first = list(export_lines(registry_url))
    empty(registry_url)
    summary = importer.import_lines(first, "-", actor=ACTOR, progress=ignore)

    assert summary.written == len(first) == 905
    assert list(export_lines(registry_url)) == first
    assert b'"kind":"SUBJECT_KIND_PATIENT"' in first[1]


async def test_verification_counts_what_cannot_be_right(
    registry: SqlRegistry, registry_url: str
) -> None:
    reversed_interval = Relationship(
        "l1",
        RelationshipKind.REFERRAL,
        patient_id="ana",
        staff_id="bob",
        valid_from=fact(subject("x")).observed_at,
        valid_to=fact(subject("x")).observed_at,
    )
    odd = [fact(recording("nobody", f"r{number}")) for number in range(2, 7)]
    await registry.write([*world(), *odd, fact(reversed_interval)], actor=ACTOR)

    assert list(verify_registry(registry_url, examples=2)) == [
        Finding("recording.owner_id: no such subject", 5, ("r2", "r3")),
        Finding("relationship: an interval ends before it begins", 1, ("l1",)),
        Finding("recording: its facts disagree", 5, ("r2", "r3")),
    ]


async def test_a_sound_registry_has_nothing_to_say(
    registry: SqlRegistry, registry_url: str
) -> None:
    await registry.write(world(), actor=ACTOR)

    assert list(verify_registry(registry_url)) == []


async def test_conflicts_say_who_named_whom(registry: SqlRegistry, registry_url: str) -> None:
    await registry.write(world(), actor=ACTOR)
    await registry.write(
        [fact(consultation("bob"), day=1), fact(attendance("bob"), day=1)], actor=ACTOR
    )

    assert list(conflicts_in(registry_url)) == [
        Conflict(
            "r1",
            ("owner, booking and attendance name different patients",),
            (
                ("owner", "ana", "recording-source"),
                ("booking", "bob", "consultation-source"),
                ("attendance", "bob", "attendance-source"),
            ),
        )
    ]
