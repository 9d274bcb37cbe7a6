"""Leak probes: a planted leak is named, honest columns are left in peace."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import LeakError
from training.manifest import FeatureEntry
from training.probes import probe, single_auc, stop_on_leak

GENERATOR = np.random.default_rng(2)
LABEL = (GENERATOR.random(1_000) < 0.15).astype(float)
HONEST = GENERATOR.normal(size=1_000) + 0.8 * LABEL


def entries(*names: str) -> list[FeatureEntry]:
    return [
        FeatureEntry(name=name, dtype="float", group="fit", about=name, unit="usd", phrase=f"{name} {{value}}")
        for name in names
    ]


def test_honest_columns_raise_no_finding() -> None:
    noise = GENERATOR.normal(size=1_000)
    noise[GENERATOR.random(1_000) < 0.4] = np.nan
    found = probe(np.column_stack([HONEST, noise]), LABEL, entries("honest", "noise"))
    assert found == ()
    stop_on_leak(found)


def test_an_amount_that_is_zero_for_every_lost_deal_stops_the_training() -> None:
    close_value = np.where(LABEL == 1, GENERATOR.uniform(100, 900, 1_000), 0.0)
    found = probe(np.column_stack([HONEST, close_value]), LABEL, entries("honest", "close_value"))
    assert [(finding.feature, finding.severity) for finding in found] == [("close_value", "certain")]
    with pytest.raises(LeakError, match=r"1 of the features know the outcome: close_value.*AUC 1\.000"):
        stop_on_leak(found)


def test_a_field_that_is_filled_for_winners_only_stops_the_training_whatever_it_holds() -> None:
    seller_type = np.where((LABEL == 1) & (GENERATOR.random(1_000) < 0.4), GENERATOR.normal(size=1_000), np.nan)
    found = probe(seller_type[:, None], LABEL, entries("seller_type"))
    with pytest.raises(LeakError, match=r"'seller_type' is filled on 4\d % of the rows with the outcome and on 0\.0 %"):
        stop_on_leak(found)


def test_a_field_better_than_the_whole_model_warns_without_stopping() -> None:
    found = probe(HONEST[:, None], LABEL, entries("honest"), model_auc=0.55)
    assert [finding.severity for finding in found] == ["likely"]
    assert "the whole model only 0.550" in found[0].evidence
    stop_on_leak(found)


def test_a_reversed_leak_is_a_leak_too() -> None:
    assert single_auc(-LABEL, LABEL) == pytest.approx(1.0)


def test_a_column_without_values_ranks_nothing() -> None:
    assert single_auc(np.full(1_000, np.nan), LABEL) == pytest.approx(0.5)
