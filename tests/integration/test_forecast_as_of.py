"""A forecast of a past day computed today is the one that was made that day; teams and money as they were known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from training.forecast.frame import summarise
from training.forecast.history import LEVELS, PipelineHistory
from training.forecast.levers import Levers
from training.forecast.periods import parse_period, periods_within
from training.forecast.pipeline import PipelineForecast, forecast_pipeline
from training.forecast.store import Forecast
from warehouse.simulator import simulate
from warehouse.simulator.config import SimulationConfig
from warehouse.views import memory_tables

TABLES = ("opportunities", "transactions", "reps", "quotas", "leads")
AT = datetime(2024, 11, 12, 9, 30, tzinfo=UTC)
MONTHS = range(2024 * 12, 2025 * 12 + 6)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    home = tmp_path_factory.mktemp("as-of-world")
    config = SimulationConfig(years=2, reps=9, leads=400, deals=1_500, seed=12)
    simulate(config, landing=home / "landing", truth=home / "truth")
    return {name: pq.read_table(home / "landing" / f"{name}.parquet") for name in TABLES}


def forecast(tables: Mapping[str, pa.Table], *, at: datetime = AT, **options: object) -> PipelineForecast:
    history = PipelineHistory(memory_tables(tables))
    return forecast_pipeline(history, at=at, months=MONTHS, season_length=12, n_paths=100, seed=7, **options)


def known_by(tables: Mapping[str, pa.Table], at: datetime) -> dict[str, pa.Table]:
    return {name: rows.filter(pc.less_equal(rows["created_timestamp"], pa.scalar(at))) for name, rows in tables.items()}


def stored(made: PipelineForecast, *, at: datetime = AT) -> Forecast:
    return Forecast(
        as_of=at,
        kind="pipeline",
        unit="usd",
        model_version="1",
        created_at=at,
        levels=LEVELS,
        values=summarise(made.bottom, periods_within(list(MONTHS))),
        details=made.details,
    )


def with_row(rows: pa.Table, like: dict[str, object], **changed: object) -> pa.Table:
    return pa.concat_tables([rows, pa.Table.from_pylist([{**like, **changed}], schema=rows.schema)])


def test_the_forecast_of_a_past_day_is_the_one_stored_that_day_bit_for_bit(
    world: dict[str, pa.Table], tmp_path: Path
) -> None:
    that_day = stored(forecast(known_by(world, AT)))
    (tmp_path / "kept").mkdir()
    that_day.write(tmp_path / "kept")
    kept, today = Forecast.read(tmp_path / "kept"), stored(forecast(world))
    assert known_by(world, AT)["opportunities"].num_rows < world["opportunities"].num_rows
    assert today.forecast_id == kept.forecast_id
    pd.testing.assert_frame_equal(today.values, kept.values, check_exact=True)
    assert dict(today.details) == dict(kept.details)


def test_amounts_revalued_later_do_not_change_a_past_forecast(world: dict[str, pa.Table]) -> None:
    # Amounts are US dollars from loading on; a later rate of exchange arrives as later versions of the same things.
    later = pa.scalar(AT + timedelta(days=3), world["transactions"]["created_timestamp"].type)

    def revalued(rows: pa.Table) -> pa.Table:
        dearer = rows.set_column(
            rows.column_names.index("amount_usd"), "amount_usd", pc.multiply(rows["amount_usd"], 1.25)
        )
        times = pa.chunked_array([pa.repeat(later, rows.num_rows)])
        return dearer.set_column(rows.column_names.index("created_timestamp"), "created_timestamp", times)

    known = known_by(world, AT)
    both = {name: pa.concat_tables([known[name], revalued(known[name])]) for name in ("opportunities", "transactions")}
    before = forecast(world)
    assert stored(forecast({**known, **both})).forecast_id == stored(before).forecast_id
    after = forecast({**known, **both}, at=AT + timedelta(days=4))
    assert after.bottom.components["closed"].sum() > 1.2 * before.bottom.components["closed"].sum()


def test_a_planned_move_counts_a_rep_with_each_team_in_its_months(world: dict[str, pa.Table]) -> None:
    reps = world["reps"].to_pylist()
    mover = next(row for row in reps if row["rep_id"] == "R-002")
    target = next(row for row in reps if row["rep_id"] == "R-005")
    assert mover["team"] != target["team"]
    moved = with_row(
        world["reps"],
        mover,
        team=target["team"],
        region=target["region"],
        event_timestamp=datetime(2025, 2, 1, tzinfo=UTC),
        created_timestamp=AT - timedelta(days=1),
    )
    usual, planned = forecast(world), forecast({**world, "reps": moved})
    periods = periods_within(list(MONTHS), grains=("month",))
    before, after = (
        summarise(made.bottom, periods).set_index(["level", "entity_id", "period"]) for made in (usual, planned)
    )

    def month(rows: pd.DataFrame, level: str, entity: str, name: str, column: str = "expected") -> float:
        return float(rows.loc[(level, entity, name), column])

    own = month(before, "rep", "R-002", "2025-03")
    assert own > 0
    for name in ("2025-01", "2025-03"):
        for level, entity in (("company", "company"), ("rep", "R-002"), ("rep", "R-005")):
            assert month(after, level, entity, name) == month(before, level, entity, name)
    for team, sign in ((mover["team"], -1), (target["team"], 1)):
        assert month(after, "team", team, "2025-01") == month(before, "team", team, "2025-01")
        change = month(after, "team", team, "2025-03") - month(before, "team", team, "2025-03")
        assert change == pytest.approx(sign * own, abs=0.01)
    cents = (after["expected"] * 100).round().astype("int64")
    by_level = cents.groupby(level=["period", "level"]).sum().unstack()
    assert all((by_level[level] == by_level["company"]).all() for level in LEVELS)


def test_a_move_that_is_not_yet_known_changes_nothing(world: dict[str, pa.Table]) -> None:
    mover = next(row for row in world["reps"].to_pylist() if row["rep_id"] == "R-002")
    unknown = with_row(
        world["reps"],
        mover,
        team="Elsewhere",
        event_timestamp=datetime(2024, 10, 1, tzinfo=UTC),
        created_timestamp=AT + timedelta(days=1),
    )
    assert stored(forecast({**world, "reps": unknown})).forecast_id == stored(forecast(world)).forecast_id


def test_levers_move_what_is_to_come_and_everything_still_adds_up(world: dict[str, pa.Table]) -> None:
    usual = forecast(world)
    better = forecast(world, levers=Levers(win_rate=1.2, amount=1.1, new_business=1.5))
    assert np.array_equal(better.bottom.components["closed"], usual.bottom.components["closed"])
    assert np.array_equal(better.bottom.components["renewal"], usual.bottom.components["renewal"])
    for name in ("open", "new"):
        assert better.bottom.components[name].sum() > 1.2 * usual.bottom.components[name].sum()
    # The same luck: no path is worse off.
    assert (better.bottom.paths.sum(axis=(1, 2)) >= usual.bottom.paths.sum(axis=(1, 2))).all()
    assert forecast(world, levers=Levers()).bottom.paths.tobytes() == usual.bottom.paths.tobytes()


def test_a_longer_cycle_takes_from_near_months_and_gives_to_later_ones(world: dict[str, pa.Table]) -> None:
    usual, slower = forecast(world), forecast(world, levers=Levers(cycle_length=1.5))
    by_month, later = (made.bottom.components["open"].sum(axis=0) for made in (usual, slower))
    now = 10
    assert later[now : now + 3].sum() < by_month[now : now + 3].sum()
    assert later[now + 4 :].sum() > by_month[now + 4 :].sum()


def test_open_deals_are_split_by_stage_and_by_where_their_close_date_lies(world: dict[str, pa.Table]) -> None:
    made = forecast(world)
    row = summarise(made.bottom, [parse_period("2024Q4")]).set_index("level").loc["company"]
    stages = [name for name in row.index if name.startswith("open:")]
    assert len(stages) == 4
    assert sum(round(row[name] * 100) for name in stages) == round(row["open"] * 100)
    assert 0 < row["slipping_in"] < row["open"]
    assert row["slipping_out"] > 0


def test_with_few_outcomes_a_plainer_method_speaks_says_so_and_is_less_sure(world: dict[str, pa.Table]) -> None:
    ids = sorted(set(known_by(world, AT)["opportunities"]["opportunity_id"].to_pylist()))
    few = set(ids[::45])

    def thinned(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.is_in(rows["opportunity_id"], pa.array(sorted(few))))

    small = {**world, "opportunities": thinned(world["opportunities"]), "transactions": thinned(world["transactions"])}
    made, usual = forecast(small), forecast(world)
    assert made.details["method"] == "plain"
    assert made.details["outcomes"] < 40
    assert any("deals are decided" in note for note in made.details["notes"])
    assert relative_width(made) > 2 * relative_width(usual)


def test_under_two_seasons_no_season_is_taken_and_the_forecast_says_so(world: dict[str, pa.Table]) -> None:
    made = forecast(world)
    assert made.details["method"] == "months"
    assert made.details["season_by_quarter"] == [1.0, 1.0, 1.0, 1.0]
    assert any("less than two seasons" in note for note in made.details["notes"])


def relative_width(made: PipelineForecast) -> float:
    row = summarise(made.bottom, [parse_period("2025Q1")]).set_index("level").loc["company"]
    return float((row["upper_80"] - row["lower_80"]) / row["expected"])
