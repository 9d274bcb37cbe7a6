"""What the retraining flow does after the gate's word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flows import retrain_model


@pytest.mark.parametrize(
    ("trained", "offered", "version", "asked"),
    [
        (True, None, "2", []),
        (False, {"version": "3", "promoted": True}, "3", ["lead"]),
        (False, {"version": "3", "promoted": False}, "3", ["lead"]),
        (False, None, "2", ["lead"]),
    ],
    ids=["promoted", "recalibrated instead", "both kept out", "nothing to recalibrate"],
)
def test_the_champion_is_recalibrated_only_where_the_retrained_model_is_kept_out(
    monkeypatch: pytest.MonkeyPatch, trained: bool, offered: dict[str, Any] | None, version: str, asked: list[str]
) -> None:
    calls: list[str] = []

    def offer(model: str, source: str | None, look_id: str | None) -> dict[str, Any] | None:
        calls.append(model)
        return offered

    platform = SimpleNamespace(workspace=None)
    monkeypatch.setattr(retrain_model, "Platform", SimpleNamespace(open=lambda _: platform))
    monkeypatch.setattr("monitoring.acting.was_retrained", lambda *_: False)
    monkeypatch.setattr(retrain_model, "TASKS", {"lead": lambda *_: {}})
    monkeypatch.setattr(retrain_model, "keep_outcome", lambda *_: {"version": "2", "promoted": trained})
    monkeypatch.setattr(retrain_model, "offer_recalibrated", offer)
    assert retrain_model.retrain("lead", "demo", "look-1")["version"] == version
    assert calls == asked
