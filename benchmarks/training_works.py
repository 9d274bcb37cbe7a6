"""The works that benchmarks/training.py measures, each in a process of its own: `training_works.py WORK ROWS`.

Seconds are the process's own (CPU) and every library has one thread: what a clock on the wall would say on a quiet
machine, whatever else this one does.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

SEED = 7
NUMBERS, COUNTS, CATEGORIES = 26, 8, 6
THREADS = 1
TRIALS = 6
REPEATS = 5
ONE_ROW_CALLS = 40


def made_columns(rows: int) -> tuple[dict[str, Any], np.ndarray]:
    """40 columns with holes and unequal categories, and the log-odds that some of them make together."""
    generator = np.random.default_rng(SEED)
    columns: dict[str, Any] = {}
    for place in range(NUMBERS):
        values = generator.lognormal(0, 1, rows) if place % 3 else generator.normal(size=rows)
        values[generator.random(rows) < 0.04 * (place % 6)] = np.nan
        columns[f"number_{place}"] = values
    for place in range(COUNTS):
        columns[f"count_thing_{place}"] = generator.poisson(0.5 + place / 4, rows).astype(float)
    for place in range(CATEGORIES):
        names = np.array([f"kind {code}" for code in range(6 + 8 * place)], dtype=object)
        weights = 1.0 / np.arange(1, len(names) + 1)
        values = names[generator.choice(len(names), rows, p=weights / weights.sum())]
        values[generator.random(rows) < 0.05] = None
        columns[f"category_{place}"] = values
    first, second = (np.nan_to_num(columns[f"number_{place}"]) for place in (0, 3))
    third, count = np.log1p(np.nan_to_num(columns["number_1"])), columns["count_thing_2"]
    kind = np.isin(columns["category_1"].astype(str), ["kind 0", "kind 3"])
    margin = -2.6 + 0.5 * first + 0.6 * count * (second > 0) + 0.7 * third * kind + 0.3 * np.isnan(columns["number_5"])
    return columns, margin


def made_frame(rows: int) -> tuple[Any, Any]:
    """A frame of leads with some five rows each over two years, and its split by a moment."""
    from features.specs import FeatureSpec
    from training.frame import Frame, split_at

    columns, margin = made_columns(rows)
    generator = np.random.default_rng(SEED + 1)
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(float)
    start = np.datetime64("2023-01-01", "us")
    as_of = start + np.sort(generator.integers(0, 730 * 86_400, rows)).astype("timedelta64[s]").astype(
        "timedelta64[us]"
    )
    entity = np.array([f"lead_{place}" for place in np.arange(rows) // 5], dtype=object)
    kinds = {"number": "float", "count": "int", "category": "category"}
    specs = tuple(
        FeatureSpec(
            name=name,
            dtype=kinds[name.split("_")[0]],
            about=f"{name}.",
            unit="units",
            group="fit",
            phrase="has {value}",
        )
        for name in columns
    )
    cut = datetime(2025, 4, 1, tzinfo=UTC)
    until = as_of + np.timedelta64(90, "D")

    def label_at(moment: datetime) -> np.ndarray:
        return np.where(until <= np.datetime64(moment.replace(tzinfo=None), "us"), label, np.nan)

    frame = Frame(entity=entity, as_of=as_of, columns=columns, specs=specs, horizon_days=90, cut=cut, label_at=label_at)
    return frame, split_at(frame, moment=datetime(2024, 9, 1, tzinfo=UTC), by_entity=False)


class Clock:
    """Seconds by name, and calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Count the seconds of the block under a name."""
        started = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - started
            self.calls[name] += 1

    def watch(self, module: ModuleType, function: str, *, name: str | None = None) -> None:
        """Time every call of a module's function from now on."""
        inner: Callable[..., Any] = getattr(module, function)

        def timed(*args: Any, **options: Any) -> Any:
            with self.timing(name or function):
                return inner(*args, **options)

        setattr(module, function, timed)


def train(rows: int) -> dict[str, Any]:
    """One whole training: what the libraries' own fits took, and what all the rest did."""
    import lightgbm
    import xgboost

    from common.settings import Settings
    from training import bundle, classifier, linear, search, trees, writing
    from training.labels import LEAD_CONVERTED
    from training.recipe import Context, Recipe

    frame, partition = made_frame(rows)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    clock = Clock()
    # The fits themselves. What our own metric costs within them, at every round, is not the library's.
    clock.watch(lightgbm, "train", name="fit")
    clock.watch(xgboost, "train", name="fit")
    # LightGBM bins its rows within `train`; what XGBoost does for that before belongs to its fit as well.
    clock.watch(xgboost, "DMatrix", name="fit")
    for function in (search, "fit_trees"), (linear, "fit_linear"):
        clock.watch(*function)
    clock.watch(trees, "shifted_log_loss", name="metric within fits")
    parts = [
        "fit_entries",
        "_matrix",
        "probe",
        "slice_past",
        "fingerprint",
        "fit_rows",
        "cross_fitted",
        "backtest",
        "choose_calibration",
        "evaluate",
        "naive_answers",
        "run_study",
        "choose_winner",
    ]
    for function in parts:
        if hasattr(classifier, function):
            clock.watch(classifier, function)
    for function in ("describe_features", "reference_quantiles", "probability_bands", "write_bundle"):
        clock.watch(writing, function)
    clock.watch(bundle, "write_tables")
    with tempfile.TemporaryDirectory(prefix="salience-training-") as folder:
        settings = Settings(home=Path(folder))
        recipe = Recipe(
            task="lead",
            feature_service="lead_score_v1",
            outcome=LEAD_CONVERTED,
            horizon_days=90,
            spine=_no_spine,
            by_entity=False,
        )
        context = Context(
            recipe=recipe, settings=settings, name="made-lead", workspace="made", cut=frame.cut,
            journal=Path(folder) / "lead.journal", trials=TRIALS, accepted={}, progress=None,
        )  # fmt: skip
        started = time.process_time()
        developed = classifier.develop(
            frame, partition, journal=context.journal, trials=TRIALS, threads=THREADS, seed=SEED
        )
        folder_of_bundle, manifest = writing.make_bundle(context, frame, partition, developed, Path(folder))
        total = time.process_time() - started
        size = sum(path.stat().st_size for path in folder_of_bundle.iterdir()) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    fits = sum(clock.calls[name] for name in ("fit_trees", "fit_linear"))
    fit = clock.seconds["fit"] + clock.seconds["fit_linear"] - clock.seconds["metric within fits"]
    return {
        "rows": rows, "past_rows": len(partition.past), "total": total, "fit": fit, "fits": fits,
        "library": developed.model.library, "frame_gb": resident, "peak_gb": peak, "bundle_mb": size,
        "auc": developed.metrics["auc"].value, "agreement": manifest.explanation, "parts": dict(clock.seconds),
    }  # fmt: skip


def _no_spine(_: Any, until: datetime) -> Any:
    raise NotImplementedError(f"The frame is made here; nothing reads a warehouse until {until}")


def bare(rows: int) -> dict[str, Any]:
    """One fit of each library by hand, on the same past, with plain parameters; and the same fit through ours."""
    import lightgbm

    from training.encoding import encode_columns
    from training.frame import fit_entries
    from training.models import FitData
    from training.trees import fit_trees

    frame, partition = made_frame(rows)
    entries = fit_entries(frame, partition.past, partition.past_label)
    matrix = encode_columns({name: values[partition.past] for name, values in frame.columns.items()}, entries)
    categorical = [place for place, entry in enumerate(entries) if entry.dtype == "category"]
    params = {"num_leaves": 15, "learning_rate": 0.08, "min_data_in_leaf": 60}
    fixed = {"objective": "binary", "verbosity": -1, "num_threads": THREADS, "seed": SEED, "force_col_wise": True,
             "deterministic": True}  # fmt: skip
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(2):
        started = time.process_time()
        data = lightgbm.Dataset(matrix, partition.past_label, categorical_feature=categorical, params={"verbosity": -1})
        lightgbm.train({**fixed, **params}, data, 100)
        times["bare"].append(time.process_time() - started)
        started = time.process_time()
        ours = FitData(matrix=matrix, label=partition.past_label, categorical=categorical, monotone=[0] * len(entries))
        fit_trees("lightgbm", params, ours, rounds=100, threads=THREADS, seed=SEED)
        times["ours"].append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"bare": min(times["bare"]), "ours": min(times["ours"]), "peak_gb": peak}


def reasons(rows: int) -> dict[str, Any]:
    """Reasons per row beside a bare predict and the library's own Shapley values; and how often they agree."""
    return {kind: _reasons(kind, rows) for kind in ("lightgbm", "xgboost", "blend")}


def _reasons(kind: str, rows: int) -> dict[str, Any]:
    from training.agreement import measure_agreement
    from training.attribution import load_attribution, write_tables
    from training.blend import blend_of
    from training.bundle import describe_features
    from training.encoding import encode_columns
    from training.explanation import Explainer
    from training.frame import fit_entries
    from training.models import FitData
    from training.trees import fit_trees

    frame, partition = made_frame(rows)
    entries = fit_entries(frame, partition.past, partition.past_label)
    read = {name: values[partition.past] for name, values in frame.columns.items()}
    matrix, label = encode_columns(read, entries), partition.past_label
    later = encode_columns({name: values[partition.test] for name, values in frame.columns.items()}, entries)
    data = FitData(
        matrix=matrix, label=label, monotone=[0] * len(entries),
        categorical=[place for place, entry in enumerate(entries) if entry.dtype == "category"],
    )  # fmt: skip
    options: dict[str, Any] = {"rounds": 200, "threads": THREADS, "seed": SEED}
    light = {"num_leaves": 15, "learning_rate": 0.06, "min_data_in_leaf": 60}
    deep = {"max_depth": 4, "learning_rate": 0.08, "min_child_weight": 10.0}
    if kind == "blend":
        pair = [fit_trees("lightgbm", light, data, **options), fit_trees("xgboost", deep, data, **options)]
        model = blend_of(pair, (0.6, 0.4), 0.0)
    else:
        model = fit_trees(kind, light if kind == "lightgbm" else deep, data, **options)  # type: ignore[arg-type]
    explained = matrix[-1_500:]
    exact = model.contributions(explained, threads=THREADS)[:, :-1]
    described = describe_features(entries, matrix, label, explained=explained, contributions=exact)
    with tempfile.TemporaryDirectory(prefix="salience-reasons-") as folder:
        write_tables(Path(folder), model, described)
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        attribution = load_attribution(Path(folder), model, described)
    explainer = Explainer(described, base_rate=float(label.mean()), task="lead")
    seen = np.ascontiguousarray(later[:4_096])
    few, one = np.ascontiguousarray(seen[:500]), np.ascontiguousarray(seen[:1])
    fast, full = attribution.columns(few), model.contributions(few, threads=THREADS)[:, :-1]
    agreement = measure_agreement(fast, full, speakers=explainer.first_speakers(few, fast), layout=explainer.layout)

    def told(rows_of: np.ndarray) -> Any:
        return explainer.explain(rows_of, attribution.columns(rows_of), top=5)

    # Works take turns, so that whatever else the machine does falls on all of them alike.
    works: dict[str, tuple[Callable[[], Any], int]] = {
        "predict_one": (lambda: model.margin(one), 1),
        "values_one": (lambda: attribution.columns(one), 1),
        "told_one": (lambda: told(one), 1),
        "shap_one": (lambda: model.contributions(one), 1),
        "predict_many": (lambda: model.margin(seen), len(seen)),
        "values_many": (lambda: attribution.columns(seen), len(seen)),
        "told_many": (lambda: told(seen), len(seen)),
        "shap_many": (lambda: model.contributions(few), len(few)),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, (work, count) in works.items():
            for _ in range(ONE_ROW_CALLS if count == 1 else 1):
                started = time.process_time()
                work()
                taken[name].append((time.process_time() - started) / count * 1e6)
    # One row: the median of single calls. Many rows: the best of the repeats, for each is a mean already.
    best = {name: float(np.median(each) if works[name][1] == 1 else min(each)) for name, each in taken.items()}
    return {"microseconds": best, "agreement": dict(agreement), "tables_mb": size}


if __name__ == "__main__":
    # This file's folder is first on the path, and others in it are named like the packages they measure.
    sys.path.pop(0)
    from common.telemetry import disable_telemetry

    disable_telemetry()
    works: dict[str, Callable[[int], dict[str, Any]]] = {"train": train, "bare": bare, "reasons": reasons}
    print(json.dumps(works[sys.argv[1]](int(sys.argv[2]))))
