"""AUC estimated before labels against the later truth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.monitoring_worlds import DATA, bank_frame, simulated_warehouse

MOST_ERROR = 0.03
REPLICATES = 500

# Name; matrix; label; columns that may be compared; rows that train, that have labels when the estimate is made, and
# that are tested.
EstimatedSet = tuple[str, pd.DataFrame, np.ndarray, list[str], tuple[np.ndarray, ...]]


def estimates(quick: bool) -> bool:
    """AUC before labels against the later truth: labels are known up to the change or cut, and none after."""
    import lightgbm as lgb

    from monitoring.estimating import Labelled, estimate_quality
    from training.calibration import fit_calibration

    print(
        f"{'AUC before labels':<34}{'rows':>8}{'estimated':>11}{'95 % interval':>18}"
        f"{'truth':>8}{'error':>8}{'inside':>8}{'earlier misses':>16}"
        f"{'said to be a guess':>20}  rows no label reaches"
    )
    good, covers = True, True
    for name, matrix, label, compared, parts in estimated_sets(quick):
        train, check, test = parts
        model = lgb.LGBMClassifier(
            n_estimators=150,
            learning_rate=0.05,
            num_leaves=15,
            min_child_samples=50,
            verbose=-1,
            n_jobs=2,
            random_state=7,
        ).fit(matrix.iloc[train], label[train])
        margin = model.predict(matrix, raw_score=True)
        half = len(check) // 2
        told = fit_calibration("platt", margin[check[:half]], label[check[:half]]).apply(margin)
        held = check[half:]
        columns = {column: matrix[column].to_numpy() for column in compared}
        known = Labelled(
            probability=told[held],
            label=label[held],
            entity=held.astype(str),
            until=datetime.now(UTC),
            columns={column: values[held] for column, values in columns.items()},
        )
        now = {column: values[test] for column, values in columns.items()}
        estimate = estimate_quality(told[test], known, seed=7, columns=now)
        figure = estimate.figures["auc"]
        truth, spread = later_truth(label[test], told[test])
        error, inside = figure.value - truth, figure.low <= truth <= figure.high
        good &= abs(error) <= MOST_ERROR
        covers &= inside
        earlier = {None: "too few", True: "as chance does", False: "beyond chance"}[estimate.is_steady]
        reach = "none" if estimate.reach is None else f"{estimate.reach.share:.0%} ({estimate.reach.column})"
        interval = f"{figure.low:.3f} to {figure.high:.3f}"
        print(
            f"{name:<34}{len(test):>8,}{figure.value:>11.3f}{interval:>18}{truth:>8.3f}{error:>+8.3f}{inside!s:>8}"
            f"{earlier:>16}{'yes' if estimate.is_a_guess else 'no':>20}  {reach}",
            flush=True,
        )
        low, high = error - spread, error + spread
        is_told = (low * high > 0 and min(abs(low), abs(high)) > MOST_ERROR) or max(abs(low), abs(high)) <= MOST_ERROR
        print(
            f"    with the luck of the later rows (±{spread:.3f}, 95 %) the error is {low:+.3f} to {high:+.3f}: "
            f"it {'can' if is_told else 'cannot'} be told from {MOST_ERROR}"
        )
    print(f"{'PASS' if good else 'FAIL'}: within {MOST_ERROR} everywhere")
    print(f"{'PASS' if covers else 'FAIL'}: every interval holds the later truth\n")
    return good and covers


def later_truth(label: np.ndarray, told: np.ndarray) -> tuple[float, float]:
    """AUC of the answers, and 1.96 standard errors of it: the luck of which rows came; each is another thing."""
    from training.evaluation import auc
    from training.resampling import resample

    drawn = resample(np.arange(len(label)), replicates=REPLICATES, seed=7)
    weights = np.column_stack([np.ones(len(label)), drawn.weights[drawn.group]])
    areas = auc(label, told, weights)
    return float(areas[0]), float(1.96 * areas[1:].std())


def estimated_sets(quick: bool) -> Iterator[EstimatedSet]:
    """What is estimated."""
    if DATA.is_dir():
        frame, label = bank_frame()
        count = len(frame)
        cuts = [0, int(0.5 * count), int(0.8 * count), count]
        rows = tuple(np.arange(low, high) for low, high in pairwise(cuts))
        matrix = _matrix(frame.drop(columns="as_of"))
        yield "bank, last fifth", matrix, label, list(matrix), rows
    for scenario in ("recession", "new-product", "process-change"):
        yield _scenario_set(scenario, quick)


def _scenario_set(scenario: Any, quick: bool) -> EstimatedSet:
    """Leads of a simulated world: labels up to the change; the half year after it is estimated."""
    from features.spines import lead_history_spine
    from monitoring.windows import split_features
    from training.frame import column_values
    from training.labels import LEAD_CONVERTED, as_of_times, label_spine
    from warehouse.simulator import SimulationConfig

    config = SimulationConfig(years=3, scenario=scenario, leads=6_000 if quick else 20_000)
    with simulated_warehouse(config) as (repository, warehouse, _):
        spine = lead_history_spine(warehouse, mode="creation", until=config.end)
        repository.build("lead_score_v1", spine)
        table = repository.training_frame("lead_score_v1", spine)
        specs = [feature for view in repository.views("lead_score_v1") for feature in view.features]
        label = label_spine(spine, warehouse, outcome=LEAD_CONVERTED, horizon_days=90, cut=config.end).value
        frame = pd.DataFrame({spec.name: column_values(table[spec.name], spec.dtype) for spec in specs})
    as_of = pd.to_datetime(pd.Series(as_of_times(spine)), utc=True)
    # What is labelled at the change was scored ninety days before it.
    matured, change = config.change - timedelta(days=90), config.change
    usable = ~np.isnan(label)
    train = np.flatnonzero(usable & (as_of < matured - timedelta(days=270)))
    check = np.flatnonzero(usable & (as_of >= matured - timedelta(days=270)) & (as_of < matured))
    test = np.flatnonzero(usable & (as_of >= change) & (as_of < change + timedelta(days=182)))
    compared = [feature.name for feature in split_features(specs)[0]]
    return f"simulated {scenario}, leads", _matrix(frame), np.nan_to_num(label), compared, (train, check, test)


def _matrix(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(lambda column: column.astype("category") if column.dtype == object else column)
