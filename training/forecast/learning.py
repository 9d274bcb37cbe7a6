"""All that a forecast from deals learns at one moment, from what was known then and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from training.forecast.commits import learn_commits
from training.forecast.conversion import (
    Conversion,
    apply_season,
    apply_win_probability,
    learn_conversion,
    learn_season,
)
from training.forecast.created import count_opened, learn_created, learn_due, look_for_turn, track_amounts
from training.forecast.drift import Level, chance_of_turn, neutral_level, told_of_wandering
from training.forecast.flow import Flow, count_moves
from training.forecast.history import UNASSIGNED, PipelineHistory
from training.forecast.metrics import FloatArray
from training.forecast.new_business import NewBusiness
from training.forecast.notes import notes_of
from training.forecast.origin_model import CHECKED_LAGS, learn_origin_model
from training.forecast.periods import month_number, share_of_month
from training.forecast.pipeline_baselines import known_stage_rates
from training.forecast.renewals import Renewals
from training.forecast.rep_factors import RepFactors, learn_rep_factors
from training.forecast.snapshots import learn_from, whole_months
from training.forecast.turn import Turn
from training.forecast.wins import of_reps, places_of_rest, track_wins, wins_of_reps, wins_until_next

LEAST_OUTCOMES = 40
"""Decided deals below which the plain method speaks."""
_PLAIN_SD, _SEASON_SD = 0.3, 0.12


@dataclass(frozen=True)
class WinProbabilities:
    """What the deal model says about open deals at one moment.

    Args:
        by_deal: P(won within the horizon) by opportunity_id.
        horizon_days: The horizon.
        version: Version of the deal model.
        by_month: P(won in the rest of this month, in the next month, …) by opportunity_id, where the model says so: it
            then speaks alone for those months, but for the season, which it does not know.
    """

    by_deal: pd.Series
    horizon_days: int
    version: str = "unregistered"
    by_month: pd.DataFrame | None = None


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What was learned at one moment.

    Args:
        month: Number of the moment's month.
        elapsed: Share of it that is over.
        reps: Reps as known then, `unassigned` last.
        deals: Deals open then, sorted by id.
        chances: Chance of each to be won at each lag, lag -1 first, before `wins`.
        conversion: Tables by due date and stage; booked over entered amounts.
        season: Factors on wins by month of the year.
        stage_rates: Win rate by stage, and of all, for the stage-weighted pipeline.
        new_business: Volume, conversion and amounts of deals yet to be created.
        renewals: Contracts that come up again.
        rep_factors: How each rep's deals go; already in `chances`.
        flow: Moves from stage to stage, and their levels; already in `chances`.
        wins: Level of wins of open deals against what was learned.
        new_wins: The same of deals not yet created.
        amounts: Level of new deals' amounts.
        turn: Whether the times have changed of late; the levels then may have started anew.
        turn_chance: Chance that the times change in a month to come.
        asks_model: Whether the deal model speaks for the open deals; `wins` then says how unsure, not how high.
        facts: Further JSON values for the forecast's details.
        notes: Sentences a reader of the forecast should know.
        more_sd: What little history adds to the standard deviation of the luck all deals share (of the log).
    """

    month: int
    elapsed: float
    reps: pd.DataFrame
    deals: pd.DataFrame
    chances: FloatArray
    conversion: Conversion
    season: FloatArray
    stage_rates: tuple[pd.Series, float]
    new_business: NewBusiness
    renewals: Renewals
    rep_factors: RepFactors
    flow: Flow
    wins: Level
    new_wins: Level
    amounts: Level
    turn: Turn
    turn_chance: float
    asks_model: bool
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    more_sd: float = 0.0

    def worth_by_stage(self) -> FloatArray:
        """What open deals are expected to bring by the stages of `flow`, in no unit."""
        value = self.chances.sum(axis=1) * self.deals["amount_usd"].fillna(self.conversion.typical_usd).to_numpy()
        place = self.deals["stage"].map({name: row for row, name in enumerate(self.flow.stages)})
        known = place.notna().to_numpy()
        return np.asarray(
            np.bincount(place[known].to_numpy(dtype=np.int64), weights=value[known], minlength=len(self.flow.stages)),
            dtype=np.float64,
        )

    def details(self) -> dict[str, Any]:
        """What was learned, as JSON values."""
        volume = self.new_business.volume
        return {
            "open_deals": len(self.deals),
            "open_amount_usd": float(self.deals["amount_usd"].sum()),
            "snapshots_learned_from": self.conversion.n_snapshots,
            "booked_over_entered": float(self.conversion.ratios.mean()),
            "win_rate_of_open_deals": float(self.conversion.chances[None].sum()),
            "new_deals_method": volume.method,
            "new_deals_shift": volume.level.shift,
            "new_deals_errors": volume.errors,
            "new_deals_spread": volume.spread,
            "new_deals_per_month": [float(value) for value in volume.mean[:12]],
            "wins_per_new_deal": float(self.new_business.wins_by_lag.sum(axis=1).mean()),
            "renewal_term_months": self.renewals.term_months,
            "renewal_rate": self.renewals.rate,
            "season_by_quarter": [float(value) for value in self.season[::3]],
            "level_of_moves_ahead": self.flow.advance.mean,
            "level_of_losses": self.flow.lose.mean,
            "level_of_wins": self.wins.mean,
            "level_of_wins_sd": self.wins.sd,
            "level_of_losses_sd": self.flow.lose.sd,
            "level_of_moves_ahead_sd": self.flow.advance.sd,
            "times_have_changed": self.turn.has_come,
            "times_have_changed_by_chance": self.turn.chance,
            "turn": self.turn.details(),
            "chance_of_change_per_month": self.turn_chance,
            "level_of_new_wins": self.new_wins.mean,
            "level_of_amounts": self.amounts.mean,
            "reps_differ_by": float(np.sqrt(self.rep_factors.variance)),
            **self.facts,
            "notes": list(self.notes),
        }


def learn_pipeline(
    history: PipelineHistory,
    *,
    at: datetime,
    season_length: int,
    seed: int,
    win_probabilities: WinProbabilities | None = None,
) -> Learned:
    """Learn from what was known at `at`; see `pipeline.forecast_pipeline`."""
    month, elapsed = month_number(at), share_of_month(at)
    reps = with_unassigned(history.reps(at))
    snapshots, deals = learn_from(history, at=at, seed=seed)
    outcomes = len(history.outcomes(at))
    whole = whole_months(history, snapshots, deals, at=at, seed=seed)
    table = learn_conversion(snapshots)
    # Fits take most of the time and need no Python: what does not wait for them is learned meanwhile.
    with ThreadPoolExecutor(max_workers=1) as pool:
        fitted = pool.submit(learn_origin_model, snapshots, table, seed=seed) if outcomes >= LEAST_OUTCOMES else None
        moved, opened = count_moves(*whole, month=month), count_opened(history, at=at)
        turn = look_for_turn(history, moved, opened, at=at)
        flow = moved.flow(turned=turn.since)
        new_business, new_wins = learn_created(
            history, reps, at=at, season_length=season_length, flow=flow, opened=opened, turned=turn.since
        )
        told = told_of_wandering(flow.advance, flow.lose, new_business.volume.level)
        renewals = learn_due(history, reps, snapshots, at=at, wandering=told)
        stage_rates = known_stage_rates(history, at=at)
        model = None if fitted is None else fitted.result()
    expected = table.expected(snapshots) if model is None else model.chances(snapshots, lags=CHECKED_LAGS)
    commit_kept, commit_kept_by_rep = learn_commits(snapshots)
    n_months = len(snapshots["month"].unique())
    has_seasons = n_months >= min(2 * season_length, 24)
    is_plain = outcomes < LEAST_OUTCOMES
    number = snapshots["month"].to_numpy(dtype=np.int64)
    paced = flow.season(snapshots["stage"], number, lags=CHECKED_LAGS)
    expected[:, 1 : 1 + CHECKED_LAGS] *= paced
    season = learn_season(snapshots, expected) if has_seasons and not is_plain else np.ones(12)
    expected = apply_rows(expected, season, number)
    in_quarter = np.ones((2, 12)) if is_plain else places_of_rest(snapshots, expected, elapsed=elapsed)
    # What is left of each snapshot's own month, then the months after it.
    expected[:, :2] = apply_rows(expected[:, :2], in_quarter[0], number)
    expected[:, 2:] = apply_rows(expected[:, 2:], in_quarter[1], number + 2)
    none = np.zeros(len(reps))
    soon = wins_until_next(snapshots, expected)
    factors = learn_rep_factors(none, none) if is_plain else wins_of_reps(snapshots, soon, reps)
    soon = soon * of_reps(factors.factor, snapshots["rep_id"], reps)
    told = told + told_of_wandering(renewals.level)
    wins = track_wins(snapshots, soon, flow, month=month, wandering=told, turned=turn.since)
    wins = neutral_level() if is_plain else wins
    chances = table.expected(deals) if model is None else model.chances(deals)
    this_month = np.arange(12) == month % 12
    chances = apply_season(chances, season * np.where(this_month, *in_quarter), month=month)
    chances = chances * of_reps(factors.factor, deals["rep_id"], reps)[:, None] * flow.of_stages(deals["stage"])
    chances = _ask(chances, deals, win_probabilities, flow)
    return Learned(
        month=month,
        elapsed=elapsed,
        reps=reps,
        deals=deals,
        chances=chances,
        conversion=table,
        season=season,
        stage_rates=stage_rates,
        new_business=new_business,
        renewals=renewals,
        rep_factors=factors,
        flow=flow,
        wins=wins,
        new_wins=new_wins,
        amounts=track_amounts(snapshots, month=month, wandering=told, turned=turn.since),
        turn=turn,
        turn_chance=chance_of_turn(months=len(opened.counts), turns=int(turn.has_come)),
        asks_model=win_probabilities is not None,
        facts={
            "method": "plain" if is_plain else "table" if model is None else "months",
            "outcomes": outcomes,
            "months_learned_from": n_months,
            "commit_kept": commit_kept,
            "commit_kept_by_rep": commit_kept_by_rep,
            "deal_model_version": win_probabilities.version if win_probabilities is not None else None,
        },
        notes=notes_of(
            turn,
            months=n_months,
            outcomes=outcomes,
            least_outcomes=LEAST_OUTCOMES,
            has_seasons=has_seasons,
            asks_model=win_probabilities is not None,
        ),
        more_sd=widths_by_history(has_seasons=has_seasons, is_plain=is_plain),
    )


def with_unassigned(reps: pd.DataFrame) -> pd.DataFrame:
    """The reps and, last, `unassigned`, who takes what belongs to nobody known."""
    columns = ["rep_id", "team", "region", "is_active", "hired_at"]
    nobody = {"rep_id": UNASSIGNED, "team": UNASSIGNED, "region": UNASSIGNED, "is_active": False}
    return pd.concat([reps[columns], pd.DataFrame([nobody])], ignore_index=True)


def apply_rows(expected: FloatArray, season: FloatArray, month: np.ndarray) -> FloatArray:
    """Expectations of snapshots with the season's factor of each month ahead; lag -1 first."""
    return np.asarray(expected * season[(month[:, None] - 1 + np.arange(expected.shape[1])) % 12], dtype=np.float64)


def _ask(chances: FloatArray, deals: pd.DataFrame, asked: WinProbabilities | None, flow: Flow) -> FloatArray:
    if asked is None:
        return chances
    by_deal = asked.by_deal.reindex(deals["opportunity_id"]).to_numpy(dtype=np.float64)
    found = apply_win_probability(chances, by_deal, horizon_days=asked.horizon_days)
    if asked.by_month is None:
        return found
    by_month = asked.by_month.reindex(deals["opportunity_id"]).to_numpy(dtype=np.float64)
    known = ~np.isnan(by_month).any(axis=1)
    width = min(by_month.shape[1], found.shape[1] - 1)
    month = np.full(int(known.sum()), flow.month)
    season = flow.season(deals["stage"][known], month, lags=width, knows_places=False)
    found[known, 1 : 1 + width] = by_month[known, :width] * season
    return found


def widths_by_history(*, has_seasons: bool, is_plain: bool) -> float:
    """What little history adds to the standard deviation of the company's luck (of the log)."""
    return float(np.hypot(_PLAIN_SD if is_plain else 0.0, 0.0 if has_seasons else _SEASON_SD))
