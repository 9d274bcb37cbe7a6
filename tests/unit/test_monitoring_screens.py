"""What the terminal says of looks: `salience monitor`, the demo's line, and the commands' mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from flows.monitor_screen import print_looks
from flows.run_demo import summarize
from flows.screen import _newest_looks, _print_looks

ROOT = Path(__file__).resolve().parents[2]
LOOK: dict[str, Any] = {
    "look_id": "look-1", "task": "lead", "version": "3", "verdict": "DRIFT", "decision": "RETRAIN",
    "window": ["2025-05-26T00:00:00+00:00", "2025-06-02T00:00:00+00:00"], "reason": "It loses 0.0112 a row.",
    "failing": ["real quality"], "cost_share": 0.31, "new": True, "alerts": ["webhook: sent"],
    "checks": {"input drift": "ok", "real quality": "fails", "service": "unknown"}, "page": "/reports/lead.html",
}  # fmt: skip


def test_every_look_is_a_line_and_the_newest_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    retrained = {"lead": {"version": "4", "decision": "PROMOTED", "reason": "better"}}
    print_looks({"models": {"lead": [LOOK], "deal": []}, "retrained": retrained})
    said = capsys.readouterr().out
    for words in ("2025-06-02", "RETRAIN: It loses 0.0112 a row.", "31%", "real quality, service", "webhook: sent",
                  "/reports/lead.html", "deal: nothing was due", "version 4, PROMOTED. better"):  # fmt: skip
        assert words in said
    assert "input drift" not in said


def test_without_any_champion_the_next_step_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_looks({"models": {}})
    assert "Next: salience train lead" in capsys.readouterr().out


def test_the_demo_says_what_the_newest_look_came_to() -> None:
    record = {"models": {"lead": [LOOK], "deal": []}}
    assert summarize("monitor", record) == "lead: DRIFT"
    console = Console(record=True, width=120)
    _print_looks(console, _newest_looks(SimpleNamespace(records={"monitor": record})))  # type: ignore[arg-type]
    assert "lead: DRIFT, RETRAIN. It loses 0.0112 a row." in console.export_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["decide", "maybe"], "'maybe' is no decision. Expected: one of RETRAIN, IGNORE, HOLD, ROLLBACK"),
        (["decide", "HOLD", "--model", "boat"], "There is no model 'boat'. Expected: lead, deal or forecast"),
        (["decide", "HOLD", "--because", "why"], "Nothing was looked at in 'simulated' yet. Next: salience monitor"),
        (["monitor", "--since", "soon"], "'soon' is not a day or time"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_the_next_step(arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode in (2, 3)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
