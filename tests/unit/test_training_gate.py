"""The gate's checks one by one: the figures against plain loops, and each able to keep a challenger out by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_toy import toy_columns, toy_truth, train_toy

from common.errors import ContractError
from common.settings import GateSettings
from training.calibration import log_loss_rows, logit, sigmoid
from training.evaluation import ece
from training.gate.answers import Answers, answers_of
from training.gate.holdout import Holdout
from training.gate.judging import judge, judge_answers, value_pair
from training.gate.latency import time_answers
from training.gate.paired import compare_calibration, compare_log_loss, compare_segment, compare_value
from training.gate.verdict import Check
from training.results import RegisteredModel
from training.scorer import Scorer
from training.segments import segment_rows

LIMITS = GateSettings()
ROWS = 4_000


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return train_toy(tmp_path_factory.mktemp("bundle"), rounds=10, rows=1_000)


@pytest.fixture(scope="module")
def world() -> tuple[Holdout, np.ndarray]:
    """A holdout with its true probabilities."""
    columns = toy_columns(ROWS, seed=5)
    truth = toy_truth(columns)
    label = (np.random.default_rng(6).random(ROWS) < truth).astype(float)
    months = np.datetime64("2025-01-01", "us") + np.arange(ROWS) * np.timedelta64(60, "m")
    rows = Holdout(
        columns=columns, label=label, entity=np.arange(ROWS).astype(str), base_rate=0.28, as_of=months, horizon_days=90
    )
    return rows, truth


def checks(
    scorer: Scorer, holdout: Holdout, ours: np.ndarray, theirs: np.ndarray, limits: GateSettings = LIMITS
) -> dict[str, Check]:
    found = judge_answers(Answers(scorer, ours), Answers(scorer, theirs), holdout, limits=limits, seed=1)
    return {check.name: check for check in found}


def test_all_five_checks_pass_for_a_better_model(scorer: Scorer, world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    found = checks(scorer, holdout, truth, sigmoid(logit(truth) * 0.5 - 0.5))
    assert list(found) == ["log_loss", "value", "calibration", "segments", "latency"]
    assert all(check.passed for check in found.values())
    assert json.dumps([dict(check.figures) for check in found.values()])


def test_a_better_log_loss_does_not_pay_for_lost_value_at_capacity(
    scorer: Scorer, world: tuple[Holdout, np.ndarray]
) -> None:
    holdout, truth = world
    # The champion ranks rightly but is far too sure; the challenger is calibrated, and wrong about the best rows alone.
    champion = sigmoid(3.0 * logit(truth))
    best = truth >= np.quantile(truth, 0.8)
    challenger = np.where(best, truth[best].mean(), truth)
    challenger[best] += np.random.default_rng(3).permutation(np.linspace(-0.01, 0.01, int(best.sum())))
    found = checks(scorer, holdout, challenger, champion)
    assert found["log_loss"].passed
    assert not found["value"].passed
    assert found["value"].words.endswith("surely worse")


def test_a_worse_calibration_keeps_it_out(scorer: Scorer, world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    blunt = np.full(ROWS, holdout.label.mean())
    found = checks(scorer, holdout, sigmoid(logit(truth) + 0.5), blunt)
    assert found["log_loss"].passed
    assert not found["calibration"].passed


def test_a_segment_that_is_served_worse_keeps_it_out_and_is_named(
    scorer: Scorer, world: tuple[Holdout, np.ndarray]
) -> None:
    holdout, truth = world
    champion = sigmoid(logit(truth) * 0.6)
    referral = holdout.columns["source"] == "referral"
    challenger = np.where(referral, sigmoid(-logit(truth) * 0.4), truth)
    rest = np.flatnonzero(~referral)
    fewer = np.r_[rest, np.flatnonzero(referral)[:300]]
    rows = replace(
        holdout,
        columns={name: values[fewer] for name, values in holdout.columns.items()},
        label=holdout.label[fewer],
        entity=holdout.entity[fewer],
        as_of=None,
    )
    found = checks(scorer, rows, challenger[fewer], champion[fewer])
    assert not found["segments"].passed
    assert "source referral" in found["segments"].words
    assert found["segments"].figures["segments_worse"] >= 1.0


def test_a_segment_too_small_to_judge_is_not_judged(scorer: Scorer, world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    few = GateSettings(segment_entities=ROWS)
    assert checks(scorer, holdout, truth, truth, few)["segments"].figures == {"segments": 0.0, "segments_worse": 0.0}


class Slow:
    """A model that takes its time."""

    library, rounds = "lightgbm", 1

    def __init__(self, model: Any, seconds: float) -> None:
        self._model = model
        self._seconds = seconds

    def margin(self, matrix: np.ndarray, *, threads: int = 1) -> np.ndarray:
        time.sleep(self._seconds)
        return self._model.margin(matrix, threads=threads)

    def contributions(self, matrix: np.ndarray, *, threads: int = 1) -> np.ndarray:
        return self._model.contributions(matrix, threads=threads)

    def save(self, folder: Path) -> None:
        self._model.save(folder)


def test_an_answer_beyond_the_budget_keeps_it_out(scorer: Scorer, world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    slow = Scorer(scorer.manifest, Slow(scorer._model, 0.06), scorer._attribution)
    few = replace(
        holdout,
        columns={name: v[:6] for name, v in holdout.columns.items()},
        label=holdout.label[:6],
        entity=holdout.entity[:6],
        as_of=None,
    )
    found = judge_answers(Answers(slow, truth[:6]), Answers(scorer, truth[:6]), few, limits=LIMITS, seed=1)
    latency = found[-1]
    assert not latency.passed
    assert latency.figures["latency_p99_ms"] > LIMITS.latency_ms


def test_both_models_are_timed_on_the_same_rows(scorer: Scorer, world: tuple[Holdout, np.ndarray]) -> None:
    timed = time_answers([scorer, scorer], world[0].columns, seed=1)
    assert len(timed) == 2
    assert all(0.0 < each.median_ms <= each.p99_ms for each in timed)


def plain_value(probability: np.ndarray, value: np.ndarray, share: float) -> float:
    """The best rows one by one, ties by their mean."""
    room, brought = share * len(value), 0.0
    for score in sorted(set(probability.tolist()), reverse=True):
        tied = probability == score
        taken = min(room, float(tied.sum()))
        brought += taken * float(value[tied].mean())
        room -= taken
    return brought


@pytest.mark.parametrize("share", [0.05, 0.37, 1.0])
def test_value_at_capacity_is_that_of_a_plain_loop(share: float) -> None:
    generator = np.random.default_rng(2)
    ours, theirs = generator.integers(0, 20, 300) / 20.0, generator.random(300)
    value = generator.exponential(size=300) * (generator.random(300) < 0.3)
    found = compare_value(ours, theirs, value, np.arange(300).astype(str), share=share, seed=1)
    assert found.ours == pytest.approx(plain_value(ours, value, share))
    assert found.theirs == pytest.approx(plain_value(theirs, value, share))


def test_the_standard_error_of_a_segment_is_the_bootstraps() -> None:
    generator = np.random.default_rng(3)
    entity = np.repeat(np.arange(400), 3).astype(str)
    label = (generator.random(1_200) < 0.3).astype(float)
    ours, theirs = generator.uniform(0.1, 0.6, 1_200), generator.uniform(0.1, 0.6, 1_200)
    pair = compare_segment(ours, theirs, label, entity, kind="source", name="web")
    drawn = compare_log_loss(ours, theirs, label, entity, seed=1)
    assert pair.difference == pytest.approx(drawn.difference)
    assert pair.error == pytest.approx(float(drawn.drawn.std()), rel=0.1)
    assert pair.at_least(looked_at=20) < pair.at_least(looked_at=1) < pair.difference


def test_compared_calibration_is_the_reports(world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    found = compare_calibration(truth, truth * 0.5, holdout.label, holdout.entity, seed=1)
    assert found.ours == pytest.approx(float(ece(holdout.label, truth, np.ones((ROWS, 1)))[0]))
    assert found.at_most() < 0.0


def test_the_row_losses_add_up(world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    found = compare_log_loss(truth, truth[::-1], holdout.label, holdout.entity, seed=1)
    assert found.ours == pytest.approx(log_loss_rows(holdout.label, truth).mean())
    assert found.at_least() < found.difference < found.at_most()


def test_each_lead_is_worked_once_and_a_capacity_may_be_a_number_a_week(world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    assert holdout.as_of is not None
    twice = replace(
        holdout,
        columns={},
        label=np.tile(holdout.label, 2),
        entity=np.tile(holdout.entity, 2),
        as_of=np.r_[holdout.as_of, holdout.as_of + np.timedelta64(1, "D")],
    )
    # What a model says of the later rows changes nothing.
    ours = np.r_[truth, truth[::-1]]
    pair, share = value_pair(ours, ours, twice, capacity=0.1, seed=1)
    assert share == 0.1
    assert pair.ours == pytest.approx(plain_value(truth, holdout.label, 0.1))
    weeks = (ROWS - 1) / 24 / 7
    assert value_pair(ours, ours, twice, capacity=7.0, seed=1)[1] == pytest.approx(7 * weeks / ROWS)


def test_value_is_counted_in_worth_where_rows_have_one(scorer: Scorer, world: tuple[Holdout, np.ndarray]) -> None:
    holdout, truth = world
    worth = np.where(np.arange(ROWS) % 2 == 0, 1_000.0, np.nan)
    rich = replace(holdout, worth=worth)
    assert rich.value().sum() == 1_000.0 * holdout.label[::2].sum()
    assert "in value against" in checks(scorer, rich, truth, truth)["value"].words


def test_segments_are_those_the_frame_has_columns_for() -> None:
    columns = {
        "lead_source": ["web", None, "web", float("nan")],
        "employee_count": [10.0, float("nan"), 5_000.0, 250.0],
        "industry": ["all alike"] * 4,
    }
    found = segment_rows(columns, as_of=np.array(["2025-01-31", "2025-02-01"] * 2, dtype="datetime64[us]"))
    assert {kind: names.tolist() for kind, names in found.items()} == {
        "source": ["web", "unknown", "web", "unknown"],
        "size": ["1-49 people", "unknown", "1000 people and more", "250-999 people"],
        "month": ["2025-01", "2025-02"] * 2,
    }


def _spoil(name: str) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        if name == "model text cut":
            (bundle / "model.txt").write_text((bundle / "model.txt").read_text()[:200])
        elif name == "model gone":
            (bundle / "model.txt").unlink()
        elif name == "manifest no JSON":
            (bundle / "manifest.json").write_text("{")
        elif name == "manifest of another shape":
            (bundle / "manifest.json").write_text('{"task": "lead"}')
        else:
            text = json.loads((bundle / "manifest.json").read_text())
            change = {"unknown kind": {"library": "oracle"}, "another horizon": {"horizon_days": 30}}[name]
            (bundle / "manifest.json").write_text(json.dumps(text | change))

    return spoil


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("model text cut", "was cut short"),
        ("model gone", "Version 2 cannot be asked"),
        ("manifest no JSON", "Version 2 cannot be asked: JSONDecodeError"),
        ("manifest of another shape", "Version 2 cannot be asked"),
        ("unknown kind", "There is no kind of model 'oracle'"),
        ("another horizon", "Expected: outcomes within 90 days. Got: outcomes within 30 days"),
    ],
)
def test_a_bundle_that_cannot_be_asked_is_refused_with_the_reason(
    tmp_path: Path, world: tuple[Holdout, np.ndarray], spoilt: str, reason: str
) -> None:
    from training.promotion import put_to_gate

    train_toy(tmp_path / "bundle", rounds=5, rows=500)
    _spoil(spoilt)(tmp_path / "bundle")
    model = RegisteredModel(name="m", version="2", run_id="", aliases=(), metrics={}, bundle=tmp_path / "bundle")

    class NoChampion:
        home = tmp_path

        def champion(self, name: str) -> None:
            return None

        def seal(self, name: str, seal: Any) -> None:
            self.sealed = seal

    decision = put_to_gate(
        model,
        lambda champion: judge(model, champion, world[0], limits=LIMITS, seed=1),
        registry=NoChampion(),  # type: ignore[arg-type]
        who="tester",
    )
    assert not decision.promoted
    assert decision.reason.startswith("could not be evaluated: ")
    assert reason in decision.reason


def test_a_model_that_answers_nan_is_refused_and_the_rows_are_counted(
    tmp_path: Path, world: tuple[Holdout, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_toy(tmp_path, rounds=5, rows=500)
    model = RegisteredModel(name="m", version="2", run_id="", aliases=(), metrics={}, bundle=tmp_path)
    monkeypatch.setattr(Scorer, "probability", lambda self, matrix: np.r_[np.nan, 1.5, np.full(len(matrix) - 2, 0.5)])
    with pytest.raises(ContractError, match="Version 2 answered something that is no probability on 2 rows"):
        answers_of(model, world[0])
