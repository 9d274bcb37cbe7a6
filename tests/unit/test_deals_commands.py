"""The commands `salience deal` and `salience deals` as typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.errors import InputError, NotFoundError
from flows.cli_deals import deal_app, deals_app

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALIENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SALIENCE_MLRUNS", str(tmp_path / "mlruns"))


def test_a_number_alone_asks_about_that_deal() -> None:
    answer = RUN.invoke(deal_app, ["D-123"])
    assert isinstance(answer.exception, NotFoundError)


def test_help_names_the_commands() -> None:
    assert "override" in RUN.invoke(deal_app, ["--help"]).output
    lists = RUN.invoke(deals_app, ["--help"]).output
    assert all(name in lists for name in ("at-risk", "stalled", "doubtful", "overridden"))


@pytest.mark.parametrize("more", [[], ["--probability", "0.4", "--withdraw"]])
def test_an_override_needs_a_probability_or_its_withdrawal(more: list[str]) -> None:
    answer = RUN.invoke(deal_app, ["override", "D-1", "--because", "they said so", *more])
    assert answer.exit_code == 2


def test_a_probability_beyond_one_is_refused() -> None:
    answer = RUN.invoke(deal_app, ["override", "D-1", "--because", "they said so", "--probability", "1.4"])
    assert answer.exit_code == 2


def test_an_override_needs_a_reason() -> None:
    answer = RUN.invoke(deal_app, ["override", "D-1", "--because", "so", "--probability", "0.4"])
    assert isinstance(answer.exception, InputError)
    assert "only for a reason" in answer.exception.message


def test_a_list_as_of_no_day_is_refused() -> None:
    answer = RUN.invoke(deals_app, ["at-risk", "--as-of", "not a day"])
    assert isinstance(answer.exception, InputError | NotFoundError)
