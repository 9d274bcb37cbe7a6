"""The backtest's figures against the textbook, and the page that people read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.forecast.backtest_figures import (
    OURS,
    best_baseline,
    change_sentences,
    figures_of,
    pinball_loss,
    width_sentences,
    widths,
    with_distance,
)
from training.forecast.backtest_report import BacktestContents, backtest_document, write_backtest_report
from training.forecast.plots import short_amount
from training.forecast.report import amount_cell, figures_row, share_cell

LEVELS, BASELINES = ("company", "rep"), ("naive", "commit")


def row(
    origin: str, quarter: int, level: str, expected: float, actual: float, *, width: float = 20.0, naive: float = 90.0
) -> dict[str, object]:
    start = pd.Timestamp(2024 + (quarter - 1) // 4, 3 * ((quarter - 1) % 4) + 1, 1)
    return {
        "level": level,
        "entity_id": level if level == "company" else "R-1",
        "period": f"{start.year}Q{start.quarter}",
        "period_start": start.date(),
        "period_end": (start + pd.DateOffset(months=3) - pd.Timedelta(days=1)).date(),
        "origin": pd.Timestamp(origin, tz="UTC"),
        "expected": expected,
        "median": expected,
        "lower_80": expected - width,
        "upper_80": expected + width,
        "lower_95": expected - 2 * width,
        "upper_95": expected + 2 * width,
        "actual": actual,
        "naive": naive,
        "commit": np.nan if quarter == 1 else 80.0,
    }


STARTS = ["2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01", "2025-01-01"]


def rows(actual: list[float] | None = None, *, width: list[float] | None = None) -> pd.DataFrame:
    came = actual or [100.0, 110.0, 90.0, 100.0, 130.0]
    wide = width or [20.0] * 5
    found = [
        row(start, number + 1, level, 100.0, came[number], width=wide[number])
        for number, start in enumerate(STARTS)
        for level in LEVELS
    ]
    return pd.DataFrame(found)


def contents(frame: pd.DataFrame, *, notes: tuple[str, ...] = ()) -> BacktestContents:
    return BacktestContents(
        name="toy <b>",
        as_of=datetime(2025, 4, 1, tzinfo=UTC),
        unit="USD",
        levels=LEVELS,
        baselines=BASELINES,
        rows=frame,
        params={"origins": 5, "seed": 7},
        notes=notes,
    )


def test_errors_are_those_of_the_textbook() -> None:
    found = figures_of(rows(), levels=LEVELS, baselines=BASELINES)
    ours = next(one for one in found if (one.level, one.method) == ("company", OURS))
    assert ours.rows == 5
    assert ours.wape == pytest.approx(50 / 530)
    assert ours.mae == pytest.approx(10.0)
    assert ours.bias == pytest.approx(-30 / 530)
    assert ours.mape == pytest.approx(np.mean([0, 10 / 110, 10 / 90, 0, 30 / 130]))
    assert (ours.coverage_80, ours.coverage_95) == (0.8, 1.0)
    naive = next(one for one in found if (one.level, one.method) == ("company", "naive"))
    assert naive.coverage_80 is None
    # A point stands for each of five quantiles, whose shares are symmetric: half the absolute error.
    assert naive.pinball == pytest.approx(naive.mae / 2 / 106.0)


def test_pinball_is_koenkers() -> None:
    actual, said = np.array([10.0, 0.0]), np.array([4.0, 4.0])
    assert pinball_loss(actual, said, share=0.9) == pytest.approx((0.9 * 6 + 0.1 * 4) / 2)


def test_a_baseline_that_does_not_answer_everywhere_is_no_rival() -> None:
    found = figures_of(rows(), levels=LEVELS, baselines=BASELINES)
    best = best_baseline(found, "company", "quarter")
    assert best is not None
    assert best.method == "naive"
    assert best_baseline(found, "planet", "quarter") is None


def test_distance_is_in_weeks_before_the_periods_end() -> None:
    late = pd.DataFrame([row("2024-02-01", 1, "company", 100.0, 100.0), row("2024-01-01", 1, "company", 90.0, 100.0)])
    assert with_distance(late)["weeks_before_end"].tolist() == [9, 13]
    found = figures_of(late, levels=LEVELS, baselines=())
    assert [(one.weeks_before_end, one.mae) for one in found] == [(None, 5.0), (13, 10.0), (9, 0.0)]


def test_a_range_that_widens_before_a_miss_is_told() -> None:
    frame = rows([100.0, 100.0, 100.0, 100.0, 70.0], width=[10.0, 10.0, 10.0, 10.0, 35.0])
    (sentence,) = width_sentences(widths(frame, level="company"))
    assert sentence.startswith(
        "It widened (+250%): the range of 2025Q1, 13 weeks before its end, was 70% of the forecast, after 20% before"
    )
    assert sentence.endswith("what came was 30% below the forecast, and held.")


def test_a_miss_without_a_wider_range_is_told_too() -> None:
    frame = rows([100.0, 100.0, 100.0, 100.0, 160.0])
    (sentence,) = width_sentences(widths(frame, level="company"))
    assert sentence.startswith("It did not widen")
    assert "60% above the forecast, and missed" in sentence


def test_misses_of_one_period_are_told_in_one_sentence() -> None:
    usual = rows([100.0, 100.0, 100.0, 100.0, 160.0])
    later = usual.assign(origin=usual["origin"] + pd.Timedelta(weeks=4), expected=usual["expected"] * 1.1)
    (sentence,) = width_sentences(widths(pd.concat([usual, later]), level="company"))
    assert "the range of 2025Q1, 13 and 9 weeks before its end, was 36% to 40% of the forecast" in sentence
    assert sentence.endswith("what came was 45% to 60% above the forecast, and missed each time.")


def test_origins_that_saw_a_change_are_told_with_their_ranges() -> None:
    frame = rows(width=[10.0, 10.0, 10.0, 10.0, 30.0])
    assert change_sentences(frame, level="company") == []
    frame["times_have_changed"] = frame["origin"] == pd.Timestamp("2025-01-01", tz="UTC")
    (sentence,) = change_sentences(frame, level="company")
    assert sentence.startswith("At 1 of 5 origins, first on 2025-01-01, the forecast said that the times had changed")
    assert "its 80% ranges were 60% of the forecast there, and 20% at the same distances elsewhere" in sentence
    assert widths(frame, level="company")["times_have_changed"].sum() == 1
    (nothing,) = change_sentences(frame.assign(times_have_changed=False), level="company")
    assert nothing.startswith("At no origin")
    (always,) = change_sentences(frame.assign(times_have_changed=True), level="company")
    assert always.endswith("the forecast said that the times had changed.")


def test_the_document_holds_verdict_figures_and_origins_and_is_plain_json() -> None:
    told = backtest_document(contents(rows(), notes=("A note.",)))
    assert told["verdict"][0] == (
        "company, quarters: error 9.4 %, 37 % less than the best naive answer, naive (15.1 %); bias -5.7 %."
    )
    assert told["verdict"][-1] == "A note."
    assert any("5 quarters are few" in line for line in told["verdict"])
    assert [one["period"] for one in told["origins"]][:2] == ["2024Q1", "2024Q2"]
    json.dumps(told, allow_nan=False)


def test_the_page_needs_no_other_file_escapes_names_and_has_its_figures_beside_it(tmp_path: Path) -> None:
    path = write_backtest_report(contents(rows()), tmp_path / "reports" / "backtest.html")
    text = path.read_text(encoding="utf-8")
    assert "toy &lt;b&gt;" in text
    assert "toy <b>" not in text
    assert "src=" not in text
    assert 'href="http' not in text
    assert text.count("<svg") == 4
    beside = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert beside["levels"] == ["company", "rep"]


def test_several_distances_get_a_plot_and_a_table_of_their_own(tmp_path: Path) -> None:
    frame = pd.concat([rows(), rows().assign(origin=lambda r: r["origin"] + pd.Timedelta(days=31))])
    path = write_backtest_report(contents(frame), tmp_path / "b.html")
    text = path.read_text(encoding="utf-8")
    assert text.count("<svg") == 5
    assert "company, 9 weeks" in text


def test_periods_that_were_all_forecast_at_once_are_judged_together(tmp_path: Path) -> None:
    frame = rows().assign(origin=pd.Timestamp("2024-01-01", tz="UTC"))
    told = backtest_document(contents(frame))
    assert told["verdict"][0].startswith("company, quarters: error 9.4 %")
    text = write_backtest_report(contents(frame), tmp_path / "b.html").read_text(encoding="utf-8")
    assert "company, forecast on 2024-01-01" in text


def test_cells_say_what_is_not_known() -> None:
    assert (share_cell(None), share_cell(float("nan")), amount_cell(None)) == ("–", "–", "–")
    assert share_cell(0.123, form="+.1f") == "+12.3 %"
    assert short_amount(-12_300.0) == "-12.3k"
    assert figures_row({"a": ""}) == '<div class="pair"></div>'


def test_the_page_says_at_which_origins_the_times_were_said_to_have_changed(tmp_path: Path) -> None:
    plain = write_backtest_report(contents(rows()), tmp_path / "a.html").read_text(encoding="utf-8")
    assert "said: times changed" not in plain
    frame = rows().assign(times_have_changed=False)
    frame.loc[frame["origin"] == frame["origin"].max(), "times_have_changed"] = True
    text = write_backtest_report(contents(frame), tmp_path / "b.html").read_text(encoding="utf-8")
    assert "said: times changed" in text
