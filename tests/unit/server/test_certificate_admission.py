"""Who is let in by a certificate, call by call, as time and authorities change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authz_service.identity.caller_rules import CallerRule
from authz_service.identity.callers import ActiveCallers, Callers
from authz_service.pdp.errors import CallerRefusal, CallerUnauthenticatedError
from authz_service.server.certificate_admission import CertificateAdmission
from tests.certificates import CALLER, SERVER, Credential, authority

CA = authority()


class Clock:
    """Stands where it is set."""

    def __init__(self) -> None:
        self.instant = datetime.now(UTC)

    def now(self) -> datetime:
        return self.instant


class Context:
    """What gRPC says of the peer."""

    def __init__(self, leaf: Credential, **changes: tuple[bytes, ...]) -> None:
        above = leaf.chain.removeprefix(leaf.pem)
        self._properties: dict[str, tuple[bytes, ...]] = {
            "x509_pem_cert": (leaf.pem,),
            "peer_spiffe_id": (CALLER.encode(),),
            **({"x509_pem_cert_chain": (above,)} if above else {}),
            **changes,
        }

    def auth_context(self) -> Any:
        return self._properties


def rule(caller: str) -> CallerRule:
    return CallerRule(caller, None, None, None, None, None, frozenset())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers() -> ActiveCallers:
    return ActiveCallers(Callers("one", {CALLER: rule(CALLER), "loopback": rule("loopback")}))


@pytest.fixture
def admission(callers: ActiveCallers, clock: Clock) -> CertificateAdmission:
    return CertificateAdmission(callers, [CA.certificate], clock)


def refused(admission: CertificateAdmission, context: Context) -> tuple[CallerRefusal, str]:
    with pytest.raises(CallerUnauthenticatedError) as error:
        admission.admit(context)
    return error.value.refusal, error.value.caller


def test_a_caller_is_let_in_by_the_callers_in_force(
    admission: CertificateAdmission, callers: ActiveCallers
) -> None:
    context = Context(CA.client())
    first = admission.admit(context)
    callers.current = Callers("two", {})

    assert (first.rule.caller, first.callers_revision) == (CALLER, "one")
    assert refused(admission, context) == (CallerRefusal.UNKNOWN, CALLER)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"peer_spiffe_id": ()}, id="grpc-sees-none"),
        pytest.param({"peer_spiffe_id": (CALLER.encode(), CALLER.encode())}, id="grpc-sees-two"),
        pytest.param({"peer_spiffe_id": (SERVER.encode(),)}, id="grpc-sees-another"),
        pytest.param({"x509_pem_cert": ()}, id="no-certificate"),
        pytest.param({"x509_pem_cert": (CA.client().pem,) * 2}, id="two-certificates"),
        pytest.param({"x509_pem_cert": (b"?",)}, id="junk"),
    ],
)
def test_what_grpc_and_this_service_do_not_see_alike_is_nobody(
    admission: CertificateAdmission, changes: dict[str, tuple[bytes, ...]]
) -> None:
    context = Context(CA.client(), **changes)

    assert refused(admission, context) == (CallerRefusal.CERTIFICATE, "")


def test_a_certificate_is_looked_at_once_and_its_end_at_every_call(
    admission: CertificateAdmission, clock: Clock
) -> None:
    leaf = CA.client(lasts=timedelta(minutes=5))
    end = leaf.certificate.not_valid_after_utc
    admission.admit(Context(leaf))

    clock.instant = end
    admission.admit(Context(leaf))
    clock.instant = end + timedelta(seconds=1)

    assert refused(admission, Context(leaf)) == (CallerRefusal.EXPIRED, CALLER)
    assert admission._known.cache_info().misses == 1


def test_a_caller_is_expired_with_the_authority_it_rests_on(
    callers: ActiveCallers, clock: Clock
) -> None:
    ca = authority(lasts=timedelta(minutes=2))
    admission = CertificateAdmission(callers, [ca.certificate], clock)
    leaf = ca.client()
    admission.admit(Context(leaf))

    clock.instant += timedelta(minutes=3)

    assert refused(admission, Context(leaf)) == (CallerRefusal.EXPIRED, CALLER)


def test_other_authorities_count_from_the_next_call_on(admission: CertificateAdmission) -> None:
    new = authority("new")
    direct, behind, fresh = CA.client(), CA.intermediate().client(), new.client()
    for leaf in (direct, behind):
        admission.admit(Context(leaf))
    assert refused(admission, Context(fresh)) == (CallerRefusal.WITHDRAWN, CALLER)

    admission.trust([new.certificate])

    admission.admit(Context(fresh))
    for leaf in (direct, behind):
        assert refused(admission, Context(leaf)) == (CallerRefusal.WITHDRAWN, CALLER)


def test_the_same_leaf_is_judged_by_what_comes_with_it(admission: CertificateAdmission) -> None:
    """A chain that leads to an authority does not help a connection that has none."""
    leaf = CA.intermediate().client()
    admission.admit(Context(leaf))

    without = Context(leaf, x509_pem_cert_chain=())

    assert refused(admission, without) == (CallerRefusal.WITHDRAWN, CALLER)


def test_what_is_remembered_is_bounded(admission: CertificateAdmission) -> None:
    leaf = CA.client()
    for number in range(1500):
        junk = Context(leaf, x509_pem_cert=(str(number).encode(),))
        refused(admission, junk)

    info = admission._known.cache_info()
    assert info.maxsize is not None
    assert info.currsize == info.maxsize < 1500
