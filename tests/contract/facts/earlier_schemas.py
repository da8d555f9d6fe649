"""Registries as earlier versions of this program left them: later migrations are undone."""

from __future__ import annotations

from authz_service.facts.schema import FACT_TABLES, VERSION_TABLE
from tests.contract.facts.registry_cases import run


def back_to_the_third(url: str) -> None:
    """Give the registry of *url* the schema of the third migration, with every value repeated."""
    run(
        url,
        *(
            "UPDATE fact_changes SET value = (SELECT f.value FROM"  # noqa: S608  # names of ours
            f" {table.name} f WHERE f.id = fact_changes.id AND f.revision = fact_changes.revision)"
            f" WHERE kind = '{kind.value}' AND in_place"
            for kind, table in FACT_TABLES.items()
        ),
        *(
            f"DROP INDEX {name}"
            for name in (
                "fact_changes_by_fact",
                "facts_writes_by_latest_at",
                "services_by_tenant_id",
                "grants_of_emergency",
                "grants_of_emergency_by_end",
                "grants_unreviewed",
                "past_mentions_by_until_revision",
                "consultations_by_patient_id",
            )
        ),
        "DROP TABLE past_mentions",
        "DROP TABLE fact_notes",
        *(
            f"ALTER TABLE {table} DROP COLUMN {column}"
            for table, column in (
                ("fact_changes", "in_place"),
                ("facts_writes", "latest_at"),
                ("facts_revision", "history_from"),
                ("facts_revision", "works_from"),
            )
        ),
        f"UPDATE {VERSION_TABLE} SET version_num = '0003'",  # noqa: S608  # a name of ours
    )
