"""A toy world of deals whose true hazards are known, and a deal model on disk, trained for real."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.bundle import describe_features, grade_thresholds, probability_bands, write_bundle
from training.calibration import Calibration
from training.deals.actions import learn_associations
from training.deals.amounts import learn_amounts
from training.deals.dates import learn_dates
from training.deals.facts import DealFacts
from training.deals.hazards import Futures
from training.deals.model import CompetingRisks, make_part
from training.deals.outcomes import Outcomes
from training.deals.periods import expand, with_period
from training.deals.scorer import DealScorer
from training.encoding import encode_columns, fit_categories
from training.manifest import FeatureEntry, Manifest
from training.models import FitData
from training.scorer import Scorer
from training.trees import fit_trees

STAGES = ("early", "middle", "late")
DAILY = {"early": 0.012, "middle": 0.02, "late": 0.04}
SHARE = {"early": 0.3, "middle": 0.5, "late": 0.75}


@dataclass(frozen=True)
class ToyDeals:
    """Snapshots, one per deal, and what became of them."""

    columns: dict[str, Any]
    outcomes: Outcomes
    entity: np.ndarray
    as_of: np.ndarray


def toy_deals(count: int, *, seed: int, watched_days: float = 900.0) -> ToyDeals:
    """Deals with constant hazards by stage; a next step doubles the odds of winning."""
    generator = np.random.default_rng(seed)
    stage = np.array([STAGES[code] for code in generator.integers(0, 3, count)], dtype=object)
    has_step = generator.random(count) < 0.5
    amount = generator.lognormal(9, 0.8, count)
    amount[generator.random(count) < 0.1] = np.nan
    days = generator.exponential(1.0 / np.array([DAILY[name] for name in stage]))
    share = np.array([SHARE[name] for name in stage])
    odds = share / (1 - share) * np.where(has_step, 1.5, 0.67)
    won = (generator.random(count) < odds / (1 + odds)).astype(float)
    watched = generator.uniform(30, watched_days, count)
    seen = days <= watched
    final = np.where(np.isnan(amount), 9_000.0, amount * generator.normal(0.9, 0.03, count))
    columns = {
        "stage": stage,
        "amount_usd": amount,
        "days_to_next_step": np.where(has_step, 5.0, np.nan),
        "days_to_close_date": generator.integers(-10, 90, count).astype(float),
        "days_in_stage": generator.uniform(0, 90, count),
        "usual_days_in_stage_365d": np.full(count, 20.0),
        "deal_age_days": generator.uniform(0, 200, count),
        "forecast_category": np.array(
            [("commit", "pipeline", None)[i] for i in generator.integers(0, 3, count)], object
        ),
    }
    outcomes = Outcomes(
        days=np.where(seen, days, np.nan),
        won=np.where(seen, won, np.nan),
        final_usd=np.where(seen, final, np.nan),
        watched_days=watched,
        recording_days=0.0,
    )
    as_of = np.datetime64("2024-01-01", "us") + (generator.uniform(0, 500, count) * 86_400e6).astype("timedelta64[us]")
    return ToyDeals(columns, outcomes, np.array([f"D-{number}" for number in range(count)], dtype=object), as_of)


def toy_entries(toy: ToyDeals) -> tuple[FeatureEntry, ...]:
    """The toy's features."""
    label = np.nan_to_num(toy.outcomes.won, nan=0.0)
    entries = []
    for name, values in toy.columns.items():
        is_category = values.dtype == object
        categories, other = fit_categories(values, label) if is_category else ((), -1)
        entries.append(
            FeatureEntry(
                name=name,
                dtype="category" if is_category else "float",
                group="state",
                about=f"What {name} says.",
                unit="category" if is_category else "days",
                phrase=f"{name} is {{value}}",
                categories=categories,
                other_code=other,
            )
        )
    return tuple(entries)


def toy_model(toy: ToyDeals, *, rounds: int = 40) -> tuple[CompetingRisks, tuple[FeatureEntry, ...], np.ndarray]:
    """A model of competing risks fitted on the toy, its features, and the toy's matrix."""
    entries = toy_entries(toy)
    matrix = encode_columns(toy.columns, entries)
    periods = expand(toy.outcomes)
    categorical = [place for place, entry in enumerate(entries) if entry.dtype == "category"]
    params = {"learning_rate": 0.1, "num_leaves": 7, "min_data_in_leaf": 30}

    def part(rows: Any, label: np.ndarray) -> Any:
        data = FitData(matrix=with_period(matrix, rows.row, rows.period), label=label, categorical=categorical)
        trees = fit_trees("lightgbm", params, data, rounds=rounds, threads=1, seed=1)
        return make_part(trees, Calibration(), matrix[:60], threads=1)

    ended = periods.where(periods.closed > 0)
    model = CompetingRisks(closing=part(periods, periods.closed), winning=part(ended, ended.won))
    return model, entries, matrix


def with_toy_facts(
    model: CompetingRisks, toy: ToyDeals, entries: tuple[FeatureEntry, ...], matrix: np.ndarray
) -> CompetingRisks:
    """The model with what the toy teaches of amounts, days and actions."""
    futures: Futures = model.futures(matrix)
    return model.with_facts(
        DealFacts(
            amounts=learn_amounts(
                toy.columns, entity=toy.entity, won=toy.outcomes.won, final_usd=toy.outcomes.final_usd
            ),
            dates=learn_dates(futures, toy.outcomes, entity=toy.entity),
            associations=learn_associations(toy.columns, entries, toy.outcomes, entity=toy.entity, seed=1),
        )
    )


def write_toy(folder: Path, *, count: int = 3_000, seed: int = 3) -> tuple[DealScorer, ToyDeals]:
    """A toy deal model's bundle, read back, and what it was trained on."""
    toy = toy_deals(count, seed=seed)
    model, entries, matrix = toy_model(toy)
    model = with_toy_facts(model, toy, entries, matrix)
    label = np.nan_to_num(toy.outcomes.won, nan=0.0)
    shown = matrix[:40]
    contributions = model.contributions(shown)[:, :-1]
    probability = model.futures(matrix).won_ever
    manifest = Manifest(
        task="deal",
        name="toy-deal",
        version="1",
        feature_service="deal_win_v1",
        features=describe_features(entries, matrix, label, explained=shown, contributions=contributions),
        library=model.library,
        horizon_days=180,
        base_rate=float(label.mean()),
        trained_at="2025-06-01T00:00:00+00:00",
        trained_until="2025-05-31T00:00:00+00:00",
        calibration=Calibration().to_dict(),
        thresholds=grade_thresholds("deal", float(label.mean())),
        quantiles={"probability": tuple(np.quantile(probability, np.linspace(0, 1, 101)).tolist())},
        bands=probability_bands(label, probability, toy.entity),
    )
    scorer: Scorer = write_bundle(
        folder,
        manifest,
        model,
        columns=toy.columns,
        as_of=toy.as_of,
        explained=shown,
        contributions=contributions,
        seed=1,
    )
    assert isinstance(scorer, DealScorer)
    return scorer, toy
