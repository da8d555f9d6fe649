"""How one field of an entity is read from a plain value, strictly, and written to one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from authz_service.pdp.model import Action, Instant, is_id

Plain = Any
"""A value as JSON knows it: None, bool, int, str, list or dict."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_SECONDS_IN_UTC = len("2020-06-09T14:00:00Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MAX_TEXT = 4096
_MAX_LIST = 1000
_MAX_AGE = 150
_OLDEST_BIRTH_YEAR = 1850


class Malformed(Exception):  # noqa: N818  # never leaves `entity_plain`
    """A value is not what its field holds; the path grows on the way out."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.path = path


@dataclass(frozen=True, slots=True)
class Codec:
    """How one field is read and written."""

    read: Callable[[Plain], Any]
    write: Callable[[Any, bool], Plain]
    required: bool = False
    default: Any = None


def parse_instant(text: str) -> Instant:
    """Return the instant that RFC 3339 *text* names, finer than a microsecond cut off.

    Raises:
        ValueError: *text* is not RFC 3339, or names an instant that does not exist.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(text)
    if len(text) == _SECONDS_IN_UTC:
        return datetime.fromisoformat(text.upper())
    day, clock, fraction, zone = match.groups()
    micro = (fraction or "0")[:6].ljust(6, "0")
    offset = "+00:00" if zone in "Zz" else zone
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micro}{offset}").astimezone(UTC)
    except OverflowError:
        raise ValueError(text) from None


def format_instant(instant: Instant) -> str:
    """Return *instant* as RFC 3339 in UTC, without a fraction where there is none."""
    text = instant.astimezone(UTC).isoformat()
    return text.removesuffix("+00:00") + "Z"


def read_field(name: str, read: Callable[[Plain], Any], plain: Plain) -> Any:
    """Read one field; its name goes in front of what is malformed inside."""
    try:
        return _missing() if plain is None or plain == "" else read(plain)
    except Malformed as wrong:
        inner = wrong.path
        wrong.path = f"{name}{inner if inner.startswith('[') else '.' + inner if inner else ''}"
        raise


def _missing() -> NoReturn:
    """Refuse a value that is not there."""
    raise Malformed("is missing")


def _id(plain: Plain) -> str:
    """Read an id."""
    if not isinstance(plain, str) or not is_id(plain):
        raise Malformed(
            "is not an id: ASCII letters and digits, joined by single . _ or -, 1 to 128 bytes"
        )
    return plain


def _text(plain: Plain) -> str:
    """Read free text."""
    if not isinstance(plain, str):
        raise Malformed("is not a text")
    if len(plain) > _MAX_TEXT or _UNSTORABLE.search(plain):
        raise Malformed(
            f"is longer than {_MAX_TEXT} characters, or holds a NUL or half a character"
        )
    return plain


def _bool(plain: Plain) -> bool:
    """Read a truth value."""
    if not isinstance(plain, bool):
        raise Malformed("is neither true nor false")
    return plain


def age(*, default: int) -> Codec:
    """Return the codec of an age in years."""
    return Codec(_age, _as_is, default=default)


def _age(plain: Plain) -> int:
    """Read an age in years."""
    if isinstance(plain, bool) or not isinstance(plain, int) or not 0 <= plain <= _MAX_AGE:
        raise Malformed(f"is not an age in whole years, 0 to {_MAX_AGE}")
    return plain


def _instant(plain: Plain) -> Instant:
    """Read an instant."""
    try:
        if isinstance(plain, str):
            return parse_instant(plain)
    except ValueError:
        pass
    raise Malformed("is not an instant of RFC 3339, as in 2020-06-09T14:00:00Z")


def _date(plain: Plain) -> date:
    """Read a date of birth."""
    try:
        if isinstance(plain, str) and _DATE.fullmatch(plain):
            read = date.fromisoformat(plain)
            if read.year >= _OLDEST_BIRTH_YEAR:
                return read
    except ValueError:
        pass
    raise Malformed("is not a date of birth, as in 1986-02-11")


def _time_zone(plain: Plain) -> str:
    """Read the name of an IANA time zone."""
    try:
        return ZoneInfo(plain).key
    except (TypeError, ValueError, KeyError, OSError):
        raise Malformed("is not an IANA time zone, as in Europe/London") from None


def _prefix(enum: type[StrEnum]) -> str:
    """Return the prefix that proto3 puts before the values of *enum*."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.__name__).upper() + "_"


def one_of(enum: type[StrEnum]) -> Codec:
    """Return the codec of a value of *enum*."""
    prefix = _prefix(enum)
    names = {name: member for member in enum for name in (member.value, prefix + member.value)}
    choices = "is not one of " + ", ".join(enum)

    def read(plain: Plain) -> StrEnum:
        member = names.get(plain) if isinstance(plain, str) else None
        if member is None:
            raise Malformed(choices)
        return member

    return Codec(
        read, lambda value, long_names: prefix + value.value if long_names else value.value
    )


def list_of(codec: Codec) -> Codec:
    """Return the codec of a list of what *codec* reads."""

    def read(plain: Plain) -> tuple[Any, ...]:
        if not isinstance(plain, list):
            raise Malformed("is not a list")
        if len(plain) > _MAX_LIST:
            raise Malformed(f"has more than {_MAX_LIST} items")
        return tuple(_item(index, item) for index, item in enumerate(plain))

    def _item(index: int, item: Plain) -> Any:
        return read_field(f"[{index}]", codec.read, item)

    return Codec(
        read,
        lambda value, long_names: [codec.write(item, long_names) for item in value],
        default=(),
    )


def required(codec: Codec) -> Codec:
    """Return *codec* for a field that must be there."""
    return Codec(codec.read, codec.write, required=True)


def _as_is(value: Any, _long_names: bool) -> Plain:  # noqa: FBT001  # any JSON value
    """Write a value that JSON knows."""
    return value


def _as_text(value: date, _long_names: bool) -> str:  # noqa: FBT001  # the shape of `write`
    """Write a date."""
    return value.isoformat()


ID = Codec(_id, _as_is)
TEXT = Codec(_text, _as_is)
BOOL = Codec(_bool, _as_is, default=False)
INSTANT = Codec(_instant, lambda value, _long_names: format_instant(value))
DATE = Codec(_date, _as_text)
TIME_ZONE = Codec(_time_zone, _as_is)
IDS = list_of(ID)
ACTIONS = list_of(one_of(Action))
INTERVAL = {"valid_from": INSTANT, "valid_to": INSTANT}
