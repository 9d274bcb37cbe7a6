"""Running flows on this machine: against a Prefect server when one is set, else with an embedded one in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def local_orchestration() -> Iterator[None]:
    """Run flows inside the block on the server of `PREFECT_API_URL`, or on a temporary one (docs/adr/0003).

    The heartbeat is off because its thread makes every flow sleep for a second.

    Raises:
        UnavailableError: if the temporary server does not start.
    """
    from contextlib import nullcontext

    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.embedded_server import embedded_server

    given = os.environ.get("PREFECT_API_URL")
    with (
        nullcontext(given) if given else embedded_server() as url,
        temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield
