"""What each path needs. A path that is not listed here is an administrator's alone."""

from __future__ import annotations

from serving.access import Right

MAX_BODY_BYTES = 4 * 1024 * 1024
_NEEDS: dict[tuple[str, str], Right] = {
    ("POST", "/api/v1/leads/{lead_id}/score"): "score",
    ("POST", "/api/v1/leads/scores/batch"): "score",
    ("GET", "/api/v1/leads/scores/batch"): "score",
    ("GET", "/api/v1/leads/{lead_id}/explain"): "score",
    ("PUT", "/api/v1/leads/{lead_id}/qualify"): "override",
    ("POST", "/api/v1/deals/{deal_id}/score"): "score",
    ("POST", "/api/v1/deals/probabilities/batch"): "score",
    ("GET", "/api/v1/deals/probabilities/batch"): "score",
    ("GET", "/api/v1/deals/at-risk"): "score",
    ("GET", "/api/v1/deals/{deal_id}/explain"): "score",
    ("PUT", "/api/v1/deals/{deal_id}/override"): "override",
    ("POST", "/api/v1/forecasts/revenue/generate"): "forecast",
    ("GET", "/api/v1/forecasts/{forecast_id}"): "forecast",
    ("PUT", "/api/v1/forecasts/{forecast_id}/adjust"): "adjust",
    ("POST", "/api/v1/forecasts/scenarios/model"): "forecast",
    ("GET", "/api/v1/forecasts/scenarios/{scenario_id}"): "forecast",
    ("POST", "/api/v1/events"): "events",
    ("POST", "/api/v1/jobs"): "jobs",
    ("GET", "/api/v1/jobs/{job_id}"): "jobs",
    ("GET", "/api/v1/jobs/{job_id}/result"): "jobs",
    ("DELETE", "/api/v1/jobs/{job_id}"): "jobs",
    ("GET", "/api/v1/models"): "score",
    ("GET", "/health"): "observe",
    ("GET", "/metrics"): "observe",
}
FILE_PATHS = frozenset({"/api/v1/jobs", "/api/v1/jobs/{job_id}/result"})
"""Paths whose bodies or answers are files."""


def right_of(method: str, label: str) -> Right:
    """The right that a request needs.

    Args:
        method: Its method.
        label: Its path template.
    """
    return _NEEDS.get((method, label), "observe")
