"""SPIFFE IDs of workloads, and everything that is none."""

from __future__ import annotations

import pytest

from authz_service.identity.callers_file import is_caller
from authz_service.identity.spiffe import fault_of

LONGEST = "spiffe://example.org/" + "a" * (2048 - len("spiffe://example.org/"))


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://example.org/media-gateway",
        "spiffe://example.org/ns/prod/sa/Media_Gateway.2",
        "spiffe://a/b",
        "spiffe://1.2-3_4/...",
        LONGEST,
        f"spiffe://{'d' * 255}/x",
    ],
)
def test_the_id_of_a_workload_is_one(text: str) -> None:
    assert fault_of(text) == ""
    assert is_caller(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "does not begin with spiffe://"),
        ("loopback", "does not begin with spiffe://"),
        ("https://example.org/a", "does not begin with spiffe://"),
        ("SPIFFE://example.org/a", "does not begin with spiffe://"),
        ("spiffe:/example.org/a", "does not begin with spiffe://"),
        (" spiffe://example.org/a", "does not begin with spiffe://"),
        ("spiffe:///a", "has no trust domain"),
        ("spiffe://Example.org/a", "has a trust domain with capitals"),
        ("spiffe://exämple.org/a", "has a trust domain with other characters"),
        ("spiffe://example org/a", "has a trust domain with other characters"),
        (f"spiffe://{'d' * 256}/x", "has a trust domain of more than 255 bytes"),
        ("spiffe://root@example.org/a", "names a user"),
        ("spiffe://example.org:443/a", "names a port"),
        ("spiffe://example.org", "has no path"),
        ("spiffe://example.org/", "has no path"),
        ("spiffe://example.org//a", "has an empty segment"),
        ("spiffe://example.org/a/", "has an empty segment"),
        ("spiffe://example.org/a//b", "has an empty segment"),
        ("spiffe://example.org/./a", "has the segment '.'"),
        ("spiffe://example.org/a/../b", "has the segment '..'"),
        ("spiffe://example.org/a/..", "has the segment '..'"),
        ("spiffe://example.org/%2e%2e/b", "is percent-encoded"),
        ("spiffe://ex%61mple.org/b", "is percent-encoded"),
        ("spiffe://example.org/a?b=c", "has a query"),
        ("spiffe://example.org/a#b", "has a fragment"),
        ("spiffe://example.org/a b", "has a path with other characters"),
        ("spiffe://example.org/a\n", "has a path with other characters"),
        ("spiffe://example.org/é", "has a path with other characters"),
        ("spiffe://example.org/a:b", "has a path with other characters"),
        (LONGEST + "a", "has more than 2048 bytes"),
        ("spiffe://example.org/" + "é" * 1020, "has more than 2048 bytes"),
    ],
)
def test_what_is_no_workloads_id_is_told_why(text: str, fault: str) -> None:
    assert fault_of(text).startswith(fault)
    assert is_caller(text) == (text == "loopback")
