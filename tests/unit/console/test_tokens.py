"""Bearer tokens: a strict file, a strict header, and nothing of a token in what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.console.tokens import TokenFileError, Tokens, read_tokens

FIRST, SECOND = b"first-token-" + b"a" * 30, b"second-token-" + b"b" * 30


def put(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """Write a file with that mode."""
    path.touch()
    path.chmod(mode)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        pytest.param(FIRST + b"\n", [FIRST], id="one"),
        pytest.param(FIRST, [FIRST], id="without-a-newline"),
        pytest.param(FIRST + b"\n" + SECOND + b"\n", [FIRST, SECOND], id="while-it-is-rotated"),
        pytest.param(b"x" * 32, [b"x" * 32], id="shortest"),
        pytest.param(b"x" * 512, [b"x" * 512], id="longest"),
        pytest.param(b"!" + b"~" * 40, [b"!" + b"~" * 40], id="any-printable-ascii"),
    ],
)
def test_each_line_is_a_token(tmp_path: Path, content: bytes, tokens: list[bytes]) -> None:
    assert read_tokens(put(tmp_path / "tokens", content)) == tokens


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\n", "is empty", id="a-newline"),
        pytest.param(b"secret-and-short\n", "line 1 is shorter than 32 characters", id="short"),
        pytest.param(b"x" * 31, "line 1 is shorter than 32 characters", id="one-too-short"),
        pytest.param(b"secret" * 100, "line 1 is longer than 512 characters", id="long"),
        pytest.param(FIRST + b"\n\n" + SECOND, "line 2 is empty", id="empty-line"),
        pytest.param(FIRST + b"\nsecret", "line 2 is shorter", id="second-line"),
        pytest.param(b"secret " + FIRST, "line 1 has a blank", id="blank"),
        pytest.param(FIRST + b" \n", "line 1 has a blank", id="trailing-blank"),
        pytest.param(FIRST + b"\r\n", "line 1 has a blank", id="carriage-return"),
        pytest.param(FIRST + b"\tsecret", "line 1 has a blank", id="tab"),
        pytest.param("sécret".encode() + FIRST, "not printable ASCII", id="not-ascii"),
        pytest.param(b"\xef\xbb\xbf" + FIRST, "not printable ASCII", id="byte-order-mark"),
        pytest.param(FIRST + b"\0", "not printable ASCII", id="null"),
        pytest.param((FIRST + b"\n") * 17, "more than 16 lines", id="many"),
        pytest.param(b"secret" * (1 << 16), "longer than 512", id="huge"),
    ],
)
def test_what_is_no_token_is_refused_by_its_line_and_never_repeated(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = put(tmp_path / "tokens", content)

    with pytest.raises(TokenFileError) as refused:
        read_tokens(path)

    assert said in str(refused.value)
    assert str(refused.value).startswith(f"AUTHZ_HTTP_TOKEN_FILE={path}: ")
    for secret in (
        "secret-and",
        "secretsecret",
        "sécret",
        "secret ",
        "first-token",
        "second-token",
    ):
        assert secret not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match=r"nowhere: no such file or directory"):
        read_tokens(tmp_path / "nowhere")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="is a directory"):
        read_tokens(tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_file_that_everybody_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(TokenFileError, match=r"chmod o= .*defaultMode: 0440"):
        read_tokens(put(tmp_path / "tokens", FIRST, mode))


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_owner_and_group_may_read_it(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "tokens", FIRST)
    path.chmod(mode)

    assert read_tokens(path) == [FIRST]


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param([b"Bearer " + FIRST], id="first"),
        pytest.param([b"Bearer " + SECOND], id="second"),
        pytest.param([b"bearer " + FIRST], id="schemes-have-no-case"),
        pytest.param([b"BEARER " + FIRST], id="shouted"),
    ],
)
def test_every_token_of_the_file_is_valid(authorization: list[bytes]) -> None:
    assert Tokens([FIRST, SECOND]).accept(authorization)


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param([], id="none"),
        pytest.param([b""], id="empty"),
        pytest.param([b"Bearer"], id="scheme-alone"),
        pytest.param([b"Bearer "], id="scheme-and-blank"),
        pytest.param([FIRST], id="without-a-scheme"),
        pytest.param([b"Basic " + FIRST], id="another-scheme"),
        pytest.param([b"Bearer  " + FIRST], id="two-blanks"),
        pytest.param([b"Bearer\t" + FIRST], id="tab"),
        pytest.param([b" Bearer " + FIRST], id="blank-before"),
        pytest.param([b"Bearer " + FIRST + b" "], id="blank-after"),
        pytest.param([b"Bearer " + FIRST + b"\n"], id="newline-after"),
        pytest.param([b"Bearer " + FIRST + b", Bearer " + FIRST], id="list"),
        pytest.param([b"Bearer " + FIRST, b"Bearer " + FIRST], id="twice"),
        pytest.param([b"Bearer nonsense", b"Bearer " + FIRST], id="second-header"),
        pytest.param([b"Bearer " + FIRST[:-1]], id="one-character-less"),
        pytest.param([b"Bearer " + FIRST + b"a"], id="one-character-more"),
        pytest.param([b"Bearer " + FIRST.upper()], id="tokens-have-case"),
        pytest.param([b"Bearer " + FIRST + b"\n" + SECOND], id="the-file-itself"),
        pytest.param([b"Bearer \xc3\xa9" + FIRST], id="not-ascii"),
    ],
)
def test_anything_else_is_not(authorization: list[bytes]) -> None:
    assert not Tokens([FIRST, SECOND]).accept(authorization)


def test_no_token_is_kept() -> None:
    tokens = Tokens([FIRST])

    assert FIRST.decode() not in repr(tokens)
    assert FIRST not in b"".join(tokens._digests)
