"""Who explains: a running service, or this program on a registry or an exported one.

Both answer in the messages of the wire, so that one question has one answer, whoever gives it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from authz_service.api.v1 import recording_access_pb2 as pb


class Explainer(Protocol):
    """Answers why, who, and what; each answer repeats the question."""

    def why(self, request: pb.ExplainAccessRequest) -> pb.ExplainAccessResponse:
        """Return the explanation.

        Raises:
            CommandError: There is none, or it is of another question.
        """
        ...

    def who(self, request: pb.ListSubjectsRequest) -> pb.ListSubjectsResponse:
        """Return a page of those who may.

        Raises:
            CommandError: As for `why`.
        """
        ...

    def what(self, request: pb.ListRecordingsRequest) -> pb.ListRecordingsResponse:
        """Return a page of what somebody may.

        Raises:
            CommandError: As for `why`.
        """
        ...


class Place(NamedTuple):
    """Where a question is answered.

    Attributes:
        address: The service's.
        timeout_seconds: How long a call may take.
        offline: Whether it is answered here, from a registry.
        facts: The exported registry that it is answered from here; None for none.
        registry_url: The registry, where it is answered here; None for that of the settings.
        policy_dir: The policy, where it is answered here; None for that of the settings.
    """

    address: str
    timeout_seconds: float
    offline: bool = False
    facts: str | None = None
    registry_url: str | None = None
    policy_dir: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether it is answered here, and recorded nowhere."""
        return self.offline or self.facts is not None
