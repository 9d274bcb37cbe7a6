"""The protocol of the public tourism set: the last 8 quarters, season 4, no worse than the better naive answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.forecast.candidates import forecast_with
from training.forecast.metrics import wape
from training.forecast.series import apply_recipe, learn_recipe
from training.forecast.series_data import SeriesData, arrange_series

PUBLISHED = {"total": 0.0558, "state": 0.0796, "region": 0.1264, "series": 0.1998}


def read_tourism(shared_data: Path) -> pd.DataFrame:
    path = shared_data / "tourism" / "tourism.parquet"
    if not path.is_file():
        pytest.skip(f"the tourism set is not at {path}")
    raw = pd.read_parquet(path)
    return pd.DataFrame(
        {
            "series_id": raw["State"] + "/" + raw["Region"] + "/" + raw["Purpose"],
            "level_1": raw["State"],
            "level_2": raw["Region"],
            "period_start": raw["Quarter"].dt.date,
            "frequency": "QS",
            "value": raw["Trips"],
        }
    )


def naive_wape(data: SeriesData, method: str) -> dict[str, float]:
    actual = data.hierarchy.summing @ data.bottom[:, -8:]
    said = data.hierarchy.summing @ forecast_with(method, data.bottom[:, :-8], h=8, season_length=4).mean
    return {level: wape(actual[data.hierarchy.rows(level)], said[data.hierarchy.rows(level)]) for level in PUBLISHED}


def our_wape(data: SeriesData) -> dict[str, float]:
    past = data.until(len(data.periods) - 8)
    recipe = learn_recipe(past.bottom, past.hierarchy, h=8, season_length=4)
    made = apply_recipe(recipe, past.bottom, past.hierarchy, h=8, season_length=4, n_paths=2, seed=7)
    actual, said = data.hierarchy.summing @ data.bottom[:, -8:], data.hierarchy.summing @ made.bottom
    return {
        level: wape(actual[data.hierarchy.rows(level)], said[data.hierarchy.rows(level)])
        for level in data.hierarchy.levels
    }


def test_the_published_naive_figures_come_out(shared_data: Path) -> None:
    data = arrange_series(read_tourism(shared_data), level_names=("state", "region"))
    assert data.bottom.shape == (304, 80)
    better = {
        level: min(naive_wape(data, name)[level] for name in ("seasonal_naive", "season_mean", "last_value"))
        for level in PUBLISHED
    }
    assert better == pytest.approx(PUBLISHED, abs=0.00006)


@pytest.mark.slow
def test_the_forecast_of_states_and_purposes_is_no_worse_than_seasonal_naive(shared_data: Path) -> None:
    rows = read_tourism(shared_data)
    rows["series_id"] = rows["level_1"] + "/" + rows["series_id"].str.rsplit("/", n=1).str[-1]
    small = rows.groupby(["series_id", "level_1", "period_start", "frequency"], as_index=False)["value"].sum()
    data = arrange_series(small.assign(level_2=None), level_names=("state", "region"))
    assert data.bottom.shape == (32, 80)
    ours = our_wape(data)
    actual = data.hierarchy.summing @ data.bottom[:, -8:]
    said = data.hierarchy.summing @ forecast_with("seasonal_naive", data.bottom[:, :-8], h=8, season_length=4).mean
    for level in data.hierarchy.levels:
        at = data.hierarchy.rows(level)
        assert ours[level] <= wape(actual[at], said[at])


@pytest.mark.slow
def test_the_forecast_is_no_worse_than_the_better_naive_answer_at_each_level(shared_data: Path) -> None:
    data = arrange_series(read_tourism(shared_data), level_names=("state", "region"))
    ours = our_wape(data)
    assert np.isfinite(list(ours.values())).all()
    for level, better in PUBLISHED.items():
        assert ours[level] <= better
