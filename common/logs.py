"""One way to set up logging, for the command line and the services."""

from __future__ import annotations

import logging


def configure_logging(level: str = "INFO") -> None:
    """Send log records to standard error, one line each, UTC times."""
    import time

    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
