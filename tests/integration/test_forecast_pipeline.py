"""The forecast from deals on a small simulated world: as-of honesty, reproducibility, adding up, the backtest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from common.errors import TooLittleDataError
from training.forecast.backtest import backtest_metrics, backtest_origins, backtest_pipeline
from training.forecast.frame import summarise
from training.forecast.history import LEVELS, PipelineHistory
from training.forecast.learning import learn_pipeline
from training.forecast.periods import parse_period, periods_within
from training.forecast.pipeline import PipelineForecast, WinProbabilities, forecast_pipeline
from warehouse.simulator import simulate
from warehouse.simulator.config import SimulationConfig
from warehouse.views import memory_tables

TABLES = ("opportunities", "transactions", "reps", "quotas", "leads")
AT = datetime(2024, 10, 1, tzinfo=UTC)
MONTHS = range(2024 * 12, 2025 * 12 + 3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    home = tmp_path_factory.mktemp("world")
    config = SimulationConfig(years=2, reps=9, leads=400, deals=1_500, seed=11)
    simulate(config, landing=home / "landing", truth=home / "truth")
    return {name: pq.read_table(home / "landing" / f"{name}.parquet") for name in TABLES}


def forecast(tables: Mapping[str, pa.Table], *, seed: int = 7, **options: object) -> PipelineForecast:
    history = PipelineHistory(memory_tables(tables))
    return forecast_pipeline(history, at=AT, months=MONTHS, season_length=12, n_paths=200, seed=seed, **options)


@pytest.fixture(scope="module")
def made(world: dict[str, pa.Table]) -> PipelineForecast:
    return forecast(world)


def assert_same(one: PipelineForecast, other: PipelineForecast) -> None:
    assert np.array_equal(one.bottom.paths, other.bottom.paths)
    for name, cents in one.bottom.components.items():
        assert np.array_equal(cents, other.bottom.components[name])
    for name, values in one.bottom.baselines.items():
        assert np.array_equal(values, other.bottom.baselines[name], equal_nan=True)
    assert one.details == other.details


def test_what_is_recorded_after_the_moment_changes_nothing_bit_for_bit(
    world: dict[str, pa.Table], made: PipelineForecast
) -> None:
    known = {name: rows.filter(pc.less_equal(rows["created_timestamp"], pa.scalar(AT))) for name, rows in world.items()}
    assert any(known[name].num_rows < world[name].num_rows for name in TABLES)
    assert_same(forecast(known), made)


def test_the_order_of_rows_changes_nothing(world: dict[str, pa.Table], made: PipelineForecast) -> None:
    rng = np.random.default_rng(1)
    shuffled = {name: rows.take(pa.array(rng.permutation(rows.num_rows))) for name, rows in world.items()}
    assert_same(forecast(shuffled), made)


def test_another_seed_changes_the_paths_but_not_the_expected_business(
    world: dict[str, pa.Table], made: PipelineForecast
) -> None:
    other = forecast(world, seed=8)
    assert not np.array_equal(other.bottom.paths, made.bottom.paths)
    for name in ("closed", "new", "renewal"):
        assert np.array_equal(other.bottom.components[name], made.bottom.components[name])


def test_the_paths_mean_is_the_expected_business(made: PipelineForecast) -> None:
    future = sum(made.bottom.components[name] for name in ("open", "new", "renewal")).sum() / 100
    assert made.bottom.paths.sum(axis=(1, 2)).mean() == pytest.approx(future, rel=0.05)


def test_every_level_and_period_adds_up_to_the_cent(made: PipelineForecast) -> None:
    values = summarise(made.bottom, periods_within(list(MONTHS)))
    values["cents"] = (values["expected"] * 100).round().astype("int64")
    by_level = values.groupby(["period", "level"])["cents"].sum().unstack()
    for level in LEVELS:
        assert (by_level[level] == by_level["company"]).all()
    by_period = values.pivot(index=["level", "entity_id"], columns="period", values="cents")
    assert (by_period[["2025-01", "2025-02", "2025-03"]].sum(axis=1) == by_period["2025Q1"]).all()
    assert (by_period[[f"2024Q{quarter}" for quarter in range(1, 5)]].sum(axis=1) == by_period["2024"]).all()


def test_the_deal_models_probabilities_decide_what_open_deals_are_worth(
    world: dict[str, pa.Table], made: PipelineForecast
) -> None:
    history = PipelineHistory(memory_tables(world))
    ids = history.deals(AT).query("status == 'open'")["opportunity_id"]
    nothing = WinProbabilities(pd.Series(0.0, index=ids), horizon_days=4000)
    none_won = forecast(world, win_probabilities=nothing)
    assert none_won.bottom.components["open"].sum() == 0
    certain = forecast(world, win_probabilities=WinProbabilities(pd.Series(1.0, index=ids), horizon_days=183))
    assert certain.bottom.components["open"].sum() > made.bottom.components["open"].sum() * 1.5


def test_the_backtest_judges_whole_quarters_and_beats_the_commit(world: dict[str, pa.Table]) -> None:
    history = PipelineHistory(memory_tables(world))
    cut = datetime(2024, 12, 31, 23, 0, tzinfo=UTC)
    quarters = backtest_origins(history, until=cut, most=6)
    assert [quarter.name for quarter in quarters] == ["2024Q1", "2024Q2", "2024Q3", "2024Q4"]
    rows, factors = backtest_pipeline(history, quarters, until=cut, season_length=12, n_paths=200, seed=7)
    quarterly = rows[rows["grain"] == "quarter"]
    booked = world["transactions"].to_pandas()
    inside = (booked["event_timestamp"] >= quarters[-1].start) & (booked["event_timestamp"] < quarters[-1].stop)
    company = quarterly[quarterly["level"] == "company"].set_index("period")
    assert company.loc["2024Q4", "actual"] == pytest.approx(booked.loc[inside, "amount_usd"].sum())
    metrics = backtest_metrics(quarterly, LEVELS)
    commit = (company["commit"] - company["actual"]).abs().sum() / company["actual"].sum()
    assert metrics["wape_company"] < commit
    assert set(factors) == {f"{level}{group}" for level in LEVELS for group in ("", ":month", ":later")}


def test_a_backtest_within_the_quarter_gets_nearer_as_it_goes_on(world: dict[str, pa.Table]) -> None:
    history = PipelineHistory(memory_tables(world))
    cut = datetime(2024, 12, 31, 23, 0, tzinfo=UTC)
    quarters = backtest_origins(history, until=cut, most=2)
    told: list[tuple[int, int]] = []
    rows, factors = backtest_pipeline(
        history,
        quarters,
        until=cut,
        season_length=12,
        n_paths=60,
        seed=7,
        within=True,
        progress=lambda _what, done, total: told.append((done, total)),
    )
    assert told == [(done, 6) for done in range(6)]
    company = rows[rows["level"] == "company"]
    assert company.groupby("grain").size().to_dict() == {
        "month": 6,
        "next_quarter": 1,
        "quarter": 2,
        "rest_of_quarter": 4,
    }
    assert {"company:rest", "rep:rest", "team:later"} <= set(factors)
    last = company[company["period"] == "2024Q4"].set_index("origin").sort_index()
    closed = last.loc[last["grain"].isin(["quarter", "rest_of_quarter"]), "closed"].tolist()
    assert closed[0] == 0 < closed[1] < closed[2]
    width = (last["upper_80"] - last["lower_80"])[last["grain"].isin(["quarter", "rest_of_quarter"])].tolist()
    assert width[2] < width[0]


def test_a_backtest_of_no_quarter_is_refused(world: dict[str, pa.Table]) -> None:
    history = PipelineHistory(memory_tables(world))
    with pytest.raises(TooLittleDataError, match="needs a whole quarter with a year of deals before it"):
        backtest_pipeline(history, [], until=AT, season_length=12, n_paths=10, seed=7)


def test_the_deal_models_own_months_stand_where_they_are_told(world: dict[str, pa.Table]) -> None:
    history = PipelineHistory(memory_tables(world))
    ids = history.open_deals(AT)["opportunity_id"]
    by_month = pd.DataFrame(0.0, index=ids, columns=range(12))
    by_month[2] = 0.5
    told = WinProbabilities(pd.Series(0.5, index=ids), horizon_days=183, by_month=by_month)
    made = forecast(world, win_probabilities=told)
    opened = made.bottom.components["open"].sum(axis=0)
    amount = history.open_deals(AT)["amount_usd"].sum()
    # October is the tenth month: what is won in the third month from it is booked in December.
    assert opened[9] == opened[10] == 0
    assert opened[11] / 100 == pytest.approx(0.5 * amount * made.details["booked_over_entered"], rel=0.02)


def test_within_a_month_the_levels_stay_what_whole_months_have_told(world: dict[str, pa.Table]) -> None:
    history = PipelineHistory(memory_tables(world))
    moments = (AT, AT + timedelta(days=9), AT + timedelta(days=20))
    options = {"months": MONTHS, "season_length": 12, "n_paths": 50, "seed": 7}
    made = [forecast_pipeline(history, at=moment, **options) for moment in moments]
    for level in ("level_of_moves_ahead", "level_of_losses", "level_of_new_wins"):
        found = [one.details[level] for one in made]
        assert found == pytest.approx([found[0]] * 3, abs=0.02), level
    # What is yet to be created becomes less as the month goes by.
    new = [one.bottom.components["new"].sum() for one in made]
    assert new[0] > new[1] > new[2] > 0


def test_too_short_a_history_is_refused_with_what_is_needed(world: dict[str, pa.Table]) -> None:
    history = PipelineHistory(memory_tables(world))
    early = datetime(2023, 3, 1, tzinfo=UTC)
    with pytest.raises(TooLittleDataError, match=r"needs 6 months of deals.*Got: 1"):
        forecast_pipeline(
            history, at=early, months=range(2023 * 12, 2023 * 12 + 6), season_length=12, n_paths=10, seed=7
        )


def test_a_moment_within_a_month_forecasts_the_rest_of_it(world: dict[str, pa.Table]) -> None:
    history = PipelineHistory(memory_tables(world))
    half = AT + timedelta(days=15)
    made = forecast_pipeline(history, at=half, months=MONTHS, season_length=12, n_paths=50, seed=7)
    october = parse_period("2024-10")
    values = summarise(made.bottom, [october]).set_index("level").loc["company"]
    assert values["closed"] > 0
    assert values["expected"] > values["closed"]


def test_an_hour_before_a_month_begins_it_is_expected_to_bring_what_it_is_at_its_start(
    world: dict[str, pa.Table], made: PipelineForecast
) -> None:
    # The last month of a quarter was over, the first of the next begins: wins of the two are unlike.
    history = PipelineHistory(memory_tables(world))
    options = {"months": MONTHS, "season_length": 12, "n_paths": 50, "seed": 7}
    before = forecast_pipeline(history, at=AT - timedelta(hours=1), **options)
    month = MONTHS.index(AT.year * 12 + AT.month - 1)
    for part in ("open", "new", "renewal"):
        one, other = (of.bottom.components[part][:, month].sum() for of in (before, made))
        assert one == pytest.approx(other, rel=0.1), part


def test_a_deal_whose_sale_is_known_is_not_open_though_it_says_so(world: dict[str, pa.Table]) -> None:
    known = world["transactions"].filter(pc.less_equal(world["transactions"]["created_timestamp"], pa.scalar(AT)))
    deals = learn_pipeline(
        PipelineHistory(memory_tables(world)), at=AT, season_length=12, seed=7
    ).deals  # fmt: skip
    deal = deals["opportunity_id"].iloc[0]
    sale = known.filter(pc.equal(known["kind"], "booking")).slice(0, 1).to_pylist()[0]
    sale |= {"transaction_id": "T-more", "opportunity_id": deal, "rep_id": deals["rep_id"].iloc[0]}
    hour = timedelta(hours=1)
    found = {}
    for name, told in {"known": AT - hour, "not known": AT + hour}.items():
        row = {**sale, "event_timestamp": AT - 2 * hour, "created_timestamp": told}
        money = pa.concat_tables([known, pa.Table.from_pylist([row], schema=known.schema)])
        history = PipelineHistory(memory_tables({**world, "transactions": money}))
        found[name] = set(learn_pipeline(history, at=AT, season_length=12, seed=7).deals["opportunity_id"])
    assert found["not known"] - found["known"] == {deal}
