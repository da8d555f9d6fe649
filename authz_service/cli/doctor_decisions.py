"""The doctor's look at the decision store, and at how shipping to it is doing."""

from __future__ import annotations

from authz_service.audit.store.engines import shown
from authz_service.audit.store.failures import StoreFailureError
from authz_service.audit.store.schema_version import SchemaState, schema_state
from authz_service.cli.console_client import read_console
from authz_service.cli.doctor_finding import Finding, bad, fine, odd
from authz_service.cli.http_client import shown_by
from authz_service.cli.status_shipping import shipping_fields
from authz_service.settings import Settings

NO_STORE = "none"
_NAME = "decision store"
_LOOK_SECONDS = 1.0
_ADVICE = "check AUTHZ_DECISIONS_URL, and that the database runs and lets this user in"
_WRONG_SCHEMAS = {
    SchemaState.NEWER: ("its schema is newer than this program", "use the program's newer version"),
    SchemaState.FOREIGN: (
        "it holds other tables and no decision store",
        "correct AUTHZ_DECISIONS_URL",
    ),
}


def decision_store(settings: Settings) -> Finding:
    """Look whether the store answers and is of this program's schema, and whether it is behind."""
    url = settings.decisions_url
    if url == NO_STORE:
        todo = "nothing is shipped, and no segment of the journal is ever deleted"
        return odd(_NAME, "AUTHZ_DECISIONS_URL is none", todo)
    try:
        where, schema = shown(url), schema_state(url)
    except StoreFailureError as silent:
        return bad(_NAME, str(silent), _ADVICE)
    if schema in _WRONG_SCHEMAS:
        what, todo = _WRONG_SCHEMAS[schema]
        return bad(_NAME, f"{where}: {what}", todo)
    return _shipping(where, settings) or _soundness(where, schema)


def _soundness(where: str, schema: SchemaState) -> Finding:
    """Return what the store holds."""
    if schema is SchemaState.EMPTY:
        return fine(_NAME, f"{where}: there is none yet; authz serve makes it")
    if schema is SchemaState.OLDER:
        return odd(_NAME, f"{where}: its schema is older", "authz serve upgrades it")
    return fine(_NAME, f"{where} answers")


def _shipping(where: str, settings: Settings) -> Finding | None:
    """Return what a running service has to say against the store; None for nothing."""
    shipping = read_console(settings.http_listen, _LOOK_SECONDS, shown_by(settings)).shipping
    if not shipping or shipping.get("off"):
        return None
    said = "; ".join(" ".join(filter(None, field)) for field in shipping_fields(shipping)[1:])
    if shipping.get("alarms"):
        return bad(_NAME, f"{where}: {said}", "docs/decisions.md says what to do about each alarm")
    if not shipping.get("usable") and shipping.get("why"):
        return odd(_NAME, f"{where}: {said}", "checks go on; what is behind is shipped later")
    return None
