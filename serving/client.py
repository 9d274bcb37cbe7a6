"""A client of the services for applications: typed answers, clear errors, retries where trying again can help.

It needs httpx and pydantic, and nothing else of the product.

Example:
    with Client("http://127.0.0.1:3000") as client:
        score = client.score_lead("L-000123")
        print(score.grade, score.conversion_probability, [factor.text for factor in score.scoring_factors.speak_for])
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel

from serving.answers import DealOverride, DealProbability, DealsAtRisk, LeadScore, Qualification
from serving.forecast_answers import ForecastAnswer, ForecastSummary, ScenarioComparison
from serving.problems import Problem
from serving.service_answers import Health, Models

_IDS_PER_REQUEST = 10_000
_RETRIED = (429, 503, 504)
_TYPES = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}
_POLL_SECONDS = 1.0
T = TypeVar("T", bound=BaseModel)


class ServiceError(Exception):
    """The service refused or could not answer.

    Args:
        problem: What is wrong, which field, and what to do.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        step = f" Next: {problem.next_step}." if problem.next_step else ""
        super().__init__(f"{problem.title} ({problem.status}): {problem.detail}{step}")


class Client:
    """Asks the services.

    Args:
        url: Base address, such as `http://127.0.0.1:3000`.
        key: API key or token; not needed for a service on this machine alone.
        timeout_s: Seconds to wait for an answer.
        tries: How often to ask while the service is full or away; it says how long to wait in between.
        transport: Another way to send requests, for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 10.0,
        tries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers=headers, transport=transport)
        self._tries = tries

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def score_lead(self, lead_id: str, *, described: Mapping[str, Any] | None = None) -> LeadScore:
        """How likely a lead is to convert, and why.

        Args:
            lead_id: Its id.
            described: `{"lead": {...}, "events": [...], "activities": [...]}` to score without the feature store; None:
                the stored lead.

        Raises:
            ServiceError: if there is no such lead, or the service cannot answer.
        """
        return self._ask(LeadScore, "POST", f"/api/v1/leads/{_quoted(lead_id)}/score", json=described)

    def score_leads(self, ids: Iterable[str]) -> Iterator[LeadScore]:
        """Scores of many stored leads, asked for in batches; ids that are not known are left out."""
        yield from self._many(LeadScore, "/api/v1/leads/scores/batch", "scores", ids)

    def explain_lead(self, lead_id: str) -> LeadScore:
        """A lead's score with every reason, computed exactly."""
        return self._ask(LeadScore, "GET", f"/api/v1/leads/{_quoted(lead_id)}/explain")

    def qualify_lead(
        self,
        lead_id: str,
        *,
        thresholds: Mapping[Literal["warm", "hot"], float] | None = None,
    ) -> Qualification:
        """Hot, warm or cold, with the evidence: by your own thresholds, or the model's."""
        body = {"thresholds": dict(thresholds)} if thresholds else None
        return self._ask(Qualification, "PUT", f"/api/v1/leads/{_quoted(lead_id)}/qualify", json=body)

    def set_grade(
        self, lead_id: str, grade: Literal["hot", "warm", "cold"] | None, *, justification: str
    ) -> Qualification:
        """Put your own grade in the model's place, on record; None takes it back."""
        body = {"grade": grade, "justification": justification}
        return self._decide(Qualification, f"/api/v1/leads/{_quoted(lead_id)}/qualify", body)

    def score_deal(self, deal_id: str, *, described: Mapping[str, Any] | None = None) -> DealProbability:
        """How likely a deal is to be won, and why; see `score_lead`."""
        return self._ask(DealProbability, "POST", f"/api/v1/deals/{_quoted(deal_id)}/score", json=described)

    def score_deals(self, ids: Iterable[str]) -> Iterator[DealProbability]:
        """Win probabilities of many stored deals; see `score_leads`."""
        yield from self._many(DealProbability, "/api/v1/deals/probabilities/batch", "probabilities", ids)

    def explain_deal(self, deal_id: str) -> DealProbability:
        """A deal's win probability with every reason, computed exactly."""
        return self._ask(DealProbability, "GET", f"/api/v1/deals/{_quoted(deal_id)}/explain")

    def override_deal(self, deal_id: str, win_probability: float | None, *, justification: str) -> DealOverride:
        """Put your own win probability in the model's place, on record; None takes it back."""
        body = {"win_probability": win_probability, "justification": justification}
        return self._decide(DealOverride, f"/api/v1/deals/{_quoted(deal_id)}/override", body)

    def deals_at_risk(self, *, limit: int = 20, within_days: int = 90) -> DealsAtRisk:
        """Open deals by value at risk, greatest first."""
        asked = {"limit": limit, "within_days": within_days}
        return self._ask(DealsAtRisk, "GET", "/api/v1/deals/at-risk", params=asked)

    def forecast(self, level: str, period: str, *, entity_id: str | None = None) -> ForecastAnswer:
        """Revenue expected for an entity and period, with its interval.

        Args:
            level: company, region, team or rep.
            period: 2026Q1, 2026-02 or 2026.
            entity_id: Which region, team or rep.
        """
        question = {"level": level, "period": period, "entity_id": entity_id}
        return self._ask(ForecastAnswer, "POST", "/api/v1/forecasts/revenue/generate", json=question)

    def get_forecast(self, forecast_id: str) -> ForecastAnswer | ForecastSummary:
        """A forecast that was answered before."""
        answer = self._send("GET", f"/api/v1/forecasts/{_quoted(forecast_id)}")
        kind = ForecastSummary if "totals" in answer.json() else ForecastAnswer
        return kind.model_validate_json(answer.content)

    def adjust_forecast(self, forecast_id: str, value: float | None, *, justification: str) -> ForecastAnswer:
        """Put your own figure beside one value of a forecast, on record; None takes it back."""
        body = {"value": value, "justification": justification}
        return self._decide(ForecastAnswer, f"/api/v1/forecasts/{_quoted(forecast_id)}/adjust", body)

    def model_scenarios(
        self,
        period: str,
        *,
        level: str = "company",
        entity_id: str | None = None,
        scenarios: Sequence[Mapping[str, Any]] | None = None,
    ) -> ScenarioComparison:
        """Have scenarios compared; ask for it by its `scenario_id` until its `status` is `done`.

        Args:
            period: 2026Q1, 2026-02 or 2026.
            level: Level whose entities are shown.
            entity_id: The one that levers are valued for; not needed for the company.
            scenarios: Your own; None for optimistic, realistic and pessimistic.
        """
        question: dict[str, Any] = {"period": period, "level": level, "entity_id": entity_id}
        question |= {} if scenarios is None else {"scenarios": [dict(one) for one in scenarios]}
        return self._ask(ScenarioComparison, "POST", "/api/v1/forecasts/scenarios/model", json=question)

    def get_scenarios(self, scenario_id: str) -> ScenarioComparison:
        """A comparison of scenarios, as far as it is."""
        return self._ask(ScenarioComparison, "GET", f"/api/v1/forecasts/scenarios/{_quoted(scenario_id)}")

    def push_events(self, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Tell what has just happened; what is refused stands in the answer with its reason."""
        answer: dict[str, Any] = self._send("POST", "/api/v1/events", json=list(events)).json()
        return answer

    def score_file(self, file: Path, target: Path, *, task: Literal["lead", "deal"]) -> dict[str, Any]:
        """Score a CSV or Parquet file of ids of any size, wait for it, and write the result.

        Args:
            file: `.csv` or `.parquet` with a column `lead_id` or `opportunity_id`.
            target: Where to write the scores, as `.parquet` or `.csv`.
            task: What the file lists.

        Returns:
            The finished job: rows, rows not found, model version.

        Raises:
            ServiceError: if the file cannot be scored.
        """
        with file.open("rb") as body:
            job = self._send(
                "POST",
                "/api/v1/jobs",
                params={"task": task},
                content=_pieces(body),
                headers={"Content-Type": _TYPES[file.suffix]},
            ).json()
        path = f"/api/v1/jobs/{job['job_id']}"
        while job["status"] in ("waiting", "running"):
            time.sleep(_POLL_SECONDS)
            job = self._send("GET", path).json()
        with self._http.stream("GET", f"{path}/result", params={"format": target.suffix[1:]}) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _error(answer)
            with target.open("wb") as result:
                for piece in answer.iter_bytes():
                    result.write(piece)
        done: dict[str, Any] = job
        return done

    def models(self) -> Models:
        """Which models answer, since when, and how good they are."""
        return self._ask(Models, "GET", "/api/v1/models")

    def health(self) -> Health:
        """Whether answers can be trusted now.

        Raises:
            ServiceError: if something is wrong; its problem says what.
        """
        return Health.model_validate_json(self._send("GET", "/health", tries=1).content)

    def _many(self, kind: type[T], path: str, named: str, ids: Iterable[str]) -> Iterator[T]:
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _IDS_PER_REQUEST):
            answer = self._send("POST", path, json={"ids": wanted[start : start + _IDS_PER_REQUEST]}).json()
            yield from (kind.model_validate(row) for row in answer[named])

    def _decide(self, kind: type[T], path: str, body: Mapping[str, Any]) -> T:
        # One name for all tries: a decision whose answer was lost is not recorded twice.
        return self._ask(kind, "PUT", path, json=body, headers={"Idempotency-Key": uuid.uuid4().hex})

    def _ask(self, kind: type[T], method: str, path: str, **given: Any) -> T:
        return kind.model_validate_json(self._send(method, path, **given).content)

    def _send(self, method: str, path: str, *, tries: int | None = None, **given: Any) -> httpx.Response:
        most = self._tries if tries is None else tries
        for attempt in range(1, most + 1):
            # A body that is read as it is sent cannot be sent again.
            is_last = attempt == most or "content" in given
            try:
                answer = self._http.request(method, path, **given)
            except httpx.ConnectError:
                if is_last:
                    raise
                time.sleep(_POLL_SECONDS)
                continue
            if answer.status_code < 400:
                return answer
            if answer.status_code not in _RETRIED or is_last:
                raise _error(answer)
            time.sleep(float(answer.headers.get("retry-after", _POLL_SECONDS)))
        raise AssertionError("the last try returns or raises")


def _error(answer: httpx.Response) -> ServiceError:
    try:
        return ServiceError(Problem.model_validate_json(answer.content))
    except ValueError:
        # Something between here and the service, a proxy perhaps, answered in its own shape.
        found = Problem(
            type="about:blank",
            title=answer.reason_phrase,
            status=answer.status_code,
            detail=f"{answer.request.url} did not answer with a problem of this service",
            field=None,
            next_step="look at what lies between here and the service",
            request_id=answer.headers.get("x-request-id", ""),
        )
        return ServiceError(found)


def _pieces(body: Any, *, size: int = 2**20) -> Iterator[bytes]:
    while piece := body.read(size):
        yield piece


def _quoted(identifier: str) -> str:
    from urllib.parse import quote

    return quote(identifier, safe="")
