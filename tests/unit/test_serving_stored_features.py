"""A reading is unchanged exactly as long as the store holds the same rows, whoever wrote meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from features.online_store_layout import Layout, PackedRows, entity_key, to_microseconds
from features.online_store_sqlite import SqliteRows
from serving.stored_features import Mark, StoredFeatures, digest_of

NOW = datetime(2025, 3, 31, tzinfo=UTC)
LAYOUT = Layout(("x",), ("float",))


@pytest.fixture
def rows(tmp_path: Path) -> SqliteRows:
    rows = SqliteRows(tmp_path / "online.db", project="toy")
    for view in ("own", "other"):
        rows.prepare(view)
        put(rows, view, "a", 1.0)
    return rows


def put(rows: SqliteRows, view: str, key: str, value: float, *, written_later: int = 0) -> None:
    at = to_microseconds(NOW)
    row = LAYOUT.pack({"x": value}, as_of=at, created=at, written=at + written_later)
    rows.put(view, LAYOUT, PackedRows([entity_key(key)], [at], [at], [row]), only_changed=False)


def reading(rows: SqliteRows) -> tuple[StoredFeatures, Mark]:
    nothing: Any = None
    asked = (("own", (entity_key("a"),)), ("other", (entity_key("a"), entity_key("gone"))))
    version = rows.version()
    return StoredFeatures(nothing, rows), Mark(asked, digest_of(rows.read(asked)), NOW, None, [version])


def test_nothing_written_is_nothing_changed_without_a_look_at_the_rows(
    rows: SqliteRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, mark = reading(rows)
    monkeypatch.setattr(rows, "read", lambda _asked: pytest.fail("the rows were read"))
    assert features.is_unchanged(mark)


def test_what_others_wrote_is_no_change_and_is_compared_once(rows: SqliteRows, monkeypatch: pytest.MonkeyPatch) -> None:
    features, mark = reading(rows)
    put(rows, "own", "b", 7.0)
    assert features.is_unchanged(mark)
    monkeypatch.setattr(rows, "read", lambda _asked: pytest.fail("the rows were read"))
    assert features.is_unchanged(mark)


def test_a_row_that_is_written_again_and_says_the_same_is_no_change(rows: SqliteRows) -> None:
    features, mark = reading(rows)
    put(rows, "own", "a", 1.0, written_later=5)
    put(rows, "other", "a", 1.0, written_later=7)
    assert features.is_unchanged(mark)


@pytest.mark.parametrize(("view", "key"), [("own", "a"), ("other", "a"), ("other", "gone")])
def test_a_row_that_was_read_or_missed_is_a_change(rows: SqliteRows, view: str, key: str) -> None:
    features, mark = reading(rows)
    assert features.is_unchanged(mark)
    put(rows, view, key, 2.0)
    assert not features.is_unchanged(mark)
    assert not features.is_unchanged(mark)


def test_another_process_that_writes_is_seen(rows: SqliteRows, tmp_path: Path) -> None:
    features, mark = reading(rows)
    other = SqliteRows(tmp_path / "online.db", project="toy")
    put(other, "own", "a", 3.0)
    other.close()
    assert not features.is_unchanged(mark)
