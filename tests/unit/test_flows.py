"""Flows: reuse, display, deployments, the command line's errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from flows.caching import file_fingerprint, fingerprint
from flows.display import StepList, report_progress
from flows.parts import Platform, code_fingerprint
from flows.run_demo import summarize

ROOT = Path(__file__).resolve().parents[2]


def salience(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_fingerprints_change_with_any_part_and_with_nothing_else() -> None:
    assert fingerprint("a", {"x": 1, "y": 2}) == fingerprint("a", {"y": 2, "x": 1})
    assert len({fingerprint("a"), fingerprint("b"), fingerprint("a", None)}) == 3


def test_a_changed_file_changes_the_fingerprint_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text("lead_id\n1\n")
    before = file_fingerprint(tmp_path)
    assert file_fingerprint(tmp_path) == before
    (tmp_path / "leads.csv").write_text("lead_id\n1\n2\n")
    assert file_fingerprint(tmp_path) != before


def test_the_code_fingerprint_is_stable_within_a_checkout() -> None:
    assert code_fingerprint() == code_fingerprint()


def test_a_step_says_how_long_it_took_or_that_it_was_reused(capsys: pytest.CaptureFixture[str]) -> None:
    steps = StepList(Console(width=120, highlight=False), 2)
    with steps.step("Load the warehouse") as line:
        report_progress("leads", 1, 2)
        line.text = "3 loaded"
    with steps.step("Build features") as line:
        line.is_reused = True
    first, second = capsys.readouterr().out.splitlines()
    assert "[ 1/2] Load the warehouse" in first
    assert "3 loaded" in first
    assert "reused" in second


def test_steps_are_summed_up_in_one_line() -> None:
    counts = {"read": 5, "loaded": 3, "known": 1, "quarantined": 1, "reasons": {}}
    assert summarize("ingest", {"tables": {"leads": counts, "deals": counts}}) == "6 loaded, 2 known, 2 quarantined"
    record = {"version": "4", "decision": {"promoted": False}}
    assert summarize("train-lead", record) == "version 4, kept out by the gate"


def test_every_deployment_names_a_flow_that_exists_and_schedules_are_off() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert {each["name"] for each in deployments} >= {"train-lead", "train-deal", "train-forecast", "report-drift"}
    for deployment in deployments:
        path, _, function = deployment["entrypoint"].partition(":")
        assert f"def {function}(" in (ROOT / path).read_text(encoding="utf-8")
        assert not any(schedule["active"] for schedule in deployment["schedules"])
        assert deployment["work_pool"]["name"] == "salience"


def test_a_platform_is_opened_by_its_sources_name() -> None:
    platform = Platform.open("olist")
    assert platform.source.lead is not None
    assert platform.workspace.model_name("lead") == "olist-lead"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["demo", "--source", "nowhere"], 2, ["There is no source 'nowhere'", "olist", "tourism"]),
        (["demo", "--source", "olist"], 2, ["needs a folder of files", "make demo SOURCE=olist DATA=folder"]),
        (["ingest", "--source", "olist", "--data", "/nowhere"], 2, ["/nowhere"]),
        (["train", "lead", "--trials", "none"], 2, ["--trials", "salience --help"]),
    ],
)
def test_bad_input_is_one_sentence_with_the_next_step(arguments: list[str], code: int, words: list[str]) -> None:
    result = salience(*arguments)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("command", [[], ["demo"], ["train"], ["train", "lead"], ["features"], ["serve"]])
def test_every_command_has_help(command: list[str]) -> None:
    result = salience(*command, "--help")
    assert result.returncode == 0
    assert "Usage:" in result.stdout
