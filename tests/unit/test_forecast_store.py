from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError, NotFoundError
from training.forecast.frame import BottomForecast, summarise
from training.forecast.loader import ForecastModel
from training.forecast.periods import Period, parse_period
from training.forecast.reconciliation import build_hierarchy
from training.forecast.store import Forecast, ForecastStore


def make_forecast(*, opened: int = 100_00, version: str = "3") -> Forecast:
    cents = np.full((2, 3), opened, dtype=np.int64)
    bottom = BottomForecast(
        hierarchy=build_hierarchy({"company": ["company"] * 2, "rep": ["R-1", "R-2"]}),
        base=tuple(Period(2026 * 12 + month, 1) for month in range(3)),
        components={"closed": cents * 0, "open": cents, "new": cents, "renewal": cents * 0},
        paths=np.random.default_rng(1).gamma(2.0, 100.0, (50, 2, 3)),
        baselines={"seasonal_naive": np.full((2, 3), 80.0), "commit": np.full((2, 3), np.nan)},
    )
    values = summarise(bottom, [parse_period("2026-01"), parse_period("2026Q1")])
    return Forecast(
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
        kind="pipeline",
        unit="USD",
        model_version=version,
        created_at=datetime(2026, 1, 1, 9, tzinfo=UTC),
        levels=("company", "rep"),
        values=values,
        details={"open_deals": 2},
    )


@pytest.fixture
def store(tmp_path: Path) -> ForecastStore:
    made = ForecastStore(tmp_path / "forecasts")
    made.save(make_forecast())
    return made


def test_an_answer_holds_what_was_forecast_and_what_it_is_made_of(store: ForecastStore) -> None:
    answer = store.answer(level="company", entity_id="company", period="2026Q1")
    assert answer["expected"] == 1200.0
    assert answer["components"] == {"closed": 0.0, "open": 600.0, "new": 600.0, "renewal": 0.0}
    assert answer["baselines"] == {"seasonal_naive": 480.0, "commit": None}
    assert (answer["period_start"], answer["period_end"]) == ("2026-01-01", "2026-03-31")
    assert answer["model_version"] == "3"
    assert answer["as_of"] == "2026-01-01T00:00:00+00:00"
    low, high = answer["intervals"]["80"]["lower"], answer["intervals"]["80"]["upper"]
    assert answer["intervals"]["95"]["lower"] <= low <= answer["median"] <= high <= answer["intervals"]["95"]["upper"]


def test_an_answers_id_gives_the_same_answer_again(store: ForecastStore, tmp_path: Path) -> None:
    answer = store.answer(level="rep", entity_id="R-2", period="2026-01")
    assert ForecastStore(tmp_path / "forecasts").get(answer["forecast_id"]) == answer


def test_a_whole_forecasts_id_gives_its_summary(store: ForecastStore) -> None:
    summary = store.get(store.latest_id())
    assert summary["levels"] == {"company": 1, "rep": 2}
    assert summary["periods"] == ["2026-01", "2026Q1"]
    assert [total["expected"] for total in summary["totals"]] == [400.0, 1200.0]


def test_the_same_forecast_has_the_same_id_and_another_has_another(store: ForecastStore) -> None:
    later = replace(make_forecast(), created_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert later.forecast_id == store.latest_id()
    assert make_forecast(opened=101_00).forecast_id != store.latest_id()


def test_the_newest_saved_forecast_is_answered_with_and_the_old_one_stays(store: ForecastStore) -> None:
    old = store.latest_id()
    new = store.save(make_forecast(opened=200_00, version="4"))
    assert store.latest_id() == new != old
    assert store.answer(level="rep", entity_id="R-1", period="2026-01")["expected"] == 400.0
    assert store.get(old)["model_version"] == "3"


def test_a_forecast_comes_back_from_disk_as_it_was(store: ForecastStore, tmp_path: Path) -> None:
    read = ForecastStore(tmp_path / "forecasts").latest()
    assert read.forecast_id == store.latest_id()
    assert read.values.equals(make_forecast().values)


def test_saving_leaves_no_half_written_folder(store: ForecastStore, tmp_path: Path) -> None:
    store.save(make_forecast())
    names = sorted(path.name for path in (tmp_path / "forecasts").iterdir())
    assert names == [store.latest_id(), "latest.json"]


def test_an_unknown_level_is_not_found_and_the_known_ones_are_named(store: ForecastStore) -> None:
    with pytest.raises(NotFoundError, match=r"no level 'country'.*company, rep") as caught:
        store.answer(level="country", entity_id="x", period="2026Q1")
    assert caught.value.field == "level"


def test_an_unknown_entity_is_not_found_and_some_known_ones_are_named(store: ForecastStore) -> None:
    with pytest.raises(NotFoundError, match=r"no rep 'R-9'.*R-1, R-2") as caught:
        store.answer(level="rep", entity_id="R-9", period="2026Q1")
    assert caught.value.field == "entity_id"


def test_a_period_outside_the_horizon_is_refused_naming_those_inside(store: ForecastStore) -> None:
    with pytest.raises(InputError, match=r"2031Q1 is outside.*2026-01, 2026Q1") as caught:
        store.answer(level="company", entity_id="company", period="2031Q1")
    assert caught.value.field == "period"


def test_a_malformed_period_is_refused(store: ForecastStore) -> None:
    with pytest.raises(InputError, match="'Q1' is not a period"):
        store.answer(level="company", entity_id="company", period="Q1")


@pytest.mark.parametrize("bad", ["nothing", "../../etc/passwd", "", "20260101T000000Z-0000000000-3"])
def test_an_unknown_forecast_id_is_not_found(store: ForecastStore, bad: str) -> None:
    with pytest.raises(NotFoundError, match="no forecast"):
        store.get(bad)


def test_a_row_that_the_forecast_lacks_is_not_found(store: ForecastStore) -> None:
    with pytest.raises(NotFoundError, match="no forecast"):
        store.get(f"{store.latest_id()}-999")


def test_without_any_forecast_the_message_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="salience train forecast"):
        ForecastStore(tmp_path / "nothing").answer(level="company", entity_id="company", period="2026Q1")


def test_the_loaded_model_answers_a_table_of_questions_and_leaves_unknown_ones_missing() -> None:
    import pandas as pd

    asked = pd.DataFrame(
        {"level": ["rep", "rep"], "entity_id": ["R-1", "R-9"], "period": ["2026Q1", "2026Q1"]}, index=[7, 8]
    )
    answers = ForecastModel(make_forecast()).predict(asked)
    assert answers.loc[7, "expected"] == 600.0
    assert np.isnan(answers.loc[8, "expected"])
