"""Accepting a leak by name: recorded for ever, read by the trainers, and no more than that name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from common.errors import ContractError, InputError, LeakError
from common.workspace import Workspace
from training.probes import Finding, accept_leak, accepted_leaks, stop_on_leak
from training.probes.acceptance import acceptances_file
from training.probes.history import probe_ablation, probe_closing

LEAKS = (Finding("close_value", "certain", "'close_value' is 0 for every lost deal"), Finding("tags", "likely", "…"))
MOMENT = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(name="crm", home=tmp_path)


def test_an_accepted_leak_no_longer_stops_the_training_but_another_does(workspace: Workspace) -> None:
    accept_leak(workspace, "close_value", who="Ada", why="it is the price asked at the start", when=MOMENT)
    stop_on_leak(LEAKS, accepted=accepted_leaks(workspace))
    with pytest.raises(LeakError, match="1 of the features know the outcome: seller"):
        stop_on_leak((*LEAKS, Finding("seller", "certain", "…")), accepted=accepted_leaks(workspace))


def test_without_an_acceptance_the_error_says_how_to_give_one(workspace: Workspace) -> None:
    assert accepted_leaks(workspace) == {}
    with pytest.raises(LeakError, match="salience probe leaks --accept close_value --reason"):
        stop_on_leak(LEAKS, accepted=accepted_leaks(workspace))


def test_who_when_and_why_are_kept_and_nothing_is_ever_overwritten(workspace: Workspace) -> None:
    accept_leak(workspace, "tags", who="Ada", why="frozen at creation by the form", when=MOMENT)
    accept_leak(workspace, "tags", who="Bob", why="it is rewritten after all", withdrawn=True)
    assert accepted_leaks(workspace) == {}
    lines = acceptances_file(workspace).read_text().splitlines()
    assert len(lines) == 2
    assert '"who": "Ada", "when": "2026-03-01T09:00:00+00:00", "why": "frozen at creation by the form"' in lines[0]


@pytest.mark.parametrize(("feature", "who", "why"), [("", "Ada", "a good reason here"), ("x", " ", "a good reason")])
def test_an_acceptance_without_field_or_person_is_refused(
    workspace: Workspace, feature: str, who: str, why: str
) -> None:
    with pytest.raises(InputError, match="names a field and a person"):
        accept_leak(workspace, feature, who=who, why=why)


def test_an_acceptance_without_a_reason_is_refused_and_leaves_no_record(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="The reason to accept 'tags' is no reason"):
        accept_leak(workspace, "tags", who="Ada", why="because")
    assert not acceptances_file(workspace).exists()


def test_a_line_that_a_killed_process_left_harms_no_other(workspace: Workspace) -> None:
    accept_leak(workspace, "tags", who="Ada", why="frozen at creation by the form")
    with acceptances_file(workspace).open("a") as file:
        file.write('{"feature": "close_va')
    assert set(accepted_leaks(workspace)) == {"tags"}
    accept_leak(workspace, "origin", who="Ada", why="it is told by the visitor")
    assert set(accepted_leaks(workspace)) == {"tags", "origin"}


def test_a_record_that_was_written_over_accepts_nothing(workspace: Workspace) -> None:
    accept_leak(workspace, "tags", who="Ada", why="frozen at creation by the form")
    with acceptances_file(workspace).open("a") as file:
        file.write('{"feature": "close_value"}\n')
    with pytest.raises(ContractError, match=r"Line 2 of .* is no acceptance"):
        accepted_leaks(workspace)


def test_a_field_that_knows_more_later_than_when_scored_is_named_and_a_steady_one_is_not() -> None:
    generator = np.random.default_rng(4)
    label = (generator.random(3_000) < 0.3).astype(float)
    begun = generator.normal(size=3_000) + 0.5 * label
    newest = begun + 1.5 * label
    finding = probe_ablation("score", begun, newest, label, tests=10, seed=0)
    assert finding is not None
    assert finding.probe == "as_of_ablation"
    assert finding.low is not None
    assert finding.low > 0.1
    assert probe_ablation("steady", begun, begun, label, tests=10, seed=0) is None


def test_a_field_that_closing_changes_is_named_and_one_that_is_corrected_now_and_then_is_not() -> None:
    before = ["open"] * 1_000
    is_decided = np.arange(1_000) < 800
    finding = probe_closing("stage", before, ["won"] * 1_000, is_decided, tests=10)
    assert finding is not None
    assert "in 800 of 800 decided rows (100 %" in finding.evidence
    corrected = ["mended" if row % 25 == 0 else "open" for row in range(1_000)]
    assert probe_closing("title", before, corrected, is_decided, tests=10) is None
    assert probe_closing("few", before, ["won"] * 1_000, np.arange(1_000) < 20, tests=10) is None
