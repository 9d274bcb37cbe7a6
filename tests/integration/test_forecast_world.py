"""The forecast of the small world that went through the whole loop, with the deal champion's probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from training.forecast.store import Forecast

if TYPE_CHECKING:
    from tests.integration.conftest import SmallWorld


def test_open_deals_speak_with_the_deal_champions_probabilities(small_world: SmallWorld) -> None:
    champion = small_world.registry.champion(small_world.workspace.model_name("deal"))
    assert champion is not None
    details = Forecast.read(small_world.outcomes["forecast"].bundle).details
    # The gate may have held the deal model back until the forecast was made; then the small model spoke.
    was_champion = small_world.outcomes["deal"].decision.promoted
    assert details["deal_model_version"] == (champion.version if was_champion else None)
    assert details["open_deals"] > 0


def test_the_forecast_is_made_from_what_was_known_at_the_cut(small_world: SmallWorld) -> None:
    forecast = Forecast.read(small_world.outcomes["forecast"].bundle)
    assert forecast.as_of == small_world.now
    company = forecast.values[forecast.values["level"] == "company"].set_index("period")
    reps = forecast.values[forecast.values["level"] == "rep"].groupby("period")["expected"].sum()
    for period, expected in company["expected"].items():
        assert reps[period] == pytest.approx(expected, abs=0.005)
