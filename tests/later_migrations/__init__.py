"""Migrations that no program has yet: one expands the schema, and one contracts it."""
