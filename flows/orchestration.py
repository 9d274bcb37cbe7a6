"""Running flows on this machine: against a Prefect server when one is set, else with an embedded one in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.settings.legacy import Setting

# A temporary server takes about 8 s to start; Prefect's own patience of 20 s is short on a busy machine.
STARTUP_TIMEOUT_S = 180
IN_MEMORY_DATABASE = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"


@contextmanager
def local_orchestration() -> Iterator[None]:
    """Run flows inside the block on the server of `PREFECT_API_URL`, or on a temporary server without a database file.

    File SQLite answers "database is locked" under Prefect's own load (docs/adr/0003); history that should stay belongs
    on a server. The heartbeat is off because its thread makes every flow sleep for a second.
    """
    from prefect.settings import (
        PREFECT_API_DATABASE_CONNECTION_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
        temporary_settings,
    )

    changes: dict[Setting, Any] = {
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: STARTUP_TIMEOUT_S,
    }
    if "PREFECT_API_URL" not in os.environ:
        changes[PREFECT_API_DATABASE_CONNECTION_URL] = IN_MEMORY_DATABASE
    with temporary_settings(changes):
        yield
