"""What a service, or several workers, say of their callers, in words."""

from __future__ import annotations

from typing import Any

from authz_service.cli.status_callers import callers_fields, callers_together

GOOD: dict[str, Any] = {
    "file": "/etc/callers.csv",
    "revision": "ab12",
    "callers": 7,
    "in_force_since": "2020-06-09T12:00:00Z",
    "unreadable": "",
    "refused": None,
    "warnings": 0,
}
REFUSED: dict[str, Any] = {
    **GOOD,
    "refused": {
        "at": "2020-06-09T12:30:00Z",
        "revision": "cd34",
        "count": 2,
        "problems": [
            {
                "kind": "invalid",
                "file": "/etc/callers.csv",
                "line": 3,
                "column": 7,
                "message": "no RPC is called 'CheckAcess'",
                "hint": "did you mean CheckAccess?",
            }
        ],
    },
}


def test_what_is_in_force_is_told() -> None:
    assert callers_fields(GOOD) == [("callers", "ab12, 7 callers")]
    assert callers_fields(None) == []


def test_a_refused_file_is_told_beside_what_is_in_force() -> None:
    assert callers_fields(REFUSED) == [
        ("callers", "ab12, 7 callers"),
        ("", "the file as it is now was refused at 2020-06-09T12:30:00Z: 2 problems"),
        ("", "/etc/callers.csv:3:7: no RPC is called 'CheckAcess' (did you mean CheckAccess?)"),
    ]


def test_what_is_doubtful_is_counted() -> None:
    assert callers_fields({**GOOD, "warnings": 1})[1:] == [
        ("", "1 warning, see: authz policy callers /etc/callers.csv")
    ]


def test_of_several_workers_the_one_that_warns_is_heard() -> None:
    together = callers_together({1: GOOD, 2: {**GOOD, "warnings": 2}, 3: GOOD})
    spoilt = callers_together({1: {**GOOD, "warnings": 2}, 2: REFUSED})

    assert together is not None
    assert together["warnings"] == 2
    assert spoilt is not None
    assert spoilt["refused"]


def test_a_file_that_cannot_be_read_is_told() -> None:
    gone = {**GOOD, "unreadable": "no such file or directory"}

    assert callers_fields(gone)[1:] == [
        ("", "/etc/callers.csv cannot be read: no such file or directory")
    ]


def test_a_refused_file_that_is_gone_is_told_as_gone_alone() -> None:
    fields = callers_fields({**REFUSED, "unreadable": "no such file or directory"})

    assert [text for _, text in fields[1:]] == [
        "/etc/callers.csv cannot be read: no such file or directory"
    ]


def test_workers_of_one_mind_speak_as_one() -> None:
    together = callers_together({1: GOOD, 2: GOOD, 3: None})

    assert callers_fields(together) == [("callers", "ab12, 7 callers")]
    assert callers_together({1: None}) is None


def test_workers_that_differ_are_named() -> None:
    together = callers_together({1: GOOD, 2: {**GOOD, "revision": "cd34"}})

    assert callers_fields(together) == [
        ("callers", "NOT the same in all workers (worker 1: ab12, worker 2: cd34)")
    ]


def test_a_file_that_one_worker_refuses_is_told() -> None:
    together = callers_together({1: GOOD, 2: REFUSED})

    assert len(callers_fields(together)) == 3
