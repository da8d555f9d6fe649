"""A disk that remembers what was synced, and what a power cut may make of the rest.

The rules, no kinder than POSIX:

- Bytes count once a sync of their file has returned, names once a sync of their directory has.
- Of what was not synced each sector is old or new, in any combination; a file may be as long as
  any write would have made it, and where no write got through there are zeros or garbage.
- Bytes that were synced stay, also where a later write shares their sector.
- Creations, renames and removals are kept or lost each by itself.
- After a failed sync the kernel takes the pages for clean: no later sync brings them to the disk,
  though some of them may have reached it.

The files themselves lie in a real directory, which is what the journal reads: the page cache. The
disk is told of every operation, and keeps beside it what would be there after a power cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice, product
from pathlib import Path

from tests.unit.audit.torn_writes import Torn, brief_tears, overwritten

State = dict[str, bytes]
"""What a power cut left: each file's content, by its path below the root."""


class Standing(Enum):
    """How far a change of a file has come."""

    DIRTY = "the next sync brings it to the disk"
    DROPPED = "no sync will; it may be there all the same"
    FIRM = "it is there"


@dataclass(slots=True)
class Change:
    """A write of *content* at an offset, or, without content, a cut to that length."""

    offset: int
    content: bytes | None
    standing: Standing = Standing.DIRTY

    def done(self, content: bytes) -> bytes:
        """Return *content* with the whole of this change made."""
        if self.content is None:
            return content[: self.offset]
        return overwritten(content, self.offset, self.content)


@dataclass(slots=True, eq=False)
class Inode:
    """One file: what is on the disk for certain, and what was changed since."""

    durable: bytes = b""
    length: int = 0
    changes: list[Change] = field(default_factory=list)

    def change(self, offset: int, content: bytes | None) -> None:
        """Write or cut, in memory."""
        self.changes.append(Change(offset, content))
        self.length = offset if content is None else max(self.length, offset + len(content))

    def stand(self, standing: Standing) -> None:
        """Let a sync succeed, or fail."""
        for change in self.changes:
            if change.standing is Standing.DIRTY:
                change.standing = standing
        while self.changes and self.changes[0].standing is Standing.FIRM:
            self.durable = self.changes.pop(0).done(self.durable)

    def contents(self, torn: Torn) -> Iterator[bytes]:
        """Yield what the file may hold: each loose change made or not, and one of them torn."""
        loose = [each for each in self.changes if each.standing is not Standing.FIRM]
        for chosen in product([False, True], repeat=len(loose)):
            made = [change for change, is_made in zip(loose, chosen, strict=True) if is_made]
            yield from self._with(made, torn)

    def _with(self, made: list[Change], torn: Torn) -> Iterator[bytes]:
        """Yield the content with *made*, then each write of them torn in every way."""
        present = [each for each in self.changes if each in made or each.standing is Standing.FIRM]
        for tearing in (None, *(each for each in made if each.content)):
            contents = [self.durable]
            for change in present:
                if change is tearing and change.content:
                    contents = list(torn(contents[0], change.offset, change.content))
                else:
                    contents = [change.done(content) for content in contents]
            yield from contents


@dataclass(slots=True)
class Names:
    """One directory: which names are on the disk for certain, and what was changed since."""

    durable: dict[str, Inode] = field(default_factory=dict)
    live: dict[str, Inode] = field(default_factory=dict)
    changes: list[tuple[str | None, str | None, Inode]] = field(default_factory=list)

    def change(self, gone: str | None, new: str | None, inode: Inode) -> None:
        """Take a name away, give one, or both at once."""
        self.changes.append((gone, new, inode))
        self.live = _renamed(self.live, gone, new, inode)

    def sync(self) -> None:
        """Bring the names to the disk."""
        self.durable = dict(self.live)
        self.changes.clear()

    def possible(self) -> Iterator[dict[str, Inode]]:
        """Yield what names there may be."""
        for chosen in product([False, True], repeat=len(self.changes)):
            names = self.durable
            for change, is_made in zip(self.changes, chosen, strict=True):
                if is_made:
                    names = _renamed(names, *change)
            yield names


def _renamed(
    names: dict[str, Inode], gone: str | None, new: str | None, inode: Inode
) -> dict[str, Inode]:
    """Return *names* after one change."""
    left = {name: each for name, each in names.items() if name != gone or each is not inode}
    return left | {new: inode} if new is not None else left


class Disk:
    """What is below one directory. What lies there already is on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directories: dict[Path, Names] = {}
        self._firm = {root}
        self._open: dict[int, Inode] = {}
        for path in (root, *root.rglob("*")):
            if path.is_dir():
                known = _files_in(path)
                self._directories[path] = Names(known, dict(known))
                self._firm.add(path)

    def opened(self, descriptor: int, path: Path) -> None:
        """Note that *descriptor* stands for the file at *path*, made where it was not known."""
        names = self._names(path.parent)
        if path.name not in names.live:
            names.change(None, path.name, Inode())
        self._open[descriptor] = names.live[path.name]

    def wrote(self, descriptor: int, content: bytes, offset: int | None = None) -> None:
        """Note a write, by default at the end."""
        inode = self._open[descriptor]
        if content:
            inode.change(inode.length if offset is None else offset, content)

    def synced(self, descriptor: int, *, failed: bool = False) -> None:
        """Note a sync of a file, and whether it failed."""
        self._open[descriptor].stand(Standing.DROPPED if failed else Standing.FIRM)

    def truncated(self, path: Path, size_bytes: int) -> None:
        """Note a cut."""
        self._names(path.parent).live[path.name].change(size_bytes, None)

    def renamed(self, path: Path, to: Path) -> None:
        """Note another name."""
        names = self._names(path.parent)
        names.change(path.name, to.name, names.live[path.name])

    def removed(self, path: Path) -> None:
        """Note a removal, where there was something."""
        names = self._names(path.parent)
        if path.name in names.live:
            names.change(path.name, None, names.live[path.name])

    def directory_synced(self, directory: Path) -> None:
        """Note a sync of a directory."""
        self._names(directory).sync()
        self._firm |= {path for path in directory.iterdir() if path.is_dir()}

    def states(self, torn: Torn = brief_tears, most: int = 400) -> list[State]:
        """Return the states in which a power cut may leave the disk now, each once.

        Args:
            torn: How writes that were not synced may be torn.
            most: After how many combinations to stop.
        """
        found: dict[tuple[tuple[str, bytes], ...], State] = {}
        for state in islice(self._states(torn), most):
            found.setdefault(tuple(sorted(state.items())), state)
        return list(found.values())

    def _states(self, torn: Torn) -> Iterator[State]:
        """Yield them, some more than once."""
        lost = [path for path in self._directories if not self._is_firm(path)]
        for names_of in product(*(names.possible() for names in self._directories.values())):
            files = {
                str((directory / name).relative_to(self._root)): inode
                for directory, names in zip(self._directories, names_of, strict=True)
                for name, inode in names.items()
            }
            contents = [list(dict.fromkeys(inode.contents(torn))) for inode in files.values()]
            for chosen in product(*contents):
                yield dict(zip(files, chosen, strict=True))
            for directory in lost:
                below = f"{directory.relative_to(self._root)}/"
                yield {
                    name: inode.durable
                    for name, inode in files.items()
                    if not name.startswith(below)
                }

    def _is_firm(self, directory: Path) -> bool:
        """Whether the names of *directory*, and of all that it is in, are on the disk."""
        above = (directory, *directory.parents)
        return all(path in self._firm for path in above if path.is_relative_to(self._root))

    def _names(self, directory: Path) -> Names:
        """Return the names in *directory*; one not seen before was empty."""
        return self._directories.setdefault(directory, Names())


def _files_in(directory: Path) -> dict[str, Inode]:
    """Return what lies in *directory*, but for the lock, which holds nothing and is made anew."""
    contents = {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if path.is_file() and path.name != "lock"
    }
    return {name: Inode(content, len(content)) for name, content in contents.items()}


def lay_out(state: State, root: Path) -> None:
    """Make the files of *state* below *root*, which is empty or not there."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in state.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
