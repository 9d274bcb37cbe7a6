"""The gate: worse out, better in, equal out, and out with the reason whatever cannot be evaluated; and its log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_toy import toy_columns, toy_truth, train_toy

from common.errors import ContractError, InputError, NotFoundError, UnavailableError
from training.gate.holdout import Holdout
from training.gate.paired import compare_log_loss
from training.promotion import appoint, decide, promotion_log, roll_back
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


def test_nobody_promotes_by_hand_without_a_reason(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    registry = Registry(tmp_path, models["good"])
    for why in ("", "  ", "because"):
        with pytest.raises(InputError, match=r"promoted by hand only for a reason"):
            appoint(registry, "toy-lead", "1", why=why)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        appoint(registry, "toy-lead", "newest", why="it is the newest")  # type: ignore[arg-type]
    assert registry.appointed == []
    assert promotion_log(registry).entries() == []  # type: ignore[arg-type]


def test_rollback_goes_back_one_champion_each_time(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    registry = Registry(tmp_path, models["good"])
    for version in ("1", "3", "2"):
        appoint(registry, "toy-lead", version, why="for the test")  # type: ignore[arg-type]
    done = [roll_back(registry, "toy-lead", why="odd answers", who="ops") for _ in range(2)]  # type: ignore[arg-type]
    assert [(each.version, each.champion_before) for each in done] == [("3", "2"), ("1", "3")]
    assert done[0].reason == "rolled back from version 2: odd answers"
    assert registry.appointed == ["1", "3", "2", "3", "1"]
    with pytest.raises(NotFoundError, match=r"knows no champion of 'toy-lead' before version 1.*promote VERSION"):
        roll_back(registry, "toy-lead")  # type: ignore[arg-type]


def test_rollback_trusts_no_log_that_was_cut_short(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    registry = Registry(tmp_path, models["good"])
    for version in ("1", "3"):
        appoint(registry, "toy-lead", version, why="for the test")  # type: ignore[arg-type]
    log = promotion_log(registry)  # type: ignore[arg-type]
    log.path.write_text(log.path.read_text().splitlines()[0] + "\n")
    with pytest.raises(ContractError, match="was cut short or replaced"):
        roll_back(registry, "toy-lead")  # type: ignore[arg-type]
    assert registry.appointed == ["1", "3"]


def test_an_alias_that_could_not_be_moved_is_logged_as_not_moved(
    tmp_path: Path, models: dict[str, RegisteredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path, models["worse"])

    def away(name: str, version: str) -> None:
        raise UnavailableError("The model registry is away")

    monkeypatch.setattr(registry, "set_champion", away)
    decision = decide(models["good"], holdout(), registry=registry, seed=1)  # type: ignore[arg-type]
    assert not decision.promoted
    assert decision.reason == "the alias could not be moved: The model registry is away."
    entries = promotion_log(registry).entries()  # type: ignore[arg-type]
    assert [(entry["promoted"], entry["kind"]) for entry in entries] == [(True, "gate"), (False, "not moved")]
    with pytest.raises(UnavailableError, match="was not promoted"):
        appoint(registry, "toy-lead", "1", why="for the test")  # type: ignore[arg-type]


def test_every_check_of_the_gate_is_in_the_log(tmp_path: Path, models: dict[str, RegisteredModel]) -> None:
    decision, registry = gate(tmp_path, models["good"], models["worse"], holdout())
    entry = promotion_log(registry).entries()[0]  # type: ignore[arg-type]
    names = ["log_loss", "value", "calibration", "segments", "latency"]
    assert [check["name"] for check in entry["checks"]] == names
    assert all(check["passed"] and check["words"] for check in entry["checks"])
    assert entry["evidence"]["latency_budget_ms"] == 50.0
    assert registry.sealed["toy-lead"].digest == entry["hash"]
    assert decision.kind == "gate"


@pytest.mark.parametrize("seed", range(20))
def test_a_worse_challenger_stays_out_whatever_rows_come(
    tmp_path: Path, models: dict[str, RegisteredModel], seed: int
) -> None:
    columns = toy_columns(800, seed=200 + seed)
    label = (np.random.default_rng(300 + seed).random(800) < toy_truth(columns)).astype(float)
    rows = Holdout(columns=columns, label=label, entity=np.arange(800).astype(str), base_rate=0.28)
    decision, registry = gate(tmp_path, models["worse"], models["good"], rows)
    assert not decision.promoted
    assert registry.appointed == []
