from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UnavailableError
from training.forecast.gate import BACKTEST_FILE, compare_forecasts, decide_forecast
from training.promotion import promotion_log
from training.promotion_log import Seal
from training.results import RegisteredModel


@dataclass
class ShelfRegistry:
    """A registry on a shelf: holds one champion, records what is promoted."""

    home: Path
    held: RegisteredModel | None = None
    is_away: bool = False
    promoted: list[str] = field(default_factory=list)

    def champion(self, name: str) -> RegisteredModel | None:
        if self.is_away:
            raise UnavailableError("The registry is away")
        return self.held

    def set_champion(self, name: str, version: str) -> None:
        self.promoted.append(version)

    def seal(self, name: str, seal: Seal) -> None:
        self.seals = {name: seal}


def backtest(error: float, *, n_periods: int = 6) -> pd.DataFrame:
    """Forecasts that are off by a share `error`, up and down, of actual values near 100."""
    rows = []
    for period in range(n_periods):
        for level, entities in (("company", 1), ("rep", 3)):
            for entity in range(entities):
                actual = 100.0 + 3 * period + entity
                sign = 1 if (period + entity) % 2 else -1
                rows.append(
                    (f"o{period}", level, f"e{entity}", f"p{period}", actual, actual * (1 + sign * error), 1.2 * actual)
                )
    return pd.DataFrame(rows, columns=["origin", "level", "entity_id", "period", "actual", "expected", "naive"])


def model(tmp_path: Path, version: str, rows: pd.DataFrame | None) -> RegisteredModel:
    bundle = tmp_path / version
    bundle.mkdir()
    if rows is not None:
        rows.to_parquet(bundle / BACKTEST_FILE)
    return RegisteredModel(name="w-forecast", version=version, run_id="r", aliases=(), metrics={}, bundle=bundle)


def decide(registry: ShelfRegistry, challenger: RegisteredModel, rows: pd.DataFrame):
    return decide_forecast(challenger, rows, registry=registry, baselines=["naive"], seed=7, who="test")


def test_the_first_forecast_becomes_champion_when_it_beats_the_naive_answer(tmp_path: Path) -> None:
    registry, rows = ShelfRegistry(tmp_path), backtest(0.05)
    decision = decide(registry, model(tmp_path, "1", rows), rows)
    assert decision.promoted
    assert registry.promoted == ["1"]
    assert "naive" in decision.reason


def test_the_first_forecast_is_refused_when_the_naive_answer_is_better(tmp_path: Path) -> None:
    registry, rows = ShelfRegistry(tmp_path), backtest(0.4)
    decision = decide(registry, model(tmp_path, "1", rows), rows)
    assert not decision.promoted
    assert registry.promoted == []
    assert decision.evidence["difference"] > 0


def test_a_surely_better_challenger_is_promoted_and_the_log_says_so(tmp_path: Path) -> None:
    registry = ShelfRegistry(tmp_path, held=model(tmp_path, "1", backtest(0.2)))
    rows = backtest(0.05)
    assert decide(registry, model(tmp_path, "2", rows), rows).promoted
    entry = promotion_log(registry).entries()[-1]
    assert (entry["version"], entry["champion_before"], entry["promoted"]) == ("2", "1", True)


def test_a_worse_challenger_is_not_promoted(tmp_path: Path) -> None:
    registry = ShelfRegistry(tmp_path, held=model(tmp_path, "1", backtest(0.05)))
    rows = backtest(0.2)
    decision = decide(registry, model(tmp_path, "2", rows), rows)
    assert not decision.promoted
    assert "not surely better" in decision.reason


def test_the_same_method_with_later_data_takes_over(tmp_path: Path) -> None:
    registry = ShelfRegistry(tmp_path, held=model(tmp_path, "1", backtest(0.1)))
    rows = backtest(0.1)
    decision = decide(registry, model(tmp_path, "2", rows), rows)
    assert decision.promoted
    assert "same method" in decision.reason


def test_the_champion_is_scored_again_with_the_actual_values_known_now(tmp_path: Path) -> None:
    said_then = backtest(0.05)
    corrected = said_then.assign(actual=said_then["actual"] * 2)
    registry = ShelfRegistry(tmp_path, held=model(tmp_path, "1", said_then))
    challenger = corrected.assign(expected=corrected["actual"] * 1.02)
    assert decide(registry, model(tmp_path, "2", challenger), challenger).promoted


@pytest.mark.parametrize("theirs", [None, backtest(0.2, n_periods=2), backtest(0.2).assign(expected=np.nan)])
def test_what_cannot_be_compared_keeps_the_champion(tmp_path: Path, theirs: pd.DataFrame | None) -> None:
    registry = ShelfRegistry(tmp_path, held=model(tmp_path, "1", theirs))
    rows = backtest(0.01)
    decision = decide(registry, model(tmp_path, "2", rows), rows)
    assert not decision.promoted
    assert "could not be evaluated" in decision.reason
    assert registry.promoted == []


def test_challenger_is_not_promoted_when_the_registry_is_away(tmp_path: Path) -> None:
    rows = backtest(0.01)
    decision = decide(ShelfRegistry(tmp_path, is_away=True), model(tmp_path, "2", rows), rows)
    assert not decision.promoted
    assert "registry is away" in decision.reason


def test_levels_count_alike_however_many_entities_they_have() -> None:
    rows = pd.DataFrame(
        {
            "level": ["company", "rep", "rep"],
            "period": "p",
            "actual": [100.0, 50.0, 50.0],
            "ours": [110.0, 50.0, 50.0],
            "theirs": [100.0, 60.0, 60.0],
        }
    )
    comparison = compare_forecasts(rows, ours="ours", theirs="theirs", seed=1)
    assert comparison.challenger == pytest.approx(0.10 / 2)
    assert comparison.rival == pytest.approx(0.20 / 2)
