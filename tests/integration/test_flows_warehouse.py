"""The warehouse's commands as a user runs them: load, ask, mend, retry, forget; and what they print."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from common.errors import SourceError
from flows.cli_warehouse import check_files
from flows.forget_person import forget_person
from flows.ingest_source import load_files
from flows.parts import Platform
from flows.simulate_crm import check_world
from flows.warehouse_screen import print_forgotten, print_ingest
from warehouse.own_mapping import keep_mapping, source_of
from warehouse.search import find_traces

ROOT = Path(__file__).resolve().parents[2]
MAPPING = """
name: mine
about: People who wrote to us.
files:
  people: {path: people*.csv, format: csv, columns: {id: string, mail: string, seen: timestamp, state: string}}
tables:
  - table: leads
    from: people
    event_timestamp: seen
    created_timestamp: seen
    columns: {lead_id: id, email: mail, lead_created_at: seen, status: STATE}
models: {lead: {horizon_days: 90, spine: creation, test_share: 0.3}}
"""
PEOPLE = """id,mail,seen,state
P-000001,jo@example.org,2025-01-06T09:00:00Z,new
P-000002,an@example.org,2025-01-07T09:00:00Z,odd
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "export"
    made.mkdir()
    (made / "people.csv").write_text(PEOPLE)
    (tmp_path / "mine.yaml").write_text(MAPPING.replace("STATE", "state"))
    (tmp_path / "mended.yaml").write_text(MAPPING.replace("STATE", "\"replace(state, 'odd', 'working')\""))
    return made


def salience(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "flows", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_users_own_file_is_loaded_asked_mended_and_retried(folder: Path, tmp_path: Path) -> None:
    load_files.fn("mine", folder, tmp_path / "mine.yaml")
    source = ("--source", "mine")
    assert "1 of 1 rows of leads" in salience("as-of", "2025-01-31", "leads", "--columns", "lead_id,status", *source)
    assert "status is not one of new" in salience("quarantine", "list", *source)
    assert "P-000002" in salience("quarantine", "show", "leads", *source)
    mended = ("--mapping", tmp_path / "mended.yaml")
    assert "1 stay" in salience("quarantine", "retry", *mended, *source)
    assert "1 tried: 1 are in the warehouse now" in salience("quarantine", "retry", *mended, "--data", folder, *source)
    assert "The quarantine is empty." in salience("quarantine", "list", *source)
    out = tmp_path / "leads.csv"
    assert "2 rows of leads" in salience("as-of", "2025-01-31", "leads", "--out", out, *source)
    assert out.read_text().count("\n") == 3


def test_a_mapping_of_ones_own_is_kept_with_its_workspace_and_found_again(folder: Path, tmp_path: Path) -> None:
    assert check_files("csv", folder, tmp_path / "mine.yaml") == "mine"
    assert check_files("mine", folder) == "mine"
    assert source_of(Platform.open("mine").workspace).name == "mine"
    shutil.rmtree(Platform.open("mine").workspace.root)
    with pytest.raises(SourceError, match="There is no source 'mine'"):
        check_files("mine", folder)


def test_a_mapping_of_ones_own_may_not_take_a_shipped_name_or_another_workspace(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(MAPPING.replace("STATE", "state").replace("name: mine", "name: olist"))
    with pytest.raises(SourceError, match="is named 'olist', as a shipped source is"):
        keep_mapping(Platform.open("olist").workspace, mapping)
    mapping.write_text(MAPPING.replace("STATE", "state"))
    with pytest.raises(SourceError, match=r"is named 'mine'\. Expected: 'yours'"):
        keep_mapping(Platform.open("yours").workspace, mapping)


def test_the_counts_of_a_load_are_printed_with_reasons_and_again_says_what_was_not_read(
    folder: Path, tmp_path: Path
) -> None:
    screens = []
    for _ in range(2):
        text = StringIO()
        record = json.loads(json.dumps(load_files.fn("mine", folder, tmp_path / "mine.yaml")))
        print_ingest(Console(file=text, width=120), record)
        screens.append(text.getvalue())
    first, again = screens
    assert "leads     2       1                    0              0            1" in first
    assert "status is not one of new, working" in first
    assert "leads     2       0                    0              1            1" in again
    assert "1 unchanged files were not read again." in again


def test_forgetting_reaches_what_was_computed_and_names_what_it_may_not_change(folder: Path, tmp_path: Path) -> None:
    load_files.fn("mine", folder, tmp_path / "mine.yaml")
    workspace = Platform.open("mine").workspace
    workspace.reports.mkdir()
    (workspace.reports / "best.html").write_text("call P-000001 today")
    workspace.landing.mkdir()
    shutil.copy(folder / "people.csv", workspace.landing)
    forgotten = forget_person("mine", "jo@example.org")
    assert forgotten.deleted == ("reports/best.html",)
    assert not forgotten.rebuilt
    assert forgotten.elsewhere == (str(workspace.landing / "people.csv"),)
    assert json.loads(forgotten.proof.read_text())["warehouse"]["traces"] == 0
    for kept in (workspace.warehouse, workspace.reports, forgotten.proof.parent):
        assert find_traces(kept, ("jo@example.org", "P-000001")).traces == ()
    text = StringIO()
    print_forgotten(Console(file=text, width=200), forgotten)
    assert "Rows changed: 1 of leads" in text.getvalue()
    assert "people.csv" in text.getvalue()


def test_numbers_of_a_simulation_go_before_those_of_its_size() -> None:
    config = check_world(size="medium", years=2, seed=3, scenario="recession", leads=500, deals=None)
    assert (config.leads, config.deals, config.years, config.scenario) == (500, 40_000, 2, "recession")
