"""By what emergency accesses are found among grants: expressions, and the indexes over them."""

from __future__ import annotations

from typing import Final

BEGAN: Final = "coalesce(rtrim(value::json ->> 'valid_from', 'Z'), '') COLLATE \"C\""
"""When a grant begins: without its ``Z``, and fractions of a second last, it sorts as it should."""
UNTIL: Final = "coalesce(rtrim(value::json ->> 'valid_to', 'Z'), '~') COLLATE \"C\""
"""When a grant ends, likewise; what has no end sorts last."""
OF_EMERGENCY: Final = "(value::json ->> 'kind') = 'EMERGENCY'"
UNREVIEWED: Final = "(value::json ->> 'review') IS NULL"

INDEXES_BY_EXPRESSION: Final = {
    "grants_of_emergency": f"ON grants ({BEGAN}, id) WHERE {OF_EMERGENCY}",
    "grants_of_emergency_by_end": f"ON grants ({UNTIL}, id) WHERE {OF_EMERGENCY}",
    "grants_unreviewed": f"ON grants ({BEGAN}, id) WHERE {OF_EMERGENCY} AND {UNREVIEWED}",
}
"""Indexes that SQLAlchemy cannot read back, in the words of `sessions`: emergency accesses.

They serve statements that have these very expressions.
"""
