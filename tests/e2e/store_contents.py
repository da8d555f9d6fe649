"""What a decision store holds, against what a journal holds."""

from __future__ import annotations

from pathlib import Path

import orjson
from sqlalchemy import create_engine, text

from authz_service.audit.directory import read_journal_id, segment_numbers, segment_path
from authz_service.audit.scan import Header, read_segment
from authz_service.audit.store.engines import parsed
from authz_service.audit.verify import read_records, verify_journal


def assert_stored(url: str, journal: Path) -> None:
    """The store holds the journal, which nobody writes now: every byte, every decision, once."""
    report = verify_journal(journal)
    assert (report.fault, report.torn) == (None, ())
    engine = create_engine(parsed(url))
    with engine.connect() as connection:
        lines = connection.execute(
            text("SELECT line FROM journal_lines WHERE journal_id = :j ORDER BY sequence"),
            {"j": read_journal_id(journal)},
        )
        stored = b"".join(bytes(line) for (line,) in lines)
        found = connection.execute(
            text(
                "SELECT l.line, d.offset_bytes, d.size_bytes FROM decisions d JOIN journal_lines l "
                "ON l.journal_id = d.journal_id AND l.sequence = d.sequence AND l.at = d.line_at "
                "WHERE d.journal_id = :j ORDER BY d.sequence, d.offset_bytes"
            ),
            {"j": read_journal_id(journal)},
        )
        decisions = [bytes(line)[start : start + size] for line, start, size in found]
    engine.dispose()
    written = content_of(journal)
    assert stored[-len(written) :] == written
    records = [each for each in read_records(journal) if "decision_id" in each]
    assert [orjson.loads(each) for each in decisions][-len(records) :] == records
    if not report.retired:
        assert (len(stored), len(decisions)) == (len(written), len(records))


def content_of(journal: Path) -> bytes:
    """Return the lines of a journal that count, of the segments that are there."""
    paths = [segment_path(journal, number) for number in segment_numbers(journal)]
    ends = []
    for path in paths[1:]:
        head = next(read_segment(path))
        assert isinstance(head, Header)
        ends.append(head.previous.offset_bytes)
    pieces = [path.read_bytes()[:end] for path, end in zip(paths, [*ends, None], strict=True)]
    return b"".join(pieces)
