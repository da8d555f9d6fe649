"""The bytes on the disk, read as docs/journal.md tells a stranger to read them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from authz_service.audit.chain import Position
from authz_service.audit.directory import segment_path
from authz_service.audit.encoding import line_encoder
from authz_service.audit.opening import open_journal
from authz_service.audit.segment import Segment
from authz_service.audit.verify import LooseEnd, read_records, verify_journal
from authz_service.pdp.errors import JournalUnavailableError
from tests.unit.audit.audit_faults import ORIGIN, FaultyFiles, decision_record

JOURNAL_ID = "00000000-0000-4000-8000-000000000001"
BY_HAND = """
previous=$(printf '0%.0s' {1..64})
cat "$@" | while IFS= read -r line; do
    body=${line%,\\"hash\\":*}
    hash=$(printf '%s' "$previous$body" | sha256sum | cut -c1-64)
    [ "$line" = "$body,\\"hash\\":\\"$hash\\"}" ] || { echo "broken: $body"; break; }
    previous=$hash
done
"""


def one_segment(directory: Path) -> list[bytes]:
    """Write a segment with one batch of one decision; return its lines."""
    directory.mkdir()
    segment = Segment.open_after(FaultyFiles(), directory, Position(), JOURNAL_ID, ORIGIN)
    segment.append([line_encoder("0.1.0")([decision_record(1)])], 1)
    segment.finish()
    return segment_path(directory, 1).read_bytes().splitlines(keepends=True)


def hashed(body: bytes, previous: bytes) -> bytes:
    return hashlib.sha256(previous + body).hexdigest().encode()


def test_a_segment_has_these_bytes(tmp_path: Path) -> None:
    record = line_encoder("0.1.0")([decision_record(1)])
    header = (
        b'{"sequence":1,"segment":{"format":1,"journal":"00000000-0000-4000-8000-000000000001",'
        b'"opened_at":"2020-06-09T12:00:00.250000Z","software":"0.1.0","number":1,"next_batch":1,'
        b'"previous_segment":0,"previous_bytes":0,"previous":"' + b"0" * 64 + b'"}'
    )
    first = hashed(header, b"0" * 64)
    record_body = b'{"sequence":3,"record":' + record
    record_bytes = len(record_body) + 76
    batch = (
        b'{"sequence":2,"batch":{"number":1,"lines":1,"records":1,"bytes":%d,"previous":"%b"}'
        % (record_bytes, first)
    )
    second = hashed(batch, first)
    third = hashed(record_body, second)
    before = len(header) + len(batch) + 2 * 76 + record_bytes
    closing = (
        b'{"sequence":4,"closed":{"segment":1,"batches":1,"lines":1,"bytes":%d,"previous":"%b"}'
        % (before, third)
    )

    assert one_segment(tmp_path / "j") == [
        header + b',"hash":"' + first + b'"}\n',
        batch + b',"hash":"' + second + b'"}\n',
        record_body + b',"hash":"' + third + b'"}\n',
        closing + b',"hash":"' + hashed(closing, third) + b'"}\n',
    ]


def test_every_line_is_json(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in one_segment(tmp_path / "j")]

    assert [line["sequence"] for line in lines] == [1, 2, 3, 4]
    assert lines[2]["record"]["decision_id"] == "decision-1"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
async def test_the_chain_verifies_by_hand(tmp_path: Path) -> None:
    """With nothing but a shell, across two segments; and a changed word shows."""
    for number in range(2):
        journal = open_journal(tmp_path / "j", ORIGIN)
        await journal.append([decision_record(number)])
        await journal.close()
    paths = [segment_path(tmp_path / "j", number) for number in (1, 2)]

    assert by_hand(paths) == ""
    paths[0].write_bytes(paths[0].read_bytes().replace(b'"ALLOW"', b'"DENY"'))
    assert by_hand(paths).startswith('broken: {"sequence":3,')


def by_hand(paths: list[Path]) -> str:
    command = ["/bin/bash", "-c", BY_HAND, "verify", *map(str, paths)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_docs_show_the_command_that_this_test_runs() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "journal.md"

    for line in BY_HAND.strip().splitlines()[2:-2]:
        assert line.strip() in page.read_text()


async def three_segments(directory: Path) -> list[Path]:
    for number in range(3):
        journal = open_journal(directory, ORIGIN, files=FaultyFiles())
        await journal.append([decision_record(number)])
        await journal.close()
    return [segment_path(directory, number) for number in (1, 2, 3)]


async def test_a_report_counts_what_is_there(tmp_path: Path) -> None:
    paths = await three_segments(tmp_path / "j")

    report = verify_journal(tmp_path / "j")

    assert (report.segments, report.batches, report.lines, report.records) == (3, 3, 3, 3)
    assert report.last_hash == json.loads(paths[2].read_bytes().splitlines()[-1])["hash"]
    assert report.first_hash == json.loads(paths[0].read_bytes().splitlines()[0])["hash"]
    assert report.journal_id == (tmp_path / "j" / "journal.id").read_text().strip()
    assert (report.fault, report.torn, report.abandoned, report.kept_torn) == (None, (), (), ())


@pytest.mark.parametrize("missing", [0, 1])
async def test_a_missing_segment_is_a_fault(tmp_path: Path, missing: int) -> None:
    paths = await three_segments(tmp_path / "j")
    paths[missing].unlink()

    fault = verify_journal(tmp_path / "j").fault

    assert fault is not None
    assert (fault.path, fault.why) == (paths[missing], "the segment is missing")


async def test_a_segment_put_in_from_elsewhere_is_a_fault(tmp_path: Path) -> None:
    paths = await three_segments(tmp_path / "j")
    others = await three_segments(tmp_path / "other")
    shutil.copy(others[1], paths[1])

    fault = verify_journal(tmp_path / "j").fault

    assert fault is not None
    assert (fault.path, fault.why) == (
        paths[1],
        "the segment does not continue the one before it",
    )


async def test_a_segment_of_another_past_is_a_fault(tmp_path: Path) -> None:
    """The same journal, restored and gone on differently: its segments do not mix."""
    directory, other = tmp_path / "j", tmp_path / "other"
    await open_journal(directory, ORIGIN, files=FaultyFiles()).close()
    shutil.copytree(directory, other)
    for place, number in ((directory, 1), (other, 2)):
        journal = open_journal(place, ORIGIN, files=FaultyFiles())
        await journal.append([decision_record(number)])
        await journal.close()
        await open_journal(place, ORIGIN, files=FaultyFiles()).close()
    shutil.copy(segment_path(other, 2), segment_path(directory, 2))

    fault = verify_journal(directory).fault

    assert fault is not None
    assert fault.why == "the segment does not continue the one before it"


async def test_damage_is_located_and_ends_the_reading(tmp_path: Path) -> None:
    paths = await three_segments(tmp_path / "j")
    content = paths[1].read_bytes()
    paths[1].write_bytes(content.replace(b'"subject_id":"ana"', b'"subject_id":"bob"'))

    fault = verify_journal(tmp_path / "j").fault

    assert fault is not None
    assert (fault.path, fault.line) == (paths[1], 3)
    assert fault.offset_bytes == content.index(b'{"sequence":7,')
    reading = read_records(tmp_path / "j")
    assert next(reading)["decision_id"] == "decision-0"
    with pytest.raises(JournalUnavailableError, match="line 3"):
        next(reading)


async def test_a_torn_end_is_reported_and_no_fault(tmp_path: Path) -> None:
    paths = await three_segments(tmp_path / "j")
    size = paths[2].stat().st_size
    with paths[2].open("ab") as stream:
        stream.write(b"torn")

    report = verify_journal(tmp_path / "j")

    assert report.torn == (LooseEnd(paths[2].name, size, 4),)
    assert report.fault is None


async def test_a_journal_may_be_verified_beside_its_writer(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j", ORIGIN)
    await journal.append([decision_record(1)])

    report = verify_journal(tmp_path / "j")

    assert (report.records, report.fault, report.torn) == (1, None, ())
    await journal.close()


def test_an_empty_directory_is_an_empty_journal(tmp_path: Path) -> None:
    assert verify_journal(tmp_path).segments == 0
    assert list(read_records(tmp_path)) == []
