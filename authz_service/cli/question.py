"""A question as it is typed: checked before anybody is asked, so that a slip costs no call."""

from __future__ import annotations

from datetime import UTC, datetime

from authz_service.pdp.errors import InvalidRequestError, Violation
from authz_service.pdp.model import MAX_ID_LENGTH, AccessRequest, Instant, is_id

_ID_HINT = (
    "is not an id: ASCII letters and digits, joined by single . _ or -, "
    f"1 to {MAX_ID_LENGTH} bytes; ids are never mended"
)
_INSTANT_HINT = "is not an instant with a time zone, as in 2020-06-09T14:00:00Z, nor `now`"


def require_ids(ids: dict[str, str | None]) -> None:
    """Check ids by the name of what they were given as; None was not given.

    Raises:
        InvalidRequestError: Names every one that is no id.
    """
    wrong = [
        Violation(name, _ID_HINT)
        for name, text in ids.items()
        if text is not None and not is_id(text)
    ]
    if wrong:
        raise InvalidRequestError(*wrong)


def require_well_formed(request: AccessRequest) -> None:
    """Check the ids of *request*.

    Raises:
        InvalidRequestError: Names every one that is no id.
    """
    require_ids(
        {
            "SUBJECT": request.subject_id,
            "RECORDING": request.recording_id,
            "--tenant": request.tenant_id,
            "--matter": request.matter_id,
        }
    )


def instant_of(text: str | None, option: str) -> Instant | None:
    """Return the instant that *text* names, ``now`` included; None where nothing was given.

    Raises:
        InvalidRequestError: *text* names none; says so of *option*.
    """
    if text is None:
        return None
    if text == "now":
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise InvalidRequestError(Violation(option, _INSTANT_HINT))
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidRequestError(Violation(option, _INSTANT_HINT)) from None


def is_text(text: str) -> bool:
    """Whether *text* can be sent: bytes that were no UTF-8 on the command line cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
