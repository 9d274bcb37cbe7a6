"""`train_forecast` from the warehouse to the answered question, with the real registry, on a few series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from common.errors import ContractError, InputError, TooLittleDataError
from common.settings import Settings
from common.workspace import Workspace
from training.forecast.series import apply_recipe, learn_recipe
from training.forecast.series_data import arrange_series
from training.forecast.store import ForecastStore
from training.forecast.train import train_forecast
from training.registry import ModelRegistry
from warehouse.sources import load_source
from warehouse.store import Warehouse

N_PERIODS = 44


def series_rows(n_periods: int = N_PERIODS) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    starts = pd.date_range("2010-01-01", periods=n_periods, freq="QS")
    frames = []
    for state in ("North", "South"):
        for region in ("A", "B"):
            season = np.tile([100.0, 130.0, 90.0, 110.0], n_periods // 4 + 1)[:n_periods]
            frames.append(
                pd.DataFrame(
                    {
                        "series_id": f"{state}/{region}",
                        "level_1": state,
                        "level_2": region,
                        "period_start": starts.date,
                        "frequency": "QS",
                        "value": season * (1 + 0.05 * rng.normal(size=n_periods)),
                    }
                )
            )
    rows = pd.concat(frames, ignore_index=True)
    rows["value_id"] = rows["series_id"] + "@" + rows["period_start"].astype(str)
    known = pd.to_datetime(rows["period_start"], utc=True) + pd.DateOffset(months=3)
    return rows.assign(event_timestamp=known, created_timestamp=known)


def test_a_forecast_is_trained_registered_answered_and_refreshed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", mlruns=tmp_path / "mlruns", workspace="tourism")
    workspace, registry = Workspace.of(settings), ModelRegistry(settings)
    warehouse = Warehouse(workspace.warehouse)
    warehouse.append("series_values", pa.Table.from_pandas(series_rows(), preserve_index=False), origin="test")
    source = load_source("tourism")
    repository = SimpleNamespace(workspace=workspace)
    outcome = train_forecast(repository, warehouse, registry, source, settings=settings)
    assert outcome.decision.promoted
    assert outcome.metrics["wape_total"].value <= outcome.baselines["last_value"]["wape_total"].value
    assert outcome.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    store = ForecastStore(workspace.forecasts)
    answer = store.answer(**outcome.question)
    assert answer == outcome.upcoming
    assert answer["model_version"] == outcome.version
    assert answer["period"] == "2021Q1"
    predicted = registry.load_pyfunc(outcome.name).predict(pd.DataFrame([outcome.question]))
    assert predicted["expected"].tolist() == [answer["expected"]]
    quality = registry.quality(outcome.name)
    assert quality["metrics"]["wape_total"] == pytest.approx(outcome.metrics["wape_total"].value)
    again = train_forecast(repository, warehouse, registry, source, settings=settings)
    assert again.decision.promoted
    assert "same method" in again.decision.reason
    assert store.answer(**again.question)["expected"] == answer["expected"]


def test_a_source_without_a_forecast_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlruns=tmp_path / "mlruns")
    workspace = Workspace.of(settings)
    source = replace(load_source("tourism"), forecast=None)
    with pytest.raises(InputError, match="feeds no forecast"):
        train_forecast(
            SimpleNamespace(workspace=workspace),
            Warehouse(workspace.warehouse),
            ModelRegistry(settings),
            source,
            settings=settings,
        )


def test_series_with_gaps_are_refused_naming_them() -> None:
    rows = series_rows().drop(index=3)
    with pytest.raises(ContractError, match=r"1 of 4 series have missing periods \(first: North/A\)"):
        arrange_series(rows)


def test_a_period_that_no_series_has_is_refused_naming_its_neighbours() -> None:
    rows = series_rows()
    gap = rows[rows["period_start"] != pd.Timestamp("2012-04-01").date()]
    with pytest.raises(ContractError, match="between 2012Q1 and 2012Q3"):
        arrange_series(gap)


def test_mixed_frequencies_are_refused() -> None:
    rows = series_rows()
    rows.loc[0, "frequency"] = "MS"
    with pytest.raises(ContractError, match="different frequencies"):
        arrange_series(rows)


def test_too_few_periods_for_rolling_origins_are_refused_with_the_number_needed() -> None:
    data = arrange_series(series_rows(20))
    with pytest.raises(TooLittleDataError, match="at least 26 periods"):
        learn_recipe(data.bottom, data.hierarchy, h=8, season_length=4)


def test_paths_add_up_and_their_median_is_the_forecast() -> None:
    data = arrange_series(series_rows())
    recipe = learn_recipe(data.bottom, data.hierarchy, h=4, season_length=4, n_windows=3)
    made = apply_recipe(recipe, data.bottom, data.hierarchy, h=4, season_length=4, n_paths=200, seed=7)
    again = apply_recipe(recipe, data.bottom, data.hierarchy, h=4, season_length=4, n_paths=200, seed=7)
    assert np.array_equal(made.paths, again.paths)
    levels = data.hierarchy.summing @ made.paths
    assert levels[:, 0] == pytest.approx(made.paths.sum(axis=1))
    assert np.median(made.paths, axis=0) == pytest.approx(made.bottom, rel=0.02)


def test_the_choice_does_not_see_what_comes_after() -> None:
    rows = series_rows()
    changed = rows.copy()
    late = pd.to_datetime(changed["period_start"]) >= pd.Timestamp("2019-01-01")
    changed.loc[late, "value"] *= 10
    recipes = []
    for frame in (rows, changed):
        past = arrange_series(frame).until(36)
        recipes.append(learn_recipe(past.bottom, past.hierarchy, h=4, season_length=4, n_windows=2).describe())
    assert recipes[0] == recipes[1]
