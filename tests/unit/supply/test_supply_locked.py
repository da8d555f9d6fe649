"""The locked requirements are read whole: what is overlooked is neither listed nor audited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supply.audit import DEVELOPMENT
from supply.locked import OURSELVES, RUNTIME, Locked, LockError, read_lock

ONE, OTHER = "1" * 64, "2" * 64


def lock(folder: Path, text: str) -> Path:
    """Write a file of locked requirements."""
    path = folder / "some.lock"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", [RUNTIME, DEVELOPMENT], ids=lambda path: str(path.name))
def test_every_pin_of_the_project_is_read(path: Path) -> None:
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", path.read_text("utf-8"), re.MULTILINE)

    locked = read_lock(path)

    assert sorted((one.name, one.version) for one in locked) == sorted(pins)
    assert all(one.hashes and one.asked_by for one in locked)
    assert {one.name for one in locked if OURSELVES in one.asked_by} >= {"grpcio", "cryptography"}


def test_a_pin_is_read_with_all_that_is_said_of_it(tmp_path: Path) -> None:
    text = f"""\
# a remark
colour[all]==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:{OTHER} \\
    --hash=sha256:{ONE}
    # via
    #   click
    #   authz-service (pyproject.toml)
other==1 \\
    --hash=sha256:{ONE}
    # via colour
"""

    assert read_lock(lock(tmp_path, text)) == [
        Locked("colour", "0.4.6", (ONE, OTHER), (OURSELVES, "click"), "sys_platform == 'win32'"),
        Locked("other", "1", (ONE,), ("colour",), ""),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("other>=1 \\\n    --hash=sha256:" + ONE, "no pinned", id="no-pin"),
        pytest.param("other==1\n    # via colour\n", "no hash", id="no-hash"),
        pytest.param("-r another.lock\n", "no pinned", id="another-file"),
        pytest.param("other @ file:///x\n", "no pinned", id="a-place"),
    ],
)
def test_what_is_not_locked_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LockError, match=said):
        read_lock(lock(tmp_path, text))
