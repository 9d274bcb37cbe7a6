"""What stands in a file becomes a value as the mapping says: formats, encodings, numbers, dates, words."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import SourceError
from warehouse.connectors import FileConnector, text
from warehouse.mapping import Mapping as SourceMapping

MOMENT = "TIMESTAMPTZ '2025-01-06 00:00:00+00'"


def mapping(columns: Mapping[str, Any], **file: Any) -> SourceMapping:
    """A mapping of one file whose columns are all kept as a product's own fields; `id` names the row."""
    described = {"path": "data*", "format": "csv", "columns": {"id": "string", **columns}} | file
    kept = {name: {"type": _type_of(column), "about": "-"} for name, column in columns.items()}
    return SourceMapping.model_validate(
        {
            "name": "mine",
            "about": "-",
            "files": {"data": described},
            "tables": [
                {
                    "table": "products",
                    "from": "data",
                    "event_timestamp": MOMENT,
                    "created_timestamp": MOMENT,
                    "columns": {"product_id": "id"},
                    "extension": kept,
                }
            ],
        }
    )


def _type_of(column: Any) -> str:
    return column if isinstance(column, str) else column["type"]


def rows(source: SourceMapping, folder: Path) -> list[dict[str, Any]]:
    """All rows a folder gives, by column; `custom_` and the times left out."""
    found = []
    with FileConnector(source, folder) as connector:
        for part in connector.parts():
            for extract in connector.extracts(part, since=None):
                found += extract.rows.read_all().to_pylist()
    return [{k.removeprefix("custom_"): v for k, v in row.items() if not k.endswith("timestamp")} for row in found]


def values(source: SourceMapping, folder: Path, name: str) -> list[Any]:
    """One column's values; None also where the text could not be read."""
    return [row[name] for row in rows(source, folder) if row["product_id"] is not None]


def write(folder: Path, text: str, *, encoding: str = "utf-8", name: str = "data.csv") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
    ],
)
def test_each_encoding_is_read_and_its_byte_order_mark_understood(tmp_path: Path, encoding: str, written: str) -> None:
    write(tmp_path, "id;Größe\nMüller;3,5\n", encoding=written)
    size = {"type": "float", "header": "Größe", "decimal": ","}
    found = rows(mapping({"size": size}, encoding=encoding, separator=";"), tmp_path)
    assert [(row["product_id"], row["size"]) for row in found] == [("Müller", 3.5)]


def test_utf16_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"\xfe\xff" + "id,size\n😀,1\n".encode("utf-16-be"))
    assert values(mapping({"size": "float"}, encoding="utf-16"), tmp_path, "product_id") == ["😀"]


def test_the_euro_sign_of_windows_is_read(tmp_path: Path) -> None:
    write(tmp_path, "id,price\na,1.5 €\n", encoding="cp1252")
    assert values(mapping({"price": {"type": "float", "number": "money"}}, encoding="cp1252"), tmp_path, "price") == [
        1.5
    ]


@pytest.mark.parametrize(
    ("content", "encoding", "told"),
    [
        (b"id,size\na,1\nM\xfc,2\n", "utf-8", r"data\.csv cannot be read as utf-8 text.*byte 13, line 3: fc"),
        (b"id,size\na,\xe2\x82", "utf-8", "ends inside a character, after byte 12"),
        (b"id,size\na,\x81\n", "cp1252", "cannot be read as cp1252 text.*byte 10, line 2: 81"),
        (b"\xff\xfei\x00d\x00,\x00x\x00\n\x00a\x00,\x00\x00\xdc\n\x00", "utf-16", "as utf-16 text.*byte 16: 00 dc"),
    ],
)
def test_bytes_that_are_no_such_text_are_told_with_place_and_encoding(
    tmp_path: Path, content: bytes, encoding: str, told: str
) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(SourceError, match=told):
        rows(mapping({}, encoding=encoding), tmp_path)


def test_a_file_that_mixes_line_ends_is_read_and_breaks_inside_quotes_are_kept(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b'id,note\r\na,"two\nlines"\r\nb,x\nc,y\r\n')
    assert values(mapping({"note": "string"}), tmp_path, "note") == ["two\nlines", "x", "y"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 5])
def test_characters_and_line_ends_that_lie_across_two_pieces_are_read(
    tmp_path: Path, encoding: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_CHUNK_BYTES", chunk_bytes)
    (tmp_path / "data.csv").write_bytes("A title\r\n\r\nid,note\r\nä,€\r\nb,x\n".encode(encoding))
    found = rows(mapping({"note": "string"}, encoding=encoding, header_row=3), tmp_path)
    assert [(row["product_id"], row["note"]) for row in found] == [("ä", "€"), ("b", "x")]


def test_rows_above_the_header_are_left_out_and_a_header_can_be_given(tmp_path: Path) -> None:
    write(tmp_path, 'A report, with a "\n\nid,size\na,1\n')
    assert values(mapping({"size": "float"}, header_row=3), tmp_path, "size") == [1.0]
    write(tmp_path, "a,1\nb,2\n")
    assert values(mapping({"size": "float"}, names=["id", "size"]), tmp_path, "size") == [1.0, 2.0]


@pytest.mark.parametrize(
    ("column", "texts", "wanted"),
    [
        (
            {"type": "float", "number": "money"},
            ["$200,000 ", "(1,200)", "USD 5.50", "7 EUR", "-3", "($1.5)", "£2", "-"],
            [200000.0, -1200.0, 5.5, 7.0, -3.0, -1.5, 2.0, None],
        ),
        (
            {"type": "float", "number": "money", "decimal": ","},
            ["1.200,00 €", "(1.200)", "3,5"],
            [1200.0, -1200.0, 3.5],
        ),
        ({"type": "float", "number": "percent"}, ["45%", "0.45", "7.5 %", "x%"], [0.45, 0.45, 0.075, None]),
        ({"type": "float", "decimal": ",", "thousands": "."}, ["1.234,5", "12", "1,2,3"], [1234.5, 12.0, None]),
        ({"type": "float", "thousands": " "}, ["1 234.5"], [1234.5]),
        ({"type": "float"}, [" 3.5 ", "1e3", "n/a"], [3.5, 1000.0, None]),
        ({"type": "int"}, ["3", "4.0", "3.7", "9007199254740993", "x"], [3, 4, None, 9007199254740993, None]),
        ({"type": "int", "missing": ["999"]}, ["999", "5"], [None, 5]),
        ({"type": "bool"}, ["TRUE", "no", "1", "Y", "f", "maybe"], [True, False, True, True, False, None]),
        ({"type": "bool", "true_words": ["ja"], "false_words": ["nein"]}, ["Ja", "NEIN", "1"], [True, False, None]),
        ({"type": "string", "missing": ["Select"]}, ["Select", " Select ", "Selected"], [None, None, "Selected"]),
        ({"type": "string", "values": {"in": "inbound"}}, ["in", "out"], ["inbound", "out"]),
        (
            {"type": "date", "formats": ["%d.%m.%Y", "%Y%m%d"]},
            ["31.01.2025", "20250102", "31.02.2025"],
            [date(2025, 1, 31), date(2025, 1, 2), None],
        ),
        ({"type": "date"}, ["2025-01-02", "2025-13-02"], [date(2025, 1, 2), None]),
        (
            {"type": "timestamp", "formats": ["%m/%d/%Y %H:%M", "%m/%d/%Y"], "time_zone": "America/New_York"},
            ["1/18/2021 0:00", "1/11/2021"],
            [datetime(2021, 1, 18, 5, tzinfo=UTC), datetime(2021, 1, 11, 5, tzinfo=UTC)],
        ),
        (
            {"type": "timestamp", "time_zone": "Europe/Berlin"},
            ["2025-01-06 09:00", "2025-07-06T09:00:00Z", "2025-01-06T09:00:00+05:30"],
            [
                datetime(2025, 1, 6, 8, tzinfo=UTC),
                datetime(2025, 7, 6, 9, tzinfo=UTC),
                datetime(2025, 1, 6, 3, 30, tzinfo=UTC),
            ],
        ),
        (
            {"type": "timestamp"},
            ["2025-01-06 09:00:00.123456", " 2025-01-06 ", "06/01/2025"],
            [datetime(2025, 1, 6, 9, 0, 0, 123456, tzinfo=UTC), datetime(2025, 1, 6, tzinfo=UTC), None],
        ),
    ],
)
def test_text_is_read_as_its_column_says(
    tmp_path: Path, column: dict[str, Any], texts: list[str], wanted: list[Any]
) -> None:
    write(tmp_path, "id|x\n" + "".join(f"{number}|{text}\n" for number, text in enumerate(texts)))
    found = sorted(rows(mapping({"x": column}, separator="|"), tmp_path), key=lambda row: int(row["product_id"]))
    assert [row["x"] for row in found] == wanted
    unread = [number for number, row in enumerate(found) if row["quarantine_reason"] is not None]
    is_missing = {"Select", "999"}
    assert unread == [n for n, value in enumerate(wanted) if value is None and texts[n].strip() not in is_missing]


def test_a_value_that_cannot_be_read_keeps_its_whole_row_for_the_quarantine(tmp_path: Path) -> None:
    write(tmp_path, 'id,size,note\na,big,"x, ""y"""\nb,1,z\n')
    found = {row["product_id"]: row for row in rows(mapping({"size": "float", "note": "string"}), tmp_path)}
    assert found["a"]["quarantine_reason"] == "size cannot be read as float"
    assert json.loads(found["a"]["quarantine_row"]) == {"id": "a", "size": "big", "note": 'x, "y"'}
    assert found["b"]["quarantine_reason"] is None


def test_a_line_with_several_faults_is_one_row_wherever_it_stands_in_a_big_file(tmp_path: Path) -> None:
    # Long lines make the file longer than DuckDB's buffer, in which it counts the bytes of a line's second error anew.
    note = "n" * 2_000
    lines = [f"{number},1,2,{note}\n" for number in range(20_000)]
    lines[10_000::1_000] = [f"{number},x,y,{note}\n" for number in range(10_000, 20_000, 1_000)]  # two values
    lines[10_001::1_000] = [f"{number},x\n" for number in range(10_001, 20_000, 1_000)]  # a value, and the line
    lines[10_002::1_000] = [f"{number},x,y,{note},more,,\n" for number in range(10_002, 20_000, 1_000)]
    write(tmp_path, "id,a,b,note\n" + "".join(lines))
    source = mapping({"a": "float", "b": "float", "note": "string"})
    reasons = Counter(row["quarantine_reason"] for row in rows(source, tmp_path))
    assert reasons == {
        None: 19_970,
        "a cannot be read as float; b cannot be read as float": 10,
        "line cannot be read: missing columns": 10,
        "line cannot be read: too many columns": 10,
    }


def test_a_column_that_the_table_does_not_use_cannot_break_its_rows(tmp_path: Path) -> None:
    write(tmp_path, "id,size\na,big\n")
    source = mapping({"size": "float"})
    table = source.tables[0].model_copy(update={"extension": {}})
    (row,) = rows(source.model_copy(update={"tables": (table,)}), tmp_path)
    assert (row["product_id"], row["quarantine_reason"]) == ("a", None)


def test_repeated_and_nameless_columns_are_numbered_and_reported(tmp_path: Path) -> None:
    write(tmp_path, "id,size,size,,note,\na,1,2,text,n,\n")
    source = mapping({"second": {"type": "float", "header": "size_3"}})
    with FileConnector(source, tmp_path) as connector:
        (extract,) = connector.extracts(connector.parts()[0], since=None)
        assert extract.rows.read_all()["custom_second"].to_pylist() == [2.0]
        told = [remark.text for remark in connector.remarks()]
    assert told == [
        "data.csv: column_4 dropped, holding text, although it has no name",
        "data.csv: column_6 dropped, empty",
        "data.csv: not read by the mapping: size, note",
    ]


def test_lines_are_parted_by_blanks_and_broken_ones_kept_apart(tmp_path: Path) -> None:
    write(tmp_path, " id  size\n a   1.5\n\n b 2 3\n c\t4\n", name="data.txt")
    found = rows(mapping({"size": "float"}, format="lines"), tmp_path)
    good = [(row["product_id"], row["size"]) for row in found if row["quarantine_reason"] is None]
    assert good == [("a", 1.5), ("c", 4.0)]
    (broken,) = [row for row in found if row["quarantine_reason"] is not None]
    assert broken["quarantine_reason"] == "line cannot be read: 3 fields instead of 2"
    assert json.loads(broken["quarantine_row"]) == " b 2 3"


def test_lines_of_fixed_width_are_cut_at_their_places(tmp_path: Path) -> None:
    write(tmp_path, "id  size\na b  1.5\nc     \n", name="data.txt")
    found = rows(mapping({"size": "float"}, format="lines", widths=[4, 4]), tmp_path)
    assert [(row["product_id"], row["size"]) for row in found] == [("a b", 1.5), ("c", None)]


def test_a_row_knows_its_place_in_the_file_where_the_mapping_asks(tmp_path: Path) -> None:
    write(tmp_path, "id\nb\na\n")
    source = mapping({}, numbered="place")
    table = source.tables[0].model_copy(update={"columns": {"product_id": "id || place"}})
    found = rows(source.model_copy(update={"tables": (table,)}), tmp_path)
    assert [row["product_id"] for row in found] == ["b1", "a2"]


def workbook(folder: Path, *, above: tuple[str | None, ...] = (), sheets: tuple[str, ...] = ("Deals",)) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in sheets:
        sheet = book.create_sheet(name)
        for title in above:
            sheet.append([title])
        sheet.append(["id", 2025, "closed", "day", "won", "share", None])
        sheet.append([f"{name} 1", 1234.5, datetime(2025, 1, 6, 9, 30), date(2025, 1, 6), True, 0.45, None])
        sheet.append([])
        sheet.append([7, "$1,200", "06/02/2025", "07/02/2025", "no", "45%", None])
    book.save(folder / "data.xlsx")
    return folder


EXCEL = {
    "amount": {"type": "float", "header": "2025", "number": "money"},
    "closed": {"type": "timestamp", "formats": ["%d/%m/%Y"]},
    "day": {"type": "date", "formats": ["%d/%m/%Y"]},
    "won": "bool",
    "share": {"type": "float", "number": "percent"},
}


def test_an_excel_sheet_is_read_with_its_typed_cells_and_text_alike(tmp_path: Path) -> None:
    found = rows(mapping(EXCEL, format="excel"), workbook(tmp_path))
    assert [
        (r["product_id"], r["amount"], r["closed"], r["day"], r["won"], r["share"], r["quarantine_reason"])
        for r in found
    ] == [
        ("Deals 1", 1234.5, datetime(2025, 1, 6, 9, 30, tzinfo=UTC), date(2025, 1, 6), True, 0.45, None),
        ("7", 1200.0, datetime(2025, 2, 6, tzinfo=UTC), date(2025, 2, 7), False, 0.45, None),
    ]


@pytest.mark.parametrize(("sheet", "wanted"), [(None, "One 1"), (2, "Two 1"), ("Two", "Two 1")])
def test_a_sheet_is_named_or_counted_and_its_header_may_stand_lower(
    tmp_path: Path, sheet: str | int | None, wanted: str
) -> None:
    workbook(tmp_path, above=(None, "A report", None), sheets=("One", "Two"))
    found = rows(mapping(EXCEL, format="excel", sheet=sheet, header_row=4), tmp_path)
    assert found[0]["product_id"] == wanted


def test_a_workbook_that_lacks_the_sheet_or_is_none_is_told(tmp_path: Path) -> None:
    workbook(tmp_path)
    with pytest.raises(SourceError, match=r"has no sheet 'Sales'.*one of Deals"):
        rows(mapping(EXCEL, format="excel", sheet="Sales"), tmp_path)
    with pytest.raises(SourceError, match="has no sheet 3"):
        rows(mapping(EXCEL, format="excel", sheet=3), tmp_path)
    with pytest.raises(SourceError, match="no column names in row 9"):
        rows(mapping(EXCEL, format="excel", header_row=9), tmp_path)
    (tmp_path / "data.xlsx").write_bytes(b"no workbook")
    with pytest.raises(SourceError, match=r"data\.xlsx is no Excel workbook"):
        rows(mapping(EXCEL, format="excel"), tmp_path)


def test_a_broken_gzip_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(b"id,size\na,1\n" * 1000)[:-20])
    with pytest.raises(SourceError, match=r"data\.csv\.gz cannot be read"):
        rows(mapping({}), tmp_path)


def test_typed_columns_of_parquet_are_cast_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    moments = pa.array([datetime(2025, 1, 6), None], pa.timestamp("ns"))
    table = pa.table({"id": [1, 2], "size": ["3.5", "big"], "seen": moments, "days": pa.array([999.0, 3.7])})
    pq.write_table(table, tmp_path / "data.parquet")
    columns = {"size": "float", "seen": {"type": "timestamp", "time_zone": "Europe/Berlin"}, "days": "int"}
    first, second = rows(mapping(columns, format="parquet"), tmp_path)
    assert (first["product_id"], first["size"], first["days"]) == ("1", 3.5, 999)
    assert first["seen"] == datetime(2025, 1, 5, 23, tzinfo=UTC)
    assert second["quarantine_reason"] == "size cannot be read as float; days cannot be read as int"
