"""Clients that mean harm, each in a process of its own: ``python -m tests.e2e.attackers NAME …``.

Each goes on for the seconds that it is given, and prints what became of it.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.e2e.attack_frames import (
    BATCH,
    CHECK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST,
    SETTINGS,
    WINDOW,
    Headers,
    Line,
    frame,
    header_block,
    message,
    remembered_header,
)

Outcome = Counter[str]
_VIEW_PATRQT = b"\x18\x02\x2a\x02\x08\x01"
QUESTION = b"\x0a\x06\x0a\x04mara\x12\x08rec-mara" + _VIEW_PATRQT
"""May mara view rec-mara at her own request: as generated code would send it."""
_MOST_FILES = 12_000


def until(seconds: float) -> Iterator[None]:
    """Yield again and again until so much time has gone by."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def opened(stream: int, path: str = CHECK, more: Headers = ()) -> bytes:
    """Return the headers of a call."""
    return frame(HEADERS, END_HEADERS, stream, header_block(path, more))


def asked(stream: int, content: bytes = QUESTION, path: str = CHECK, more: Headers = ()) -> bytes:
    """Return a whole call."""
    return opened(stream, path, more) + frame(DATA, END_STREAM, stream, message(content))


def told(lines: list[Line], **more: int) -> Outcome:
    """Return what has become of *lines*."""
    for line in lines:
        line.hear_out(0.001)
    return Counter(
        lines=len(lines),
        closed=sum(not line.is_open for line in lines),
        ended=sum(line.ended for line in lines),
        resets=sum(line.resets for line in lines),
        **more,
    )


def silent(address: str, seconds: float) -> Outcome:
    """Connect, and say nothing."""
    lines = [Line(address, greet=False) for _ in range(200)]
    time.sleep(seconds)
    return told(lines)


def half_preface(address: str, seconds: float) -> Outcome:
    """Begin to greet, a byte a second."""
    lines = [Line(address, greet=False) for _ in range(200)]
    for sent, _ in enumerate(until(seconds)):
        for line in lines:
            line.say(PREFACE[sent : sent + 1])
        time.sleep(1)
    return told(lines)


def slow_settings(address: str, seconds: float) -> Outcome:
    """Greet, and then say SETTINGS each second."""
    lines = [Line(address) for _ in range(200)]
    for _ in until(seconds):
        for line in lines:
            line.say(frame(SETTINGS, 0, 0))
        time.sleep(1)
    return told(lines)


def slow_headers(address: str, seconds: float) -> Outcome:
    """Say the headers of a call byte by byte, and never the last."""
    lines = [Line(address) for _ in range(200)]
    block = header_block(CHECK)
    for line in lines:
        line.say(frame(HEADERS, 0, 1, block[:1]))
    for sent, _ in enumerate(until(seconds), start=1):
        for line in lines:
            line.say(frame(CONTINUATION, 0, 1, block[sent : sent + 1]))
        time.sleep(0.2)
    return told(lines)


def endless_headers(address: str, seconds: float) -> Outcome:
    """Say headers without end, as fast as they are taken."""
    begins = frame(HEADERS, 0, 1, header_block(CHECK))
    more = frame(CONTINUATION, 0, 1, remembered_header("x-more", "y" * 4000) * 4)
    return _flood(address, seconds, more * 4, begins)


def slow_body(address: str, seconds: float) -> Outcome:
    """Say a question a byte a second, on many streams; no deadline."""
    lines = [Line(address) for _ in range(10)]
    streams = [line.next_stream() for line in lines for _ in range(100)][:100]
    content = message(QUESTION)
    for line in lines:
        line.say(b"".join(opened(stream) for stream in streams))
    for sent, _ in enumerate(until(seconds)):
        for line in lines:
            one = content[sent : sent + 1]
            line.say(b"".join(frame(DATA, 0, stream, one) for stream in streams))
            line.hear_out(0.01)
        time.sleep(1)
    return told(lines, streams=len(lines) * len(streams))


def no_body(address: str, seconds: float) -> Outcome:
    """Open calls, and never say what is asked."""
    lines = [Line(address) for _ in range(10)]
    for line in lines:
        line.say(b"".join(opened(line.next_stream()) for _ in range(100)))
    for _ in until(seconds):
        for line in lines:
            line.hear_out(0.05)
        time.sleep(0.2)
    return told(lines)


def never_takes_answers(address: str, seconds: float) -> Outcome:
    """Ask with a window of nothing, so that no answer can be sent."""
    lines = [Line(address, window=0) for _ in range(10)]
    for line in lines:
        line.say(b"".join(asked(line.next_stream()) for _ in range(100)))
    for _ in until(seconds):
        for line in lines:
            line.hear_out(0.01)
        time.sleep(0.2)
    return told(lines, streams=1000)


def never_listens(address: str, seconds: float) -> Outcome:
    """Ask and ask, and never read from the socket."""
    lines = [Line(address) for _ in range(4)]
    sent = 0
    for _ in until(seconds):
        for line in lines:
            many = b"".join(asked(line.next_stream()) for _ in range(100))
            sent += 100 * line.say(many, 0.2)
        time.sleep(0.01)
    return Counter(asked=sent)


def flood_of_streams(address: str, seconds: float) -> Outcome:
    """Ask whole questions on many more streams than are allowed, over several connections."""
    lines = [Line(address) for _ in range(8)]
    sent = 0
    for _ in until(seconds):
        for line in lines:
            if line.is_open:
                line.say(b"".join(asked(line.next_stream()) for _ in range(400)), 0.2)
                sent += 400
            line.hear_out(0.001)
    return told(lines, asked=sent)


def rapid_reset(address: str, seconds: float) -> Outcome:
    """Ask and take it back at once, as fast as the server takes it."""
    lines, sent = [Line(address) for _ in range(4)], 0
    for _ in until(seconds):
        for number, line in enumerate(lines):
            streams = [line.next_stream() for _ in range(100)]
            calls = [asked(each) + frame(RST, 0, each, b"\0\0\0\x08") for each in streams]
            if not line.say(b"".join(calls), 1):
                line.close()
                lines[number] = Line(address)
            sent += 100
            line.hear()
    return told(lines, asked=sent)


def _flood(address: str, seconds: float, many: bytes, begins: bytes = b"") -> Outcome:
    """Say the same again and again, on a new line where the server hangs up."""
    line, sent, lines = Line(address), 0, 1
    line.say(begins)
    for _ in until(seconds):
        if not line.say(many, 1):
            line.close()
            line, lines = Line(address), lines + 1
            line.say(begins)
        sent += len(many)
        line.hear()
    return Counter(sent_bytes=sent, lines=lines)


def flood_of_pings(address: str, seconds: float) -> Outcome:
    """Ask for a sign of life, without end."""
    return _flood(address, seconds, frame(PING, 0, 0, b"12345678") * 500)


def flood_of_settings(address: str, seconds: float) -> Outcome:
    """Change the settings, without end."""
    return _flood(address, seconds, frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\xff\xff") * 500)


def flood_of_windows(address: str, seconds: float) -> Outcome:
    """Open the window by a byte, without end."""
    return _flood(address, seconds, frame(WINDOW, 0, 0, b"\0\0\0\x01") * 500)


def flood_of_nothing(address: str, seconds: float) -> Outcome:
    """Send frames of data that are empty, without end."""
    return _flood(address, seconds, frame(DATA, 0, 1) * 500, opened(1))


def header_bomb(address: str, seconds: float) -> Outcome:
    """Have a long header remembered, and name it thousands of times in a few bytes each."""
    sent = 0
    for _ in until(seconds):
        line = Line(address)
        block = header_block(CHECK) + remembered_header("x-bomb", "y" * 3900) + b"\xbe" * 12000
        stream = line.next_stream()
        line.say(frame(HEADERS, END_HEADERS, stream, block))
        line.say(frame(DATA, END_STREAM, stream, message(QUESTION)))
        line.hear_out(0.3)
        line.close()
        sent += 1
        time.sleep(0.01)
    return Counter(bombs=sent)


def large_metadata(address: str, seconds: float) -> Outcome:
    """Ask with more metadata than is taken."""
    line, sent = Line(address), 0
    for _ in until(seconds):
        stream = line.next_stream()
        block = header_block(CHECK, [("x-large", "z" * 8000)] * 5)
        parts = [block[at : at + 16000] for at in range(0, len(block), 16000)]
        line.say(frame(HEADERS, 0, stream, parts[0]))
        for part in parts[1:-1]:
            line.say(frame(CONTINUATION, 0, stream, part))
        line.say(frame(CONTINUATION, END_HEADERS, stream, parts[-1]))
        line.say(frame(DATA, END_STREAM, stream, message(QUESTION)))
        line.hear(0.05)
        sent += 1
        if not line.is_open:
            line = Line(address)
    return told([line], asked=sent)


def huge_announcement(address: str, seconds: float) -> Outcome:
    """Announce a message of 4 GiB, on many streams."""
    line, sent = Line(address), 0
    for _ in until(seconds):
        stream = line.next_stream()
        announced = message(b"x" * 1000, announced=(1 << 32) - 1)
        line.say(opened(stream) + frame(DATA, 0, stream, announced))
        line.hear(0.01)
        sent += 1
        if not line.is_open:
            line = Line(address)
    return Counter(asked=sent)


def hoard(address: str, seconds: float) -> Outcome:
    """Send nearly all of a message of 4 MiB on each of many streams, and never the end."""
    lines = [Line(address) for _ in range(4)]
    streams = [line.next_stream() for line in lines for _ in range(100)][:100]
    missing = {(line, stream): (4 << 20) - 100 for line in lines for stream in streams}
    head = message(b"", announced=4 << 20)
    for line in lines:
        line.say(b"".join(opened(s) for s in streams))
        for stream in streams:
            line.say_data(stream, head, is_last=False)
    for _ in until(seconds):
        for (line, stream), left in missing.items():
            line.hear()
            size = min(line.room(stream), left, 1 << 16)
            if size > 0 and line.is_open:
                line.say_data(stream, b"z" * size, is_last=False)
                missing[line, stream] -= size
    left = sum(missing.values())
    return told(lines, sent_mib=(400 * ((4 << 20) - 100) - left) >> 20)


def gzip_bomb(address: str, seconds: float) -> Outcome:
    """Send a message that is small, and a thousand times as large once it is unpacked."""
    bomb = gzip.compress(b"\0" * (64 << 20), 9)
    line, sent = Line(address), 0
    for _ in until(seconds):
        stream = line.next_stream()
        line.say(opened(stream, more=[("grpc-encoding", "gzip")]))
        line.say_data(stream, message(bomb, compressed=True))
        line.hear_out(0.2)
        sent += 1
        if not line.is_open:
            line = Line(address)
    return told([line], bombs=sent)


def large_batches(address: str, seconds: float) -> Outcome:
    """Ask batches of a thousand with the longest ids, many at once."""
    name = b"\x80\x01" + b"a" * 128
    check = b"\x0a\x83\x01\x0a" + name + b"\x12" + name + _VIEW_PATRQT
    one = b"\x0a" + bytes([len(check) % 128 + 128, len(check) // 128]) + check
    return _whole_calls(address, seconds, one * 1000, BATCH)


def small_batches(address: str, seconds: float) -> Outcome:
    """Ask batches of a thousand with short ids, many at once."""
    one = b"\x0a" + bytes([len(QUESTION)]) + QUESTION
    return _whole_calls(address, seconds, one * 1000, BATCH)


def large_nonsense(address: str, seconds: float) -> Outcome:
    """Send messages of nearly 4 MiB that hold nothing but unknown fields, many at once."""
    return _whole_calls(address, seconds, b"\x7a\x02zz" * ((1 << 20) - 100), CHECK)


def _whole_calls(address: str, seconds: float, content: bytes, path: str) -> Outcome:
    """Keep as many calls in flight as there is room for."""
    lines = [Line(address) for _ in range(4)]
    sent = 0
    whole = message(content)
    for _ in until(seconds):
        for line in lines:
            if sent - sum(each.ended for each in lines) < 300:
                stream = line.next_stream()
                line.say(opened(stream, path))
                sent += line.say_data(stream, whole)
            line.hear(0.001)
    return told(lines, sent=sent)


def nested(address: str, seconds: float) -> Outcome:
    """Ask with a message in a message in a message, thousands deep."""
    content = b""
    while len(content) < 15_000:
        length = len(content)
        size = bytes([length % 128 + 128, length // 128]) if length >= 128 else bytes([length])
        content = b"\x0a" + size + content
    return _whole_calls(address, seconds, content, CHECK)


def idle(address: str, seconds: float) -> Outcome:
    """Greet on ten thousand connections, and ask nothing; fewer where there are fewer files."""
    most = _MOST_FILES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    lines = []
    for number in range(min(10_000, most - 100)):
        lines.append(Line(address))
        if number % 200 == 0:
            time.sleep(0.02)
    time.sleep(seconds)
    greeted = sum(line.hear(0.01) for line in lines)
    return told(lines, greeted=greeted)


def absurd_deadlines(address: str, seconds: float) -> Outcome:
    """Ask with deadlines that nobody could mean."""
    line, sent = Line(address), 0
    absurd = ("0n", "1n", "99999999H", "-1S", "1000000000000000000S", "", "9" * 30, "5", "n")
    for _ in until(seconds):
        for text in absurd:
            line.say(asked(line.next_stream(), more=[("grpc-timeout", text)]))
            sent += 1
        line.hear(0.02)
        if not line.is_open:
            line = Line(address)
    return told([line], asked=sent)


ATTACKS: dict[str, Callable[[str, float], Outcome]] = {
    attack.__name__: attack
    for attack in (
        silent, half_preface, slow_settings, slow_headers, endless_headers, slow_body, no_body,
        never_takes_answers, never_listens, flood_of_streams, rapid_reset, flood_of_pings,
        flood_of_settings, flood_of_windows, flood_of_nothing, header_bomb, large_metadata,
        huge_announcement, hoard, gzip_bomb, large_batches, small_batches, large_nonsense,
        nested, idle, absurd_deadlines,
    )
}  # fmt: skip


if __name__ == "__main__":
    os.nice(19)  # it stands for another machine, and must not take the time of the one attacked
    outcome = ATTACKS[sys.argv[1]](sys.argv[2], float(sys.argv[3]))
    sys.stdout.write(json.dumps(outcome))
