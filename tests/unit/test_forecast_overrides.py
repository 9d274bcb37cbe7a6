"""Overrides: how a figure is spread, what is refused, and who was right afterwards."""

from __future__ import annotations

import json

import numpy as np
import pytest

from common.errors import InputError, NotFoundError
from tests.unit.forecast_toy import make_forecast, make_places, make_reps
from tests.unit.test_forecast_adding_up import override
from training.forecast.override_accuracy import judge_overrides
from training.forecast.overrides import ForecastOverride, apply_overrides, check_override, read_overrides, standing
from training.forecast.spreading import ConflictError
from training.forecast.store import Forecast

REPS = make_reps()
PLACES = make_places(REPS)


def even(cents: int = 100_00, *, closed: int = 0) -> Forecast:
    future = np.where(np.arange(6) > 0, cents, 0) * np.ones((5, 1), np.int64)
    future[4] = 0
    booked = np.zeros((5, 6), np.int64)
    booked[:, 1] = closed
    return make_forecast(REPS, closed=booked, opened=future)


def adjusted(forecast: Forecast, *said: ForecastOverride) -> dict[tuple[str, str, str], float]:
    values = apply_overrides(forecast, PLACES, said).values
    return values.set_index(["level", "entity_id", "period"])["adjusted"].to_dict()


def refuse(forecast: Forecast, *said: ForecastOverride, **new: object) -> ConflictError:
    with pytest.raises(ConflictError) as caught:
        check_override(forecast, PLACES, said, **new)
    return caught.value


def test_a_figure_is_spread_in_proportion_and_summed_up() -> None:
    after = adjusted(even(), override(1, "team", "east", "2026Q2", 900.0))
    assert after["rep", "R-1", "2026-05"] == 150.0
    assert after["region", "EMEA", "2026Q2"] == 900.0 + 300.0
    assert after["company", "company", "2026Q2"] == 900.0 + 300.0 + 300.0
    assert after["rep", "R-3", "2026Q2"] == 300.0


def test_where_nothing_is_expected_it_is_spread_equally_over_people() -> None:
    after = adjusted(even(0), override(1, "company", "company", "2026-03", 100.01))
    assert [after["rep", f"R-{n}", "2026-03"] for n in (1, 2, 3, 4)] == [25.01, 25.0, 25.0, 25.0]
    assert after["rep", "unassigned", "2026-03"] == 0.0


def test_what_is_booked_stays_where_it_is() -> None:
    after = adjusted(even(closed=50_00), override(1, "team", "east", "2026-02", 200.0))
    assert after["rep", "R-1", "2026-02"] == 100.0
    error = refuse(even(closed=50_00), level="team", entity_id="east", period="2026-02", value=99.0)
    assert "less than is booked already" in error.message
    assert "at least 100.00" in error.message


def test_a_lower_figure_is_kept_inside_the_higher_ones_sum() -> None:
    after = adjusted(
        even(), override(1, "company", "company", "2026-03", 400.0), override(2, "rep", "R-1", "2026-03", 310.0)
    )
    assert [after["rep", f"R-{n}", "2026-03"] for n in (1, 2, 3, 4)] == [310.0, 30.0, 30.0, 30.0]
    assert after["company", "company", "2026-03"] == 400.0


def test_parts_that_exceed_the_whole_are_refused_and_named() -> None:
    said = [override(1, "rep", "R-1", "2026-03", 300.0), override(2, "rep", "R-2", "2026-03", 200.0)]
    error = refuse(even(), *said, level="team", entity_id="east", period="2026-03", value=450.0)
    assert "The overrides inside team east in 2026-03 need more than its own 450.00" in error.message
    assert "rep R-1 in 2026-03 (300.00), rep R-2 in 2026-03 (200.00)" in error.message
    assert "at least 500.00" in error.message
    assert error.http_status == 409


def test_parts_that_are_all_said_must_add_up_to_the_whole() -> None:
    said = [override(1, "rep", "R-1", "2026-03", 300.0), override(2, "rep", "R-2", "2026-03", 200.0)]
    error = refuse(even(), *said, level="team", entity_id="east", period="2026-03", value=600.0)
    assert "need less than its own 600.00" in error.message
    assert "Expected: 500.00" in error.message


def test_figures_that_cross_are_met_together() -> None:
    said = [override(1, "team", "east", "2026Q2", 900.0), override(2, "company", "company", "2026-05", 1_000.01)]
    after = adjusted(even(), *said)
    assert after["team", "east", "2026Q2"] == 900.0
    assert after["company", "company", "2026-05"] == 1_000.01
    assert after["rep", "R-3", "2026-04"] == 100.0


def test_figures_that_cross_and_cannot_hold_together_are_refused_and_named() -> None:
    said = [override(1, "team", "east", "2026Q2", 900.0), override(2, "team", "east", "2026-04", 0.0)]
    said += [override(3, "team", "east", "2026-06", 0.0)]
    error = refuse(even(), *said, level="company", entity_id="company", period="2026-05", value=500.0)
    assert "overlap and cannot all hold" in error.message
    assert "team east in 2026Q2" in error.message


def test_the_newest_word_holds_and_a_withdrawn_one_does_not() -> None:
    first, second = override(1, "rep", "R-1", "2026-03", 1.0), override(2, "rep", "R-1", "2026-03", 2.0)
    assert standing([first, second]) == [second]
    assert standing([first, second, override(3, "rep", "R-1", "2026-03", None)]) == []


def test_a_figure_that_bookings_have_outrun_is_set_aside_and_said_so() -> None:
    old = override(1, "rep", "R-1", "2026-02", 10.0)
    applied = apply_overrides(even(closed=50_00), PLACES, [old])
    assert applied.holding == ()
    assert applied.set_aside == ((old, "10.00 for rep R-1 in 2026-02 is less than is booked already"),)
    gone = apply_overrides(even(), PLACES, [override(1, "rep", "R-9", "2026-02", 10.0)])
    assert "no rep 'R-9'" in gone.set_aside[0][1]


@pytest.mark.parametrize(
    ("new", "error", "words"),
    [
        ({"level": "planet", "entity_id": "x", "period": "2026-03"}, NotFoundError, "no level 'planet'"),
        ({"level": "rep", "entity_id": "R-9", "period": "2026-03"}, NotFoundError, "no rep 'R-9'"),
        ({"level": "rep", "entity_id": "R-1", "period": "2031Q1"}, InputError, "outside the forecast's horizon"),
        ({"level": "rep", "entity_id": "R-1", "period": "soon"}, InputError, "'soon' is not a period"),
    ],
)
def test_a_wrong_place_for_a_figure_is_refused(new: dict[str, str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_override(even(), PLACES, [], value=1.0, **new)


def test_a_figure_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="no number"):
        check_override(even(), PLACES, [], level="rep", entity_id="R-1", period="2026-03", value=float("nan"))


def test_only_a_forecast_from_deals_is_overridden() -> None:
    from dataclasses import replace

    series = replace(even(), levels=("total", "shop"))
    with pytest.raises(InputError, match="from deals"):
        apply_overrides(series, PLACES, [])


def test_rows_of_the_record_come_back_as_overrides_and_others_are_left() -> None:
    said = {"level": "rep", "entity_id": "R-1", "period": "2026Q2", "expected": 3.0, "as_of": "x"}
    row = {"task": "forecast", "value": "2.5", "number": 4, "caller": "ada", "justification": "signed"}
    row |= {"at": "2026-02-11T00:00:00+00:00", "model_said": json.dumps(said)}
    found = read_overrides([row, {**row, "task": "deal"}, {**row, "model_said": "{}"}])
    assert [(one.key, one.value, one.model, one.who) for one in found] == [("rep/R-1/2026Q2", 2.5, 3.0, "ada")]


def judged(*triples: tuple[float, float, float]) -> tuple[list[ForecastOverride], dict[str, float]]:
    said, came = [], {}
    for number, (person, model, actual) in enumerate(triples, 1):
        period = f"2025Q{number % 4 + 1}"
        one = override(number, "rep", f"R-{number}", period, person)
        said.append(ForecastOverride(**{**one.__dict__, "model": model}))
        came[one.key] = actual
    return said, came


def test_errors_of_person_and_model_are_those_of_the_textbook() -> None:
    said, came = judged((90.0, 80.0, 100.0), (120.0, 110.0, 100.0))
    found = judge_overrides([*said, override(9, "rep", "R-1", "2026Q2", 5.0)], came, seed=1)
    assert (found.judged, found.open, found.nearer) == (2, 1, 1)
    assert (found.person_mae, found.model_mae) == (15.0, 15.0)
    assert (found.person_wape, found.model_bias) == pytest.approx((0.15, -0.05))
    assert "nearer 1 times of 2" in found.verdict


def test_many_better_words_are_called_better_and_worse_ones_worse() -> None:
    said, came = judged(*[(101.0, 130.0, 100.0)] * 24)
    assert judge_overrides(said, came, seed=1).verdict.startswith("the persons were nearer")
    said, came = judged(*[(130.0, 101.0, 100.0)] * 24)
    assert judge_overrides(said, came, seed=1).verdict.startswith("the model was nearer")


def test_before_any_period_is_over_nothing_is_judged() -> None:
    found = judge_overrides([override(1, "rep", "R-1", "2026Q2", 5.0)], {}, seed=1)
    assert found.verdict == "no overridden period is over yet"
    assert found.open == 1
