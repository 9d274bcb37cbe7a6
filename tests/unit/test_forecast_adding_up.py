"""Property: over all levels and periods the difference is 0 to the cent, whatever people say and wherever reps move."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.unit.forecast_toy import AS_OF, MONTHS, make_forecast, make_places, make_reps, make_versions
from training.forecast.overrides import ForecastOverride, apply_overrides, check_override
from training.forecast.spreading import ConflictError, split

N_REPS = 5
PLACES = st.sampled_from([("EMEA", "east"), ("EMEA", "west"), ("AMER", "north"), ("AMER", "south")])
TREES = st.lists(PLACES, min_size=N_REPS - 1, max_size=N_REPS - 1)
CENTS = arrays(np.int64, (N_REPS, len(MONTHS)), elements=st.integers(0, 10**10))
PERIODS = st.sampled_from(["2026-02", "2026-03", "2026-05", "2026Q1", "2026Q2"])


def override(number: int, level: str, entity: str, period: str, value: float | None) -> ForecastOverride:
    return ForecastOverride(
        number=number,
        level=level,
        entity_id=entity,
        period=period,
        value=value,
        who="ada",
        because="they signed",
        at=datetime(2026, 2, 11, tzinfo=UTC),
        model=1.0,
        as_of=AS_OF.isoformat(),
        model_version="7",
    )


def largest_difference(values: pd.DataFrame, reps: pd.DataFrame, column: str) -> int:
    """Of any parent from its children, in cents, recomputed without the product's own sums."""
    cents = values.assign(cents=(values[column] * 100).round().astype("int64"))
    table = cents.set_index(["level", "entity_id", "period"])["cents"].to_dict()
    worst = 0
    for period in cents["period"].unique():
        for above, below in (("region", "team"), ("team", "rep")):
            key = {"team": "team", "rep": "rep_id"}[below]
            for entity, rows in reps.groupby(above):
                parts = sum(table[below, child, period] for child in rows[key].unique())
                worst = max(worst, abs(table[above, entity, period] - parts))
        regions = sum(table["region", region, period] for region in reps["region"].unique())
        worst = max(worst, abs(table["company", "company", period] - regions))
    entities = cents[["level", "entity_id"]].drop_duplicates().itertuples(index=False)
    for level, entity in entities:
        months = sum(table[level, entity, f"2026-{month:02d}"] for month in (4, 5, 6))
        worst = max(worst, abs(table[level, entity, "2026Q2"] - months))
    return worst


@given(closed=CENTS, opened=CENTS, tree=TREES)
@settings(max_examples=25, deadline=None)
def test_a_forecast_adds_up_whoever_belongs_to_whom(
    closed: np.ndarray, opened: np.ndarray, tree: list[tuple[str, str]]
) -> None:
    reps = make_reps(tree)
    values = make_forecast(reps, closed=closed, opened=opened).values
    assert largest_difference(values, reps, "expected") == 0


@given(data=st.data(), closed=CENTS, opened=CENTS, tree=TREES)
@settings(max_examples=25, deadline=None)
def test_it_adds_up_after_any_overrides_and_each_holds_to_the_cent(
    data: st.DataObject, closed: np.ndarray, opened: np.ndarray, tree: list[tuple[str, str]]
) -> None:
    reps = make_reps(tree)
    forecast = make_forecast(reps, closed=closed, opened=opened)
    said: list[ForecastOverride] = []
    for number in range(data.draw(st.integers(1, 5))):
        level = data.draw(st.sampled_from(["company", "region", "team", "rep"]))
        column = {"company": None, "region": "region", "team": "team", "rep": "rep_id"}[level]
        entity = "company" if column is None else data.draw(st.sampled_from(sorted(set(reps[column]))))
        period = data.draw(PERIODS)
        value = data.draw(st.integers(0, 10**11)) / 100
        try:
            check_override(forecast, make_places(reps), said, level=level, entity_id=entity, period=period, value=value)
        except ConflictError:
            continue
        said.append(override(number + 1, level, entity, period, value))
    assume(said)
    applied = apply_overrides(forecast, make_places(reps), said)
    assert applied.set_aside == ()
    assert largest_difference(applied.values, reps, "adjusted") == 0
    table = applied.values.set_index(["level", "entity_id", "period"])["adjusted"]
    for one in applied.holding:
        assert round(table[one.level, one.entity_id, one.period] * 100) == one.want.cents
    # Nobody falls below what is booked already, and the model's own figures stay as they were.
    assert (applied.values["adjusted"] >= applied.values["closed"] - 1e-6).all()
    pd.testing.assert_frame_equal(applied.values.drop(columns="adjusted"), forecast.values)


@given(closed=CENTS, opened=CENTS, before=TREES, after=TREES, value=st.integers(10**12, 10**13))
@settings(max_examples=25, deadline=None)
def test_an_override_survives_a_move_of_reps_and_all_still_adds_up(
    closed: np.ndarray,
    opened: np.ndarray,
    before: list[tuple[str, str]],
    after: list[tuple[str, str]],
    value: int,
) -> None:
    said = [override(1, "company", "company", "2026Q2", value / 100)]
    for tree in (before, after):
        reps = make_reps(tree)
        applied = apply_overrides(make_forecast(reps, closed=closed, opened=opened), make_places(reps), said)
        assert largest_difference(applied.values, reps, "adjusted") == 0
        assert applied.holding == tuple(said)


MOVES = st.lists(st.tuples(st.integers(1, 4), PLACES, st.integers(1, 6)), max_size=5)


@given(closed=CENTS, opened=CENTS, tree=TREES, moves=MOVES, value=st.integers(0, 10**12))
@settings(max_examples=25, deadline=None)
def test_it_adds_up_with_overrides_when_reps_change_team_in_the_middle(
    closed: np.ndarray,
    opened: np.ndarray,
    tree: list[tuple[str, str]],
    moves: list[tuple[int, tuple[str, str], int]],
    value: int,
) -> None:
    reps = make_reps(tree)
    planned = [(f"R-{rep}", *place, f"2026-{month:02d}-01") for rep, place, month in moves]
    current = [(f"R-{rep}", *place, "2025-01-01") for rep, place in enumerate(tree, 1)]
    versions = make_versions(*current, *planned)
    versions = versions.drop_duplicates(["rep_id", "event_timestamp"], keep="last")
    forecast = make_forecast(reps, closed=closed, opened=opened, versions=versions)
    places = make_places(reps, versions)
    free = int(closed[:4, 3:].sum())
    said = [override(1, "company", "company", "2026Q2", (free + value) / 100)]
    team = str(places.entities["team"][0, 4])
    may = int(closed[places.holds("team", team)[:, 4], 4].sum())
    said.append(override(2, "team", team, "2026-05", (may + value // 3) / 100))
    applied = apply_overrides(forecast, places, said)
    cents = applied.values.assign(cents=(applied.values["adjusted"] * 100).round().astype("int64"))
    totals = cents.groupby(["period", "level"])["cents"].sum().unstack()
    assert (totals.nunique(axis=1) == 1).all()
    months = cents[cents["period"].isin(["2026-04", "2026-05", "2026-06"])]
    quarter = cents[cents["period"] == "2026Q2"].set_index(["level", "entity_id"])["cents"]
    assert (quarter == months.groupby(["level", "entity_id"])["cents"].sum().reindex(quarter.index)).all()
    for one in applied.holding:
        row = cents[(cents["level"] == one.level) & (cents["entity_id"] == one.entity_id)]
        assert row.set_index("period").loc[one.period, "cents"] == one.want.cents
    if len(applied.holding) < len(said):
        assert all("booked" in why or "need" in why for _, why in applied.set_aside)


@given(total=st.integers(0, 10**14), weights=st.lists(st.integers(0, 10**13), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_a_split_is_whole_and_no_part_is_a_cent_from_its_share(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert int(parts.sum()) == total
    whole = sum(weights)
    for part, weight in zip(parts.tolist(), weights, strict=True):
        share = total * weight / whole if whole else total / len(weights)
        assert abs(part - share) <= 1.0 + 1e-9 * share


def test_the_parts_of_a_quarter_that_is_partly_over_keep_what_was_booked() -> None:
    reps = make_reps()
    closed = np.zeros((5, 6), np.int64)
    closed[:, 0] = 700_00
    forecast = make_forecast(reps, closed=closed, opened=np.full((5, 6), 100_00) * (np.arange(6) > 0))
    applied = apply_overrides(forecast, make_places(reps), [override(1, "rep", "R-1", "2026Q1", 1_000.0)])
    table = applied.values.set_index(["level", "entity_id", "period"])["adjusted"]
    assert [table["rep", "R-1", month] for month in ("2026-02", "2026-03")] == [150.0, 150.0]
    assert table["rep", "R-1", "2026Q1"] == 1_000.0
    assert table["rep", "R-2", "2026Q1"] == 700 + 100 + 100
