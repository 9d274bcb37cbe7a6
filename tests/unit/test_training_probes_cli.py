"""`salience probe leaks`: what it prints, saves, records and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import InputError, LeakError
from flows.cli_probe import app

ROWS = 400


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of 400 calls; `close_value` is the answer."""
    monkeypatch.setenv("SALIENCE_HOME", str(tmp_path / "home"))
    generator = np.random.default_rng(1)
    sold = generator.random(ROWS) < 0.3
    rows = (
        f"{row},{'yes' if sold[row] else 'no'},{generator.integers(20, 60)},{50 if sold[row] else 0}"
        for row in range(ROWS)
    )
    path = tmp_path / "calls.csv"
    path.write_text("\n".join(["id,sold,age,close_value", *rows]))
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["leaks", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_leak_in_a_file_is_named_with_its_evidence_and_what_to_do(calls: Path) -> None:
    text = run("--frame", calls, "--label", "sold", "--id", "id", "--order", "id")
    assert "calls.csv: 400 rows" in text
    assert "fields that know the outcome: 1 certainly, 0 likely; a training stops" in text
    assert "'close_value' alone ranks the outcomes with AUC 1.000" in text
    assert "Do: drop the field" in text


def test_all_findings_are_saved_as_json(calls: Path, tmp_path: Path) -> None:
    run("--frame", calls, "--label", "sold", "--out", tmp_path / "found.json")
    place = json.loads((tmp_path / "found.json").read_text())[0]
    assert (place["rows"], place["fields"]) == (ROWS, ["id", "age", "close_value"])
    assert {finding["feature"] for finding in place["findings"]} == {"close_value"}


def test_a_check_fails_on_a_certain_leak(calls: Path) -> None:
    with pytest.raises(LeakError, match="1 of the features know the outcome: close_value"):
        run("--frame", calls, "--label", "sold", "--check")


def test_a_file_without_a_named_outcome_is_refused(calls: Path) -> None:
    with pytest.raises(InputError, match="A file's outcome must be named"):
        run("--frame", calls)
    with pytest.raises(InputError, match="The file has no column 'Sold'"):
        run("--frame", calls, "--label", "Sold")


def test_an_acceptance_is_recorded_and_can_be_taken_back(calls: Path, tmp_path: Path) -> None:
    text = run("--source", "simulated", "--accept", "tags", "--reason", "frozen by the form", "--by", "Ada")
    assert "tags is accepted by Ada" in text
    text = run("--source", "simulated", "--withdraw", "tags", "--reason", "it is rewritten later", "--by", "Ada")
    assert "tags is taken back by Ada" in text
    assert len((tmp_path / "home" / "simulated" / "accepted_leaks.jsonl").read_text().splitlines()) == 2
    with pytest.raises(InputError, match="not both at once"):
        run("--accept", "a", "--withdraw", "b", "--reason", "three words here")
