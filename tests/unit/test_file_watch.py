"""Files that are watched: every lasting change of contents is told, and nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import authz_service.file_watch
from authz_service.file_watch import Contents, FileWatch
from authz_service.tables.reading import MAX_FILE_BYTES


class Told:
    """What a watch has told, as texts by the name of the file."""

    def __init__(self) -> None:
        self.contents: list[dict[str, str]] = []
        self._told = asyncio.Event()

    async def __call__(self, contents: Contents) -> None:
        self.contents.append({path.name: text.decode() for path, text in contents.items()})
        self._told.set()
        if "not to be taken" in self.contents[-1].values():
            raise ValueError

    async def until(self, *expected: Mapping[str, str]) -> None:
        """Wait until just this was told."""
        async with asyncio.timeout(5):
            while self.contents != list(expected):
                await self._told.wait()
                self._told.clear()


@asynccontextmanager
async def watched(
    *paths: Path, told: Callable[[Contents], Awaitable[None]], every_seconds: float = 0.3
) -> AsyncIterator[FileWatch]:
    """Watch *paths* as they are now."""
    watch = FileWatch(paths, told, every_seconds=every_seconds)
    watch.start({path: path.read_bytes() for path in paths if path.exists()})
    try:
        yield watch
    finally:
        await watch.close()


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Get no notifications."""

    def refuse(*_paths: Path, **_options: object) -> AsyncIterator[None]:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(authz_service.file_watch, "awatch", refuse)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def a(tmp_path: Path) -> Path:
    path = tmp_path / "a"
    path.write_text("1")
    return path


async def _time_for_looks() -> None:
    await asyncio.sleep(0.8)


def put(path: Path, text: str) -> None:
    path.write_text(text)


def remove(path: Path) -> None:
    path.unlink()


async def test_a_file_that_is_written_anew_is_told_with_the_others(a: Path, told: Told) -> None:
    b = a.with_name("b")
    put(b, "2")

    async with watched(a, b, told=told):
        await asyncio.sleep(0.1)
        put(a, "3")
        await told.until({"a": "3", "b": "2"})


async def test_what_changed_before_the_watch_began_is_told(a: Path, told: Told) -> None:
    watch = FileWatch([a], told)

    watch.start({a: b"0"})

    await told.until({"a": "1"})
    await watch.close()


async def test_without_known_contents_the_first_ones_are_told(a: Path, told: Told) -> None:
    watch = FileWatch([a], told)

    watch.start()

    await told.until({"a": "1"})
    await watch.close()


async def test_the_same_contents_again_are_no_change(a: Path, told: Told) -> None:
    async with watched(a, told=told):
        put(a, "1")
        os.utime(a, (1, 1))
        put(a.parent / "other", "x")
        await _time_for_looks()

    assert told.contents == []


async def test_a_file_moved_into_place_is_told(a: Path, told: Told) -> None:
    async with watched(a, told=told):
        put(a.parent / "new", "2")
        (a.parent / "new").replace(a)
        await told.until({"a": "2"})


async def test_a_link_turned_as_kubernetes_does_is_told_as_one_set(
    tmp_path: Path, told: Told
) -> None:
    """``tls.crt`` is a link to ``..data/tls.crt``, and ``..data`` one to a directory by time."""
    for number in "12":
        (tmp_path / f"..{number}").mkdir()
        for name in ("crt", "key"):
            (tmp_path / f"..{number}" / name).write_text(name + number)
    (tmp_path / "..data").symlink_to("..1")
    paths = [tmp_path / "crt", tmp_path / "key"]
    for path in paths:
        path.symlink_to(f"..data/{path.name}")

    async with watched(*paths, told=told, every_seconds=20.0):
        await asyncio.sleep(0.3)
        (tmp_path / "..tmp").symlink_to("..2")
        (tmp_path / "..tmp").replace(tmp_path / "..data")
        shutil.rmtree(tmp_path / "..1")
        await told.until({"crt": "crt2", "key": "key2"})


async def test_a_file_that_is_gone_is_no_change_until_it_is_back(a: Path, told: Told) -> None:
    async with watched(a, told=told) as watch:
        remove(a)
        await _time_for_looks()
        unreadable = dict(watch.unreadable)
        put(a, "2")
        await told.until({"a": "2"})

        assert unreadable == {a: "no such file or directory"}
        assert watch.unreadable == {}


async def test_a_file_written_in_steps_is_told_once_it_is_whole(a: Path, told: Told) -> None:
    async with watched(a, told=told):
        with a.open("w", buffering=1) as stream:
            for number in range(8):
                stream.write(f"{number}\n")
                await asyncio.sleep(0.08)
        await told.until({"a": "0\n1\n2\n3\n4\n5\n6\n7\n"})


async def test_a_directory_that_is_replaced_is_watched_in_its_new_place(
    tmp_path: Path, told: Told
) -> None:
    a = tmp_path / "in" / "a"
    a.parent.mkdir()
    put(a, "1")

    async with watched(a, told=told):
        a.parent.rename(tmp_path / "old")
        await _time_for_looks()
        a.parent.mkdir()
        put(a, "2")
        await told.until({"a": "2"})
        put(a, "3")
        await told.until({"a": "2"}, {"a": "3"})


@pytest.mark.usefixtures("deaf")
async def test_a_file_system_without_notifications_is_looked_at_all_the_same(
    a: Path, told: Told
) -> None:
    async with watched(a, told=told):
        await asyncio.sleep(0.1)
        put(a, "2")
        await told.until({"a": "2"})


@pytest.mark.usefixtures("deaf")
async def test_a_look_that_is_asked_for_comes_at_once(a: Path, told: Told) -> None:
    async with watched(a, told=told, every_seconds=60.0) as watch:
        await asyncio.sleep(0.1)
        put(a, "2")
        watch.look_soon()
        await told.until({"a": "2"})


async def test_what_cannot_be_taken_does_not_end_the_watch(a: Path, told: Told) -> None:
    async with watched(a, told=told):
        put(a, "not to be taken")
        await told.until({"a": "not to be taken"})
        put(a, "3")
        await told.until({"a": "not to be taken"}, {"a": "3"})


async def test_a_closed_watch_tells_nothing(a: Path, told: Told) -> None:
    async with watched(a, told=told):
        pass

    put(a, "2")
    await _time_for_looks()

    assert told.contents == []


def turn_away(path: Path) -> None:
    path.rename(path.with_name("odd"))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def directory(path: Path) -> None:
    path.mkdir()


def to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (fifo, "not a regular file"),
        (device, "not a regular file"),
        (directory, "is a directory"),
        (to_itself, "too many levels of symbolic links"),
    ],
)
async def test_what_is_no_regular_file_holds_nothing_up(
    a: Path, told: Told, odd: Callable[[Path], None], why: str
) -> None:
    """A pipe is not waited for, nor a device read for ever; a file in its place is taken."""
    async with watched(a, told=told) as watch:
        remove(a)
        odd(a)
        await _time_for_looks()
        unreadable = dict(watch.unreadable)
        turn_away(a)
        put(a, "2")
        await told.until({"a": "2"})

    assert unreadable == {a: why}
    assert watch.unreadable == {}


async def test_of_a_huge_file_no_more_is_read_than_shows_that_it_is(a: Path, told: Told) -> None:
    async with watched(a, told=told):
        put(a, "x" * (MAX_FILE_BYTES * 3))
        await told.until({"a": "x" * (MAX_FILE_BYTES + 1)})


async def test_what_is_to_be_told_again_is_at_the_next_look(a: Path, told: Told) -> None:
    watch: FileWatch

    async def twice(contents: Contents) -> None:
        await told(contents)
        if len(told.contents) == 1:
            watch.tell_again()

    async with watched(a, told=twice) as watch:
        put(a, "2")
        await told.until({"a": "2"}, {"a": "2"})
        await _time_for_looks()

    assert len(told.contents) == 2
