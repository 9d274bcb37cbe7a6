"""What would help: what like deals that had it, against those that had not, are associated with.

For each thing that a salesperson can bring about (a next step with a date, a meeting, an answer of the customer, …)
past snapshots are compared: the same stage, a like age, and a like chance apart from the thing itself. That chance is a
prognostic score (Hansen 2008): a logistic regression on all features, fitted on other deals, without what the thing's
own features add. Within these strata the odds of winning with and without it are compared and pooled (Mantel and
Haenszel 1959); the interval draws whole deals. What is not surely positive is not told. It is an association: deals
that go well also get meetings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.deals.columns import NO_VALUE, numbers, texts
from training.deals.outcomes import Outcomes
from training.deals.things import THINGS, Thing, has_thing
from training.encoding import encode_columns
from training.linear import fit_linear
from training.manifest import FeatureEntry
from training.models import FitData
from training.resampling import Resample, resample
from training.splits import entity_folds

Vector = NDArray[np.float64]
Columns = Mapping[str, Sequence[Any]]

_FIT_ROWS = 6_000
_FOLDS = 2
_REPLICATES = 300
_SCORE_BANDS, _AGE_BANDS = 5, 2
_LEAST_DEALS = 50
# Snapshots count that were watched as long as this share of the deals took to end.
_WATCHED_SHARE = 0.9
_FALSE_ALARMS = 0.05
_RIDGE = {"ridge_rows": 30.0, "lasso_rows": 1.0, "segments": 0}
ANY_STAGE = ""


@dataclass(frozen=True)
class Association:
    """Odds of winning with a thing over those without, among like deals.

    Args:
        thing: Name of the thing.
        stage: Stage it was found in; `ANY_STAGE` for all.
        log_odds: Logarithm of the pooled odds ratio.
        low: Below this it lies with the chance that all things together may be told wrongly (5 %), shared among them.
        high: The other end of the interval.
        rate_with: Share won of the deals that had it.
        rate_without: Share won of like deals that had not, weighted to be like those that had.
        deals_with: Deals that had it.
        deals_without: Deals that had not.
    """

    thing: str
    stage: str
    log_odds: float
    low: float
    high: float
    rate_with: float
    rate_without: float
    deals_with: int
    deals_without: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Past:
    """Snapshots whose outcome is settled."""

    columns: Columns
    matrix: Vector
    won: Vector
    stage: NDArray[np.str_]
    entity: NDArray[Any]
    drawn: Resample

    @property
    def rows(self) -> int:
        return len(self.won)


def learn_associations(
    columns: Columns, entries: Sequence[FeatureEntry], outcomes: Outcomes, *, entity: NDArray[Any], seed: int
) -> tuple[Association, ...]:
    """Compare past deals with and without each thing.

    Args:
        columns: Feature columns of past snapshots.
        entries: The model's features.
        outcomes: How the snapshots' deals ended, as known at the split.
        entity: Deal of each snapshot.
        seed: Seed of every draw.

    Returns:
        Surely positive associations only: of all stages together, and of single stages.
    """
    past = _settled(columns, entries, outcomes, entity=entity, seed=seed)
    names = {entry.name for entry in entries}
    things = [thing for thing in THINGS if names.issuperset(thing.reads)]
    if past is None or not things:
        return ()
    margin, pieces = _prognosis(past, entries, seed=seed)
    place = {entry.name: at for at, entry in enumerate(entries)}
    found: list[Association] = []
    for thing in things:
        own = [place[name] for name in (*thing.reads, *thing.about) if name in place]
        apart = margin - pieces[:, own].sum(axis=1)
        had = has_thing(thing, columns=past.columns, count=past.rows)
        stratum = _strata(past, apart)
        for stage in (ANY_STAGE, *np.unique(past.stage).tolist()):
            chosen = np.ones(past.rows, dtype=bool) if stage == ANY_STAGE else past.stage == stage
            one = _associate(thing.name, stage, past, had, stratum, chosen, tried=len(things))
            if one is not None and one.low > 0:
                found.append(one)
    return tuple(found)


def _settled(
    columns: Columns, entries: Sequence[FeatureEntry], outcomes: Outcomes, *, entity: NDArray[Any], seed: int
) -> _Past | None:
    ended = ~np.isnan(outcomes.won) & ~outcomes.is_decided
    if not ended.any():
        return None
    long_enough = outcomes.watched_days >= np.quantile(outcomes.days[ended], _WATCHED_SHARE)
    rows = np.flatnonzero(long_enough & ~outcomes.is_decided)
    won = np.nan_to_num(outcomes.won[rows], nan=0.0)
    deals = entity[rows]
    counts = [len(np.unique(deals[won == value].astype(str))) for value in (0.0, 1.0)]
    if min(counts) < _LEAST_DEALS:
        return None
    chosen: dict[str, Any] = {name: np.asarray(values)[rows] for name, values in columns.items()}
    return _Past(
        columns=chosen,
        matrix=encode_columns(chosen, entries),
        won=won,
        stage=np.array(texts(chosen, "stage", len(rows)), dtype=np.str_),
        entity=deals,
        drawn=resample(deals, replicates=_REPLICATES, seed=seed),
    )


def _prognosis(past: _Past, entries: Sequence[FeatureEntry], *, seed: int) -> tuple[Vector, Vector]:
    """Log-odds of winning and each feature's part of them, from regressions fitted on other deals."""
    fold = entity_folds(past.entity, folds=_FOLDS, seed=seed)
    margin, pieces = np.empty(past.rows), np.empty(past.matrix.shape)
    generator = np.random.default_rng(seed)
    for held in range(_FOLDS):
        rest = np.flatnonzero(fold != held)
        if len(rest) > _FIT_ROWS:
            rest = np.sort(generator.choice(rest, _FIT_ROWS, replace=False))
        data = FitData(
            matrix=past.matrix[rest],
            label=past.won[rest],
            categorical=[at for at, entry in enumerate(entries) if entry.dtype == "category"],
        )
        model = fit_linear(dict(_RIDGE), data)
        mine = fold == held
        parts = model.contributions(past.matrix[mine])
        pieces[mine], margin[mine] = parts[:, :-1], parts.sum(axis=1)
    return margin, pieces


def _strata(past: _Past, apart: Vector) -> NDArray[np.int64]:
    """Stage, band of the chance apart from the thing, band of age; bands of equally many rows within a stage."""
    age = np.nan_to_num(numbers(past.columns, "deal_age_days", past.rows), nan=0.0)
    names, stage = np.unique(past.stage, return_inverse=True)
    code = np.zeros(past.rows, dtype=np.int64)
    for number in range(len(names)):
        rows = np.flatnonzero(stage == number)
        band = _bands(apart[rows], _SCORE_BANDS) * _AGE_BANDS + _bands(age[rows], _AGE_BANDS)
        code[rows] = number * _SCORE_BANDS * _AGE_BANDS + band
    return code


def _bands(values: Vector, count: int) -> NDArray[np.int64]:
    edges = np.quantile(values, np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _associate(
    thing: str,
    stage: str,
    past: _Past,
    had: NDArray[np.bool_],
    stratum: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    *,
    tried: int,
) -> Association | None:
    deals = [len(np.unique(past.entity[chosen & (had == value)].astype(str))) for value in (True, False)]
    if min(deals) < _LEAST_DEALS:
        return None
    strata = int(stratum.max()) + 1
    # Cells: won with, lost with, won without, lost without.
    cell = stratum * 4 + np.where(had, 0, 2) + np.where(past.won == 1.0, 0, 1)
    weight = chosen.astype(np.float64)
    drawn = past.drawn.sums(weight, cell=cell, cells=strata * 4).reshape(strata, 4, -1)
    point = np.asarray(np.bincount(cell, weight, minlength=strata * 4), dtype=np.float64).reshape(strata, 4, 1)
    value, spread = float(_log_odds_ratio(point)[0]), _log_odds_ratio(drawn)
    spread = spread[np.isfinite(spread)]
    if not math.isfinite(value) or len(spread) < _REPLICATES // 2:
        return None
    reach = _normal_quantile(1.0 - _FALSE_ALARMS / (2.0 * tried)) * float(spread.std(ddof=1))
    counts = point[:, :, 0]
    with_it, without = counts[:, :2].sum(axis=1), counts[:, 2:].sum(axis=1)
    both = (with_it > 0) & (without > 0)
    share = np.divide(counts[:, 2], without, out=np.zeros(strata), where=without > 0)
    return Association(
        thing=thing,
        stage=stage,
        log_odds=value,
        low=value - reach,
        high=value + reach,
        rate_with=float(counts[both, 0].sum() / with_it[both].sum()),
        rate_without=float((share[both] * with_it[both]).sum() / with_it[both].sum()),
        deals_with=deals[0],
        deals_without=deals[1],
    )


def _log_odds_ratio(cells: Vector) -> Vector:
    """Logarithm of the Mantel-Haenszel odds ratio; cells (strata, 4, n) as in `_associate`, answer (n,)."""
    total = np.maximum(cells.sum(axis=1), 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (cells[:, 0] * cells[:, 3] / total).sum(axis=0) / (cells[:, 1] * cells[:, 2] / total).sum(axis=0)
        return np.asarray(np.log(ratio))


def _normal_quantile(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(level)


def suggest(
    associations: Sequence[Association], columns: Columns, probability: Vector, *, top: int = 3
) -> list[list[dict[str, Any]]]:
    """The things that each deal lacks and that would go with the greatest rise of its probability.

    Args:
        associations: What was learned.
        columns: Feature columns.
        probability: P(won ever) of each deal.
        top: Most things per deal.
    """
    count = len(probability)
    found: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    known: dict[str, dict[str, Association]] = {}
    for one in associations:
        known.setdefault(one.thing, {})[one.stage] = one
    things = [thing for thing in THINGS if thing.name in known and all(name in columns for name in thing.reads)]
    if not things or not count:
        return found
    stages, stage = np.unique(np.array(texts(columns, "stage", count)), return_inverse=True)
    held = [[known[thing.name].get(name) or known[thing.name].get(ANY_STAGE) for name in stages] for thing in things]
    odds = np.log(np.clip(probability, 1e-9, 1 - 1e-9)) - np.log1p(-np.clip(probability, 1e-9, 1 - 1e-9))
    gains = {name: _gains(held, name, stage, odds, probability) for name in ("low", "log_odds", "high")}
    lacks = np.array([~has_thing(thing, columns=columns, count=count) for thing in things])
    rank = np.where(lacks & np.isfinite(gains["log_odds"]), gains["log_odds"], -np.inf)
    told = [[_told(thing, one) for one in row] for thing, row in zip(things, held, strict=True)]
    for place in np.argsort(-rank, axis=0, kind="stable")[:top]:
        rows = np.flatnonzero(rank[place, np.arange(count)] > 0)
        chosen = place[rows]
        ends = (np.round(gains[name][chosen, rows], 4).tolist() for name in ("log_odds", "low", "high"))
        for row, number, of, gain, low, high in zip(
            rows.tolist(), chosen.tolist(), stage[rows].tolist(), *ends, strict=True
        ):
            found[row].append({**told[number][of], "gain": gain, "gain_low": low, "gain_high": high})
    return found


def _gains(
    held: Sequence[Sequence[Association | None]],
    end: str,
    stage: NDArray[np.int64],
    odds: Vector,
    probability: Vector,
) -> Vector:
    """What each thing would add to each deal's probability, shape (n_things, n_deals); NaN where nothing is known."""
    steps = np.array([[np.nan if one is None else getattr(one, end) for one in row] for row in held])
    return np.asarray(1.0 / (1.0 + np.exp(-(odds + steps[:, stage]))) - probability)


def _told(thing: Thing, one: Association | None) -> dict[str, Any]:
    """What is said of a thing to every deal of a stage; the gains, which differ, have their places."""
    if one is None:
        return {}
    where = "" if one.stage in (ANY_STAGE, NO_VALUE) else f" in stage {one.stage}"
    text = (
        f"{thing.advice}: like deals{where} that had this were won in {100 * one.rate_with:.0f} % of the cases, those "
        f"that had not in {100 * one.rate_without:.0f} % (an association, not a proven effect)"
    )
    return {
        "action": thing.name,
        "text": text,
        "gain": 0.0,
        "gain_low": 0.0,
        "gain_high": 0.0,
        "deals_with": one.deals_with,
        "deals_without": one.deals_without,
    }
