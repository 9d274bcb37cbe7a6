"""SQL that was compiled before is taken from its file, unless the maths has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import features.sql_book
from features.catalogue import VIEWS
from features.sql_book import SqlBook
from features.transform import tables_read, view_sql

VIEW = VIEWS["lead_profile"]


def test_it_is_compiled_once_and_then_read_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SqlBook(tmp_path / "new").sql(VIEW) == view_sql(VIEW)
    for compiling in ("view_sql", "tables_read"):
        monkeypatch.setattr(features.sql_book, compiling, lambda _view: pytest.fail("compiled again"))
    read = SqlBook(tmp_path / "new")
    assert (read.sql(VIEW), read.tables(VIEW)) == (view_sql(VIEW), tables_read(VIEW))


def test_other_maths_is_compiled_anew_and_the_old_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqlBook(tmp_path).sql(VIEW)
    monkeypatch.setattr(features.sql_book, "maths_digest", lambda _view: "other")
    monkeypatch.setattr(features.sql_book, "view_sql", lambda _view: "SELECT 1")
    assert SqlBook(tmp_path).sql(VIEW) == "SELECT 1"
    assert [file.read_text() for file in tmp_path.glob("*.sql")] == ["-- reads leads\nSELECT 1"]


def test_a_file_that_does_not_say_its_tables_is_compiled_anew(tmp_path: Path) -> None:
    SqlBook(tmp_path).sql(VIEW)
    (file,) = tmp_path.glob("*.sql")
    file.write_text(view_sql(VIEW))
    assert SqlBook(tmp_path).tables(VIEW) == tables_read(VIEW)
    assert file.read_text().startswith("-- reads leads\n")


def test_without_a_folder_it_compiles() -> None:
    book = SqlBook(None)
    assert (book.sql(VIEW), book.tables(VIEW)) == (view_sql(VIEW), tables_read(VIEW))


def test_a_folder_that_cannot_be_written_costs_a_compilation_only(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(NotADirectoryError):
        (tmp_path / "taken" / "x.sql").read_text()
    assert SqlBook(tmp_path / "taken").sql(VIEW) == view_sql(VIEW)
