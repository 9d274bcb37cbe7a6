"""The naive answers of a pipeline, by hand-made numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from common.errors import TooLittleDataError
from training.forecast.history import PipelineHistory
from training.forecast.periods import Period, parse_period
from training.forecast.pipeline_baselines import pipeline_baselines, quota_values, stage_win_rates
from warehouse.views import memory_tables

AT = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = range(2026 * 12, 2026 * 12 + 3)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def deal(key: str, when: str, status: str = "open", **extra: object) -> dict[str, object]:
    row = {
        "opportunity_id": key,
        "opened_at": moment("2025-11-15"),
        "status": status,
        "stage": "Proposal",
        "rep_id": "R-1",
        "amount_usd": 1000.0,
        "close_date": date(2026, 2, 10),
        "forecast_category": "pipeline",
        "event_timestamp": moment(when),
        "created_timestamp": moment(when),
    }
    return {**row, **extra}


def money(key: str, when: str, amount: float, rep: str = "R-1") -> dict[str, object]:
    return {
        "transaction_id": key,
        "rep_id": rep,
        "amount_usd": amount,
        "kind": "booking",
        "event_timestamp": moment(when),
        "created_timestamp": moment(when),
    }


def rep(key: str) -> dict[str, object]:
    then = moment("2024-01-01")
    return {
        "rep_id": key,
        "team": "T",
        "region": "R",
        "is_active": True,
        "event_timestamp": then,
        "created_timestamp": then,
    }


def history(**tables: list[dict[str, object]]) -> PipelineHistory:
    rows = {"reps": [rep("R-1"), rep("R-2")], "transactions": [money("t0", "2024-01-15", 1.0)], **tables}
    return PipelineHistory(memory_tables({name: pa.Table.from_pylist(given) for name, given in rows.items()}))


def baselines(made: PipelineHistory) -> dict[str, np.ndarray]:
    none = np.zeros((3, 3))
    return pipeline_baselines(made, ["R-1", "R-2", "unassigned"], at=AT, months=MONTHS, renewals=none)


def test_seasonal_naive_is_the_month_a_year_before_and_the_mean_that_of_the_last_year() -> None:
    booked = [money("a", "2025-02-10", 600.0), money("b", "2025-02-20", 60.0, "R-2"), money("c", "2025-12-31", 540.0)]
    found = baselines(
        history(opportunities=[deal("d", "2025-12-01")], transactions=[*booked, money("z", "2024-06-01", 9.0)])
    )
    assert found["seasonal_naive"].tolist() == [[0.0, 600.0, 0.0], [0.0, 60.0, 0.0], [0.0, 0.0, 0.0]]
    assert found["last_year_mean"][:, 0].tolist() == pytest.approx([1140 / 12, 60 / 12, 0.0])


def test_a_history_shorter_than_a_year_has_no_naive_answer_from_it() -> None:
    found = baselines(history(opportunities=[deal("d", "2025-12-01")], transactions=[money("a", "2025-02-10", 600.0)]))
    assert np.isnan(found["seasonal_naive"][:, 0]).all()
    assert found["seasonal_naive"][0, 1] == 600.0
    assert np.isnan(found["last_year_mean"]).all()


def test_commit_is_what_reps_call_commit_in_the_month_it_is_due_and_overdue_deals_are_due_now() -> None:
    deals = [
        deal("due", "2025-12-01", forecast_category="commit", amount_usd=100.0),
        deal("overdue", "2025-12-01", forecast_category="commit", amount_usd=10.0, close_date=date(2025, 12, 1)),
        deal("far", "2025-12-01", forecast_category="commit", amount_usd=7.0, close_date=date(2026, 9, 1)),
        deal("best", "2025-12-01", forecast_category="best_case", amount_usd=1000.0),
        deal("other", "2025-12-01", forecast_category="commit", amount_usd=3.0, rep_id="R-unknown"),
    ]
    found = baselines(history(opportunities=deals))["commit"]
    assert found.tolist() == [[10.0, 100.0, 0.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]]


def test_stage_win_rates_count_decided_deals_by_the_stage_they_were_seen_in() -> None:
    deals = []
    for number in range(40):
        stage = "Early" if number < 20 else "Late"
        # Of 20 early ones 5 are won, of 20 late ones 15; ten more are open and count for nothing.
        won = number % 20 < (5 if stage == "Early" else 15)
        deals += [
            deal(f"d{number}", "2025-10-10", stage=stage),
            deal(f"d{number}", "2025-12-10", "won" if won else "lost", stage="Closed"),
        ]
    deals += [deal(f"o{number}", "2025-10-10", stage="Early") for number in range(10)]
    made = history(opportunities=deals)
    rates, overall = stage_win_rates(made, at=AT, moments=[moment("2025-11-01"), moment("2025-12-01")])
    assert overall == 0.5
    # Shrunk towards the rate of all as if ten more deals had it.
    assert rates.to_dict() == pytest.approx({"Early": (5 + 5) / 30, "Late": (15 + 5) / 30})
    weighted = baselines(made)["stage_weighted_pipeline"]
    assert weighted[0].tolist() == pytest.approx([0.0, 10 * 1000.0 / 3, 0.0])


def test_an_outcome_recorded_after_the_moment_is_not_known_at_it() -> None:
    late = deal("d", "2025-12-20", "won", created_timestamp=moment("2026-01-05"))
    made = history(opportunities=[deal("d", "2025-11-20"), late])
    assert made.deals(AT)["status"].tolist() == ["open"]
    assert made.outcomes(AT).empty
    assert made.deals(moment("2026-01-06"))["status"].tolist() == ["won"]


def test_quotas_are_given_for_quarters_and_for_years_with_all_four() -> None:
    def quota(entity: str, quarter: int, amount: float) -> dict[str, object]:
        start = date(2026, 3 * quarter - 2, 1)
        return {
            "quota_id": f"{entity}{quarter}",
            "level": "rep",
            "entity_id": entity,
            "period_start": start,
            "period_end": start,
            "amount_usd": amount,
            "event_timestamp": moment("2025-12-01"),
            "created_timestamp": moment("2025-12-01"),
        }

    rows = [quota("R-1", quarter, 10.0 * quarter) for quarter in range(1, 5)] + [quota("R-2", 1, 5.0)]
    made = history(opportunities=[deal("d", "2025-12-01")], quotas=rows)
    found = quota_values(made, [Period(2026 * 12, 1), parse_period("2026Q1"), parse_period("2026")], at=AT)
    assert found.set_index(["entity_id", "period"])["quota"].to_dict() == {
        ("R-1", "2026Q1"): 10.0,
        ("R-2", "2026Q1"): 5.0,
        ("R-1", "2026"): 100.0,
    }


def test_a_source_without_money_is_refused_naming_the_table() -> None:
    with pytest.raises(TooLittleDataError, match="no rows in"):
        PipelineHistory(memory_tables({"opportunities": pa.Table.from_pylist([deal("d", "2025-12-01")])}))
