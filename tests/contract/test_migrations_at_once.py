"""Registry and decision store are made by different threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from authz_service.audit.store import schema_version as decisions
from authz_service.facts import schema_version as registry

_ROUNDS = 6


def test_two_databases_are_migrated_at_the_same_time(tmp_path: Path) -> None:
    """A store that comes back while a registry is made disturbs neither."""
    failures: list[BaseException] = []
    gate = threading.Barrier(2)

    def many(migrate: Callable[[str], object], name: str) -> None:
        for number in range(_ROUNDS):
            gate.wait(timeout=30)
            try:
                migrate(f"sqlite:///{tmp_path / f'{name}-{number}.db'}")
            except BaseException as error:  # noqa: BLE001  # told to the test's own thread
                failures.append(error)

    threads = [
        threading.Thread(target=many, args=(registry.migrate, "registry")),
        threading.Thread(target=many, args=(decisions.migrate, "decisions")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    for number in range(_ROUNDS):
        url = f"sqlite:///{tmp_path / f'registry-{number}.db'}"
        assert registry.schema_state(url) is registry.SchemaState.CURRENT
        url = f"sqlite:///{tmp_path / f'decisions-{number}.db'}"
        assert decisions.schema_state(url) is decisions.SchemaState.CURRENT
