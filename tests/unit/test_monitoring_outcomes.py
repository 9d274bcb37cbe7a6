"""Real quality as labels mature: what rings, what it costs, and that the unknown is never negative."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitoring.checks import State
from monitoring.matured import Matured
from monitoring.outcomes import by_month, check_outcomes

END = datetime(2025, 6, 2, tzinfo=UTC)
WEEK = timedelta(days=7)


def matured(*, seed: int, before: float = 0.0, now: float = 0.0, a_week: int = 120, weeks: int = 30) -> Matured:
    """Answers whose log-odds are too high by `before` in the older weeks and by `now` in the newest one."""
    random = np.random.default_rng(seed)
    rows = a_week * weeks
    week = np.repeat(np.arange(weeks)[::-1], a_week)
    margin = random.normal(-1.5, 1.2, rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-margin))).astype(float)
    told = 1 / (1 + np.exp(-(margin + np.where(week == 0, now, before))))
    back = (week + random.random(rows) * 0.99) * 7
    as_of = np.datetime64(END.replace(tzinfo=None), "us") - (back * 86_400e6).astype("timedelta64[us]")
    order = np.argsort(as_of)
    groups = {"source": np.where(random.random(rows) < 0.3, "web", "event").astype(object)[order]}
    return Matured(
        as_of=as_of[order], entity=np.array([f"L{place}" for place in range(rows)], dtype=object)[order],
        label=label[order], probability=told[order], groups=groups,
    )  # fmt: skip


def checks(rows: Matured, **changes) -> dict:
    options = {"newest_from": END - WEEK, "length": WEEK, "least_share": 0.05, "seed": 1} | changes
    return {check.name: check for check in check_outcomes(rows, **options)}


def test_an_honest_model_in_a_steady_world_is_ok() -> None:
    assert {check.state for check in checks(matured(seed=1)).values()} == {State.OK}


def test_a_steady_world_rings_in_at_most_one_look_of_twenty() -> None:
    rung = sum(
        any(check.state in (State.FAILS, State.NOTICE) for check in checks(matured(seed=seed, weeks=21)).values())
        for seed in range(24)
    )
    assert rung <= 4  # more happens in one of two hundred sets at a true rate of 5 %


@pytest.mark.parametrize("now", [1.2, -1.2], ids=["too high", "too low"])
@pytest.mark.parametrize("always", [False, True], ids=["changed last week", "wrong ever since the training"])
def test_answers_of_another_regime_fail_whether_or_not_the_rows_before_were_right(now: float, always: bool) -> None:
    found = checks(matured(seed=2, before=now if always else 0.0, now=now), worth=0.1)
    assert found["real quality"].state == State.FAILS
    assert found["calibration"].state == State.FAILS
    assert found["calibration"].cost_share > 0.3
    assert "to wrong answers" in found["real quality"].says


def test_a_group_answered_wrongly_is_named() -> None:
    rows = matured(seed=3, a_week=600, weeks=20)
    web = rows.groups["source"] == "web"
    told = np.where(web, np.clip(rows.probability * 2.2, 0, 0.95), rows.probability)
    check = checks(Matured(**{**vars(rows), "probability": told}))["segments"]
    assert check.state == State.NOTICE
    assert check.cause == "source=web"


def test_a_young_model_is_held_to_its_own_answers() -> None:
    rows = matured(seed=6, now=1.2, weeks=1, a_week=400)
    found = checks(rows, worth=0.1)
    assert found["real quality"].state == found["calibration"].state == State.FAILS
    assert "nothing to compare with" in found["label drift"].says
    assert {check.state for check in checks(matured(seed=6, weeks=1, a_week=400)).values()} == {State.OK}


def test_too_few_outcomes_cannot_tell() -> None:
    rows = matured(seed=4, a_week=20, weeks=2)
    assert {check.state for check in checks(rows).values()} == {State.UNKNOWN}


def test_months_show_what_is_mature_and_never_count_the_unknown() -> None:
    rows = matured(seed=5, a_week=200, weeks=12)
    label = rows.label.copy()
    young = rows.as_of > np.datetime64("2025-05-01")
    label[young] = np.nan
    table = by_month(rows.as_of, label, rows.probability, rows.entity, seed=1)
    by_name = {row["month"]: row for row in table}
    assert by_name["2025-05"]["mature"] == 0
    assert "auc" not in by_name["2025-05"]
    april = by_name["2025-04"]
    assert april["mature"] == april["rows"]
    chosen = rows.as_of.astype("datetime64[M]") == np.datetime64("2025-04")
    assert april["came"] == pytest.approx(rows.label[chosen].mean())


def test_a_level_that_one_week_cannot_show_is_seen_over_the_newest_quarter() -> None:
    """Log-odds off by 0.4 on 90 things a week: a week's residual is some one standard error."""
    off = [matured(seed=seed, a_week=90, weeks=40) for seed in (11, 12, 13)]
    for rows in off:
        recent = rows.as_of > np.datetime64("2025-03-03")
        told = np.where(recent, 1 / (1 + np.exp(-(np.log(rows.probability / (1 - rows.probability)) + 0.5))), 0)
        found = checks(Matured(**{**vars(rows), "probability": np.where(recent, told, rows.probability)}), worth=0.1)
        assert found["calibration"].state == State.FAILS
        assert "newest 91 days" in found["calibration"].says
        assert "newest 91 days" in found["real quality"].says
