"""The gate: worse out, better in, equal out, and out with the reason whatever cannot be evaluated; and its log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_toy import toy_columns, toy_truth, train_toy

from common.errors import ContractError, NotFoundError, UnavailableError
from training.gate.holdout import Holdout
from training.gate.paired import compare_log_loss
from training.promotion import appoint, decide, promotion_log
from training.promotion_log import Decision, PromotionLog, Seal
from training.results import RegisteredModel


class Registry:
    """What the gate asks of a registry, in memory."""

    def __init__(self, home: Path, champion: RegisteredModel | None, *, is_down: bool = False) -> None:
        self.home = home
        self.current = champion
        self.is_down = is_down
        self.appointed: list[str] = []
        self.sealed: dict[str, Seal] = {}

    def champion(self, name: str) -> RegisteredModel | None:
        if self.is_down:
            raise UnavailableError("The model registry is away")
        return self.current

    def set_champion(self, name: str, version: str) -> None:
        self.appointed.append(version)
        if self.current is not None:
            self.current = replace(self.current, version=version)

    def version(self, name: str, version: str) -> RegisteredModel:
        if not version.isdigit():
            raise NotFoundError(f"Model '{name}' has no version {version}")
        return RegisteredModel(name=name, version=version, run_id="r", aliases=(), metrics={}, bundle=self.home)

    def seal(self, name: str, seal: Seal) -> None:
        if self.is_down:
            raise UnavailableError("The model registry is away")
        self.sealed[name] = seal

    def seals(self) -> dict[str, Seal]:
        return self.sealed


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RegisteredModel]:
    folder = tmp_path_factory.mktemp("models")
    train_toy(folder / "good")
    train_toy(folder / "worse", noise=0.7, rounds=10)
    return {
        name: RegisteredModel(
            name="toy-lead", version=version, run_id="r", aliases=(), metrics={}, bundle=folder / bundle
        )
        for name, version, bundle in (("good", "2", "good"), ("same", "3", "good"), ("worse", "1", "worse"))
    }


def holdout(rows: int = 1_500) -> Holdout:
    columns = toy_columns(rows, seed=99)
    label = (np.random.default_rng(100).random(rows) < toy_truth(columns)).astype(float)
    return Holdout(columns=columns, label=label, entity=np.arange(rows).astype(str), base_rate=0.28)


def gate(
    tmp_path: Path,
    challenger: RegisteredModel,
    champion: RegisteredModel | None,
    rows: Holdout,
    *,
    is_down: bool = False,
) -> tuple[Decision, Registry]:
    registry = Registry(tmp_path, champion, is_down=is_down)
    return decide(challenger, rows, registry=registry, seed=1, who="tester"), registry  # type: ignore[arg-type]


def test_a_better_challenger_is_promoted(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    decision, registry = gate(tmp_path, models["good"], models["worse"], holdout())
    assert decision.promoted
    assert decision.reason.startswith("better than champion 1: log-loss 0.")
    assert decision.champion_before == "1"
    assert decision.evidence["difference_upper"] < 0
    assert registry.appointed == ["2"]


def test_a_worse_challenger_stays_out(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    decision, registry = gate(tmp_path, models["worse"], models["good"], holdout())
    assert not decision.promoted
    assert decision.reason.startswith("not surely better than champion 2")
    assert registry.appointed == []


def test_an_equal_challenger_stays_out(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    decision, registry = gate(tmp_path, models["same"], models["good"], holdout())
    assert not decision.promoted
    assert decision.evidence["difference"] == 0.0
    assert registry.appointed == []


def test_the_first_model_has_to_beat_the_base_rate(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    assert gate(tmp_path, models["good"], None, holdout())[0].promoted
    shuffled = holdout()
    rows = replace(shuffled, label=np.random.default_rng(1).permutation(shuffled.label))
    decision, registry = gate(tmp_path, models["good"], None, rows)
    assert not decision.promoted
    assert "not surely better than the base rate" in decision.reason
    assert registry.appointed == []


def test_challenger_is_not_promoted_when_registry_is_down(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    decision, registry = gate(tmp_path, models["good"], models["worse"], holdout(), is_down=True)
    assert not decision.promoted
    assert decision.reason == "could not be evaluated: The model registry is away."
    assert registry.appointed == []


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (replace(holdout(), label=np.empty(0), entity=np.empty(0)), "the holdout is empty"),
        (replace(holdout(), label=np.zeros(1_500)), "the holdout has one class only"),
        (
            replace(holdout(), label=np.r_[np.ones(4), np.zeros(1_496)]),
            "the holdout has 4 rows of one class and needs 10",
        ),
        (replace(holdout(), base_rate=0.0), "the base rate is 0 or 1"),
        (replace(holdout(), columns={"source": ["web"] * 1_500}), "The holdout lacks 2 features that version 2 reads"),
    ],
    ids=["empty", "one class", "few", "base rate", "features"],
)
def test_what_cannot_be_evaluated_is_not_promoted_and_says_why(
    tmp_path: Path, models: dict[str, RegisteredModel], rows: Holdout, reason: str
) -> None:
    decision, registry = gate(tmp_path, models["good"], models["worse"], rows)
    assert not decision.promoted
    assert f"could not be evaluated: {reason}" in decision.reason
    assert registry.appointed == []


def test_a_champion_whose_bundle_is_gone_keeps_its_place(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    lost = replace(models["worse"], bundle=tmp_path / "nowhere")
    decision, _ = gate(tmp_path, models["good"], lost, holdout())
    assert not decision.promoted
    assert "holds no manifest.json" in decision.reason


def test_every_decision_is_logged_with_who_when_and_why(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    _, registry = gate(tmp_path, models["good"], models["worse"], holdout())
    gate(tmp_path, models["good"], None, holdout(), is_down=True)
    appoint(registry, "toy-lead", "1", why="the new one scores odd leads", who="ops")  # type: ignore[arg-type]
    entries = promotion_log(registry).entries()  # type: ignore[arg-type]
    assert [(entry["promoted"], entry["who"]) for entry in entries] == [
        (True, "tester"),
        (False, "tester"),
        (True, "ops"),
    ]
    assert entries[2]["reason"] == "by hand: the new one scores odd leads"
    assert all(entry["at"].endswith("+00:00") for entry in entries)
    assert registry.appointed == ["2", "1"]


@pytest.mark.parametrize("tamper", ["change", "drop", "swap", "nonsense"])
def test_a_changed_line_shows(tmp_path: Path, tamper: str) -> None:
    log = PromotionLog(tmp_path / "promotions.jsonl")
    for version in ("1", "2", "3"):
        log.append(Decision(name="toy-lead", version=version, promoted=True, reason="better"))
    assert [entry["version"] for entry in log.entries()] == ["1", "2", "3"]
    lines = log.path.read_text().splitlines()
    if tamper == "change":
        lines[1] = json.dumps({**json.loads(lines[1]), "promoted": False})
    elif tamper == "drop":
        del lines[1]
    elif tamper == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[1] = "not json"
    log.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ContractError, match=r"Line 2 of the promotion log .* was changed"):
        log.entries()


def test_the_paired_difference_is_the_difference_of_the_log_losses() -> None:
    label = np.array([1.0, 0.0, 1.0, 0.0] * 20)
    ours, theirs = np.tile([0.8, 0.3, 0.6, 0.1], 20), np.full(80, 0.5)
    found = compare_log_loss(ours, theirs, label, np.arange(80).astype(str), seed=1)
    by_hand = -np.log([0.8, 0.7, 0.6, 0.9]).mean() + np.log(2) * -1
    assert found.difference == pytest.approx(by_hand)
    assert found.difference <= found.at_most() < 0
