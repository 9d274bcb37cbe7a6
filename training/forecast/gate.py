"""The forecast's gate: challenger and champion on the same origins, entities and periods, by the same actual values.

Both bundles keep what they said at each origin of their backtests. The rows that both have are scored again with the
actual values as known now; whatever cannot be compared keeps the champion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from common.errors import TooLittleDataError
from training.gate.verdict import Verdict
from training.promotion import put_to_gate
from training.promotion_log import Decision

if TYPE_CHECKING:
    from training.registry import ModelRegistry
    from training.results import RegisteredModel

BACKTEST_FILE = "backtest.parquet"
_KEYS = ["origin", "level", "entity_id", "period"]
_REPLICATES = 1_000
_ONE_SIDED = 0.95
_LEAST_CLUSTERS = 4


@dataclass(frozen=True)
class Comparison:
    """Challenger against rival on the same rows.

    Args:
        challenger: Mean over levels of the challenger's WAPE.
        rival: The same of the rival.
        difference_upper: Below this the difference lies with 95 %, periods resampled.
        n_rows: Rows compared.
        n_periods: Periods compared.
    """

    challenger: float
    rival: float
    difference_upper: float
    n_rows: int
    n_periods: int


def compare_forecasts(rows: pd.DataFrame, *, ours: str, theirs: str, seed: int) -> Comparison:
    """Paired comparison of two columns of forecasts.

    Each level counts alike: a row's loss is its absolute error over the level's total of absolute actuals, over the
    number of levels. Periods are drawn with replacement, because entities share their periods' luck.

    Args:
        rows: Columns level, period, actual, and the two forecasts.
        ours: Column of the challenger.
        theirs: Column of the rival.
        seed: Seed of the resampling.
    """
    scale = rows["actual"].abs().groupby(rows["level"]).transform("sum") * rows["level"].nunique()
    loss_ours = (rows["actual"] - rows[ours]).abs() / scale
    loss_theirs = (rows["actual"] - rows[theirs]).abs() / scale
    by_period = (loss_ours - loss_theirs).groupby(rows["period"]).sum().to_numpy(dtype=np.float64)
    n = len(by_period)
    drawn = np.random.default_rng(seed).integers(0, n, size=(_REPLICATES, n))
    upper = float(np.quantile(by_period[drawn].sum(axis=1), _ONE_SIDED))
    return Comparison(float(loss_ours.sum()), float(loss_theirs.sum()), upper, len(rows), n)


def decide_forecast(
    challenger: RegisteredModel,
    backtest: pd.DataFrame,
    *,
    registry: ModelRegistry,
    baselines: Sequence[str],
    seed: int,
    who: str | None = None,
) -> Decision:
    """Promote the challenger if it is better than the champion, or its refresh; log the decision either way.

    Without a champion the challenger has to be no worse than the best naive answer on the same rows. With one, the
    pessimistic end of the difference has to be below zero; a challenger that said exactly the same on every common row
    is the same method with later data and takes over.

    Args:
        challenger: The version in question.
        backtest: Its backtest: origin, level, entity_id, period, actual, expected, and the baselines.
        registry: Where the champion is looked up and set.
        baselines: Columns with naive answers.
        seed: Seed of the resampling.
        who: Who asked; the user of this process unless given.

    Returns:
        The decision. It is never an error: what cannot be evaluated is not promoted.
    """

    def test(champion: RegisteredModel | None) -> Verdict:
        promoted, reason, comparison = (
            _against_naive(backtest, baselines, seed=seed)
            if champion is None
            else _against_champion(champion, challenger, backtest, seed=seed)
        )
        return Verdict(promoted=promoted, reason=reason, evidence=_evidence(comparison))

    return put_to_gate(challenger, test, registry=registry, who=who)


def _against_naive(
    backtest: pd.DataFrame, baselines: Sequence[str], *, seed: int
) -> tuple[bool, str, Comparison | None]:
    known = [name for name in baselines if name in backtest and backtest[name].notna().all()]
    if not known or backtest.empty or not _finite(backtest, ["actual", "expected"]):
        return False, "could not be evaluated: there is no naive answer to compare with on every row", None
    found = {name: compare_forecasts(backtest, ours="expected", theirs=name, seed=seed) for name in known}
    best = min(found, key=lambda name: found[name].rival)
    comparison = found[best]
    promoted = comparison.challenger <= comparison.rival
    verdict = "no worse than" if promoted else "worse than"
    return promoted, f"{verdict} the best naive answer, {best}: {_figures(comparison)}", comparison


def _against_champion(
    champion: RegisteredModel, challenger: RegisteredModel, backtest: pd.DataFrame, *, seed: int
) -> tuple[bool, str, Comparison | None]:
    if champion.version == challenger.version:
        return False, "it is the champion already", None
    theirs = pd.read_parquet(champion.bundle / BACKTEST_FILE)[[*_KEYS, "expected"]]
    rows = backtest.merge(theirs.rename(columns={"expected": "theirs"}), on=_KEYS, how="inner")
    if rows["period"].nunique() < _LEAST_CLUSTERS or not _finite(rows, ["actual", "expected", "theirs"]):
        return (
            False,
            f"could not be evaluated: {rows['period'].nunique()} periods in common, and {_LEAST_CLUSTERS} are needed",
            None,
        )
    comparison = compare_forecasts(rows, ours="expected", theirs="theirs", seed=seed)
    if np.array_equal(rows["expected"].to_numpy(), rows["theirs"].to_numpy()):
        return (
            True,
            f"the same method as champion {champion.version}, with later data: {_figures(comparison)}",
            comparison,
        )
    promoted = comparison.difference_upper < 0.0
    verdict = "better than" if promoted else "not surely better than"
    return promoted, f"{verdict} champion {champion.version}: {_figures(comparison)}", comparison


def compare_bundles(first: RegisteredModel, second: RegisteredModel, *, seed: int) -> Comparison:
    """Two registered forecasts on the origins, entities and periods that both have, the second as the challenger.

    Args:
        first: A version.
        second: Another; its actual values count.
        seed: Seed of the resampling.

    Raises:
        TooLittleDataError: if they have too few periods in common.
    """
    theirs, ours = (pd.read_parquet(model.bundle / BACKTEST_FILE) for model in (first, second))
    rival = theirs[[*_KEYS, "expected"]].rename(columns={"expected": "theirs"})
    rows = ours.merge(rival, on=_KEYS, how="inner")
    if rows["period"].nunique() < _LEAST_CLUSTERS or not _finite(rows, ["actual", "expected", "theirs"]):
        raise TooLittleDataError(
            f"Versions {first.version} and {second.version} cannot be compared",
            expected=f"at least {_LEAST_CLUSTERS} judged periods that both have",
            got=f"{rows['period'].nunique()}",
        )
    return compare_forecasts(rows, ours="expected", theirs="theirs", seed=seed)


def _finite(rows: pd.DataFrame, columns: list[str]) -> bool:
    return bool(np.isfinite(rows[columns].to_numpy(dtype=np.float64)).all())


def _figures(comparison: Comparison) -> str:
    return (
        f"WAPE over all levels {comparison.challenger:.4f} against {comparison.rival:.4f} on the same "
        f"{comparison.n_rows} rows of {comparison.n_periods} periods; "
        f"difference at most {comparison.difference_upper:+.4f} with 95 %"
    )


def _evidence(comparison: Comparison | None) -> dict[str, float]:
    if comparison is None:
        return {}
    return {
        "wape_challenger": comparison.challenger,
        "wape_rival": comparison.rival,
        "difference": comparison.challenger - comparison.rival,
        "difference_upper": comparison.difference_upper,
        "rows": float(comparison.n_rows),
        "periods": float(comparison.n_periods),
    }
