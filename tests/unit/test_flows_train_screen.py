"""What `salience train` says at its end."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from flows.train_screen import print_training


def metric(value: float) -> dict[str, float | None]:
    return {"value": value, "low": None, "high": None}


def record(status: str) -> dict[str, Any]:
    figures = {name: metric(0.5) for name in ("auc", "log_loss", "ece", "top_decile_lift")} | {"rows": metric(900.0)}
    return {
        "task": "lead",
        "model": "olist-lead",
        "version": "3",
        "metrics": figures,
        "baselines": {"const": figures, "rule_score": figures},
        "protocols": {},
        "decision": {"promoted": False, "reason": "not surely better than champion 2"},
        "warnings": [],
        "report": "/somewhere/training-3.html",
        "verdict": {"status": status, "sentences": ["It ranks [leads] fairly."], "actions": ["Work by it."]},
    }


@pytest.mark.parametrize("status", ["ready", "usable with care", "not ready", "no signal found"])
def test_the_verdict_the_baselines_the_gate_and_the_report_are_on_the_screen_in_this_order(status: str) -> None:
    text = io.StringIO()
    print_training(Console(file=text, width=160, highlight=False), record(status))
    said = text.getvalue()
    parts = [
        status.capitalize(), "It ranks [leads] fairly.", "→ Work by it.", "rule score", "gate: not surely better",
        "/somewhere/training-3.html", "salience models show 3 --source olist",
    ]  # fmt: skip
    places = [said.index(part) for part in parts]
    assert places == sorted(places)


def test_a_training_without_a_verdict_is_shown_all_the_same() -> None:
    text = io.StringIO()
    print_training(Console(file=text, width=160), record("ready") | {"verdict": None})
    assert "Ready" not in text.getvalue()
    assert "training-3.html" in text.getvalue()
