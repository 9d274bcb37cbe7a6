"""Start the services, ask each a question by id over HTTP, stop them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import UnavailableError
from flows.parts import Platform

ANSWER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 180.0


def ask_services(source: str, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Ask for the best lead, the deal most at risk and the next period's forecast, as an application would.

    Args:
        source: Name of the workspace to serve.
        records: What the steps before gave; says which ids to ask for.

    Raises:
        UnavailableError: if a question is not answered with 200.
    """
    import httpx

    from serving.run import running_service

    platform = Platform.open(source)
    # A few questions, each asked once: nothing to make ahead for.
    serving = platform.settings.serving.model_copy(update={"scores_ahead": 0})
    settings = platform.settings.model_copy(update={"serving": serving})
    answers = []
    with (
        running_service(settings, platform.workspace, timeout_s=START_TIMEOUT_S) as base_url,
        httpx.Client(base_url=base_url, timeout=ANSWER_TIMEOUT_S) as client,
    ):
        for path, body in _questions(records):
            response = client.post(path, json=body)
            if response.status_code != httpx.codes.OK:
                raise UnavailableError(
                    f"POST {path} answered {response.status_code}",
                    expected="200",
                    got=response.text[:300],
                    next_step=f"salience serve --source {source}",
                )
            answers.append({"path": path, "body": body, "status": response.status_code, "answer": response.json()})
    return {"answers": answers}


def _questions(records: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    questions: list[tuple[str, dict[str, Any]]] = []
    scored = records.get("score-open", {}).get("scored", {})
    if scored.get("lead", {}).get("top"):
        questions.append((f"/api/v1/leads/{scored['lead']['top'][0]['lead_id']}/score", {}))
    if scored.get("deal", {}).get("top"):
        questions.append((f"/api/v1/deals/{scored['deal']['top'][0]['opportunity_id']}/score", {}))
    forecast = records.get("train-forecast")
    if forecast:
        questions.append(("/api/v1/forecasts/revenue/generate", forecast["question"]))
    return questions
