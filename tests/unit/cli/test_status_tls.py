"""What a service, or several workers, say of their certificates, in words."""

from __future__ import annotations

from typing import Any

from authz_service.cli.status_tls import tls_fields, tls_together

GOOD: dict[str, Any] = {
    "server_not_after": "2020-06-09T12:00:00Z",
    "client_ca_not_after": "2021-06-09T12:00:00Z",
    "refused": "",
}
LATER = {**GOOD, "server_not_after": "2020-07-09T12:00:00Z", "refused": "no key"}


def test_the_ends_are_told() -> None:
    ends = (
        "the service's own ends at 2020-06-09T12:00:00Z, "
        "the CA of callers ends at 2021-06-09T12:00:00Z"
    )
    assert tls_fields(GOOD) == [("certificates", ends)]


def test_without_tls_nothing_is_told() -> None:
    assert tls_fields(None) == []
    assert tls_together({1: None, 2: None}) is None


def test_what_is_not_served_with_is_told() -> None:
    (_, refused) = tls_fields(LATER)

    assert refused == ("", "the files as they are now are not served with: no key")


def test_of_workers_the_first_end_counts_and_any_refusal() -> None:
    assert tls_together({1: LATER, 2: None, 3: GOOD}) == {**GOOD, "refused": "no key"}
