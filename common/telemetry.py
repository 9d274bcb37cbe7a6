"""Every library's telemetry, off.

Called first by each entry point (command line, services, tests): the libraries read these variables when imported.
"""

from __future__ import annotations

import os

QUIET: dict[str, str] = {
    # MLflow ignores "1" here.
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Prefect's newer UI calls its analytics provider even when analytics are off; the older one does not.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "FEAST_USAGE": "False",
    "OTEL_SDK_DISABLED": "true",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
}


def disable_telemetry() -> None:
    """Set each variable of `QUIET` unless the user has set it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
