"""One call, as a servicer sees it: who asks, under which id, since when."""

from __future__ import annotations

from typing import NamedTuple

from authz_service.identity.caller_rules import CallerRule
from authz_service.operations.records import CallContext


class Call(NamedTuple):
    """What the layer found out before the servicer is asked.

    Attributes:
        context: Who asked, for the record.
        rule: What that caller may.
        started_ns: When the call arrived, on `time.perf_counter_ns`.
    """

    context: CallContext
    rule: CallerRule
    started_ns: int
