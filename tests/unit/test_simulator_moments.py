"""Calendar, working time and ownership in the simulated world."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.simulator.config import SimulationConfig
from warehouse.simulator.moments import (
    DAY,
    HOUR,
    NEVER,
    Calendar,
    Draws,
    late,
    microseconds,
    moment_within_day,
    monday,
    month,
    next_working_day,
    normal,
    quarter,
    quarter_start,
    weekday,
    worked_share,
    working_moment,
)
from warehouse.simulator.names import companies, industry_text, people, with_typos
from warehouse.simulator.organisation import hire
from warehouse.simulator.writer import handovers, ids, words

WEDNESDAY = microseconds(datetime(2024, 5, 15, 13, 30, tzinfo=UTC))


def test_calendar_words_agree_with_datetime() -> None:
    moment = np.array([WEDNESDAY])
    assert weekday(moment).tolist() == [2]
    assert monday(moment).tolist() == [microseconds(datetime(2024, 5, 13, tzinfo=UTC))]
    assert month(moment).tolist() == [4]
    assert quarter(moment).tolist() == [54 * 4 + 1]
    assert quarter_start(quarter(moment)).tolist() == [microseconds(datetime(2024, 4, 1, tzinfo=UTC))]


@given(st.integers(0, 10**6), st.integers(0, 365 * 86_400))
def test_a_moment_within_the_day_lies_in_it_and_avoids_the_weekend(seed: int, second: int) -> None:
    begins = np.full(20, microseconds(datetime(2024, 1, 1, tzinfo=UTC)) + second * 1_000_000)
    moments = moment_within_day(np.random.default_rng(seed), begins)
    assert ((moments >= begins) & (moments <= begins + DAY)).all()
    if weekday(begins)[0] != 5:
        assert (weekday(moments) < 5).all() or begins[0] % DAY == 0


def test_working_moments_are_in_working_hours_of_working_days() -> None:
    moments = working_moment(np.random.default_rng(1), monday(np.full(2_000, WEDNESDAY)))
    assert (weekday(moments) < 5).all()
    assert moments.min() % DAY >= 8 * HOUR
    assert ((moments % DAY >= 8 * HOUR) & (moments % DAY < 18 * HOUR)).all()


@pytest.mark.parametrize(
    ("offset", "share"),
    [
        (0, 0.0),
        (8 * HOUR, 0.0),
        (13 * HOUR, 0.1),
        (DAY, 0.2),
        (2 * DAY + 13 * HOUR, 0.5),
        (5 * DAY, 1.0),
        (7 * DAY, 1.0),
    ],
)
def test_worked_share_is_the_distribution_of_working_moments(offset: int, share: float) -> None:
    start = monday(np.full(20_000, WEDNESDAY))
    moments = working_moment(np.random.default_rng(2), start)
    assert worked_share(np.array([offset])).tolist() == pytest.approx([share])
    assert np.mean(moments - start <= offset) == pytest.approx(share, abs=0.02)


HELPERS = {
    "working_moment": lambda draw, n: working_moment(draw("x"), monday(np.full(n, WEDNESDAY))),
    "moment_within_day": lambda draw, n: moment_within_day(draw("x"), np.full(n, WEDNESDAY)),
    "late": lambda draw, n: late(draw("x"), n, chance=0.3, days=4.0),
    "people": lambda draw, n: people(draw("x"), n)[0],
    "companies": lambda draw, n: companies(draw, n, cell=0).name,
    "industry_text": lambda draw, n: industry_text(draw("x"), np.zeros(n, np.int64), missing=0.2),
    "with_typos": lambda draw, n: with_typos(draw("x"), pa.array(["Alderbridge Ltd"] * n, pa.string())),
}


@pytest.mark.parametrize("helper", HELPERS)
@given(few=st.integers(0, 30), more=st.integers(0, 30), seed=st.integers(0, 10**6))
def test_what_comes_later_does_not_change_what_was_drawn_before(helper: str, few: int, more: int, seed: int) -> None:
    draw = Draws(SimulationConfig(seed=seed), "part")
    short, long = HELPERS[helper](draw, few), HELPERS[helper](draw, few + more)
    assert short.tolist() == long[:few].tolist()


def test_every_thing_part_seed_and_cell_has_a_stream_of_its_own() -> None:
    config, other = SimulationConfig(leads=50_000), SimulationConfig(leads=50_000, seed=8)
    cells = config.cells()
    streams = [
        Draws(config, "a")("x"),
        Draws(config, "a")("y"),
        Draws(config, "b")("x"),
        Draws(other, "a")("x"),
        Draws(cells[0], "a")("x"),
        Draws(cells[1], "a")("x"),
    ]
    assert len({stream.random() for stream in streams}) == len(streams)
    assert Draws(config, "a")("x").random() == Draws(config, "a")("x").random()


def test_normal_numbers_have_mean_0_and_spread_1() -> None:
    numbers = normal(np.random.default_rng(6).random((20_000, 2)))
    assert numbers.mean() == pytest.approx(0, abs=0.03)
    assert numbers.std() == pytest.approx(1, abs=0.03)


def test_a_next_step_never_falls_on_a_weekend() -> None:
    friday = int(WEDNESDAY // DAY) + 2
    assert next_working_day(np.arange(friday, friday + 4)).tolist() == [friday, friday + 3, friday + 3, friday + 3]


def test_arrivals_follow_the_week_and_grow() -> None:
    calendar = Calendar.of(SimulationConfig())
    weekdays = np.array([1, 1, 1, 1, 1, 0.1, 0.1])
    moments = calendar.arrivals(np.random.default_rng(3), 30_000, weekdays=weekdays)
    per_day = np.bincount(weekday(moments), minlength=7)
    assert per_day[5:].max() < 0.2 * per_day[:5].min()
    year = (moments - calendar.start) // (365 * DAY)
    assert np.sum(year == 1) / np.sum(year == 0) == pytest.approx(1.12, abs=0.05)
    assert calendar.start <= moments[0]
    assert moments[-1] < calendar.end


def test_an_owner_is_there_and_of_the_region() -> None:
    config = SimulationConfig()
    calendar = Calendar.of(config)
    reps = hire(config, calendar)
    rng = np.random.default_rng(4)
    moments = rng.integers(calendar.start, calendar.end, 3_000)
    regions = rng.integers(0, 3, 3_000)
    owner = reps.assign(rng, regions=regions, moments=moments)
    assert (reps.region[owner] == regions).all()
    assert ((reps.hired[owner] <= moments) & (reps.left[owner] > moments)).all()
    later = reps.owner_at(owner, np.full(3_000, calendar.end))
    assert (reps.left[later] == NEVER).all()
    assert (reps.team[later] == reps.team[owner]).all()


def test_a_handover_copies_the_version_in_force() -> None:
    versions = {
        "event_timestamp": np.array([10, 30, 50, 20]) * DAY,
        "created_timestamp": np.array([10, 30, 50, 20]) * DAY,
        "stage": words(("a", "b", "c", "d"), np.array([0, 1, 2, 3])),
    }
    copies, things = handovers(versions, thing=np.array([0, 0, 0, 1]), at=np.array([40 * DAY, NEVER]), origin=0)
    assert things.tolist() == [0]
    assert copies["stage"].to_pylist() == ["b"]
    assert copies["event_timestamp"].tolist() == [40 * DAY]


def test_ids_are_readable_and_missing_ones_are_null() -> None:
    assert ids("L", np.array([123, -1]), width=6).to_pylist() == ["L-000123", None]
