"""SQL that turns a file's text into typed values: the parsing of one column, for each of the formats."""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.mapping import File, FileColumn, Mapping
from warehouse.views import SQL_TYPES, literal, quoted

TEXT = "VARCHAR"
_CURRENCY_SIGNS = "$€£¥₹"
_BLANKS = " \u00a0\u202f"


@dataclass(frozen=True)
class Value:
    """SQL of a column.

    Args:
        value: Its typed value; null where there is none and where it cannot be read.
        unread: Condition that there is text which cannot be read; None if that cannot be.
    """

    value: str
    unread: str | None


def value_of(mapping: Mapping, file: File, column: FileColumn, name: str, raw_type: str) -> Value:
    """SQL of the value of a column that is called `name` in the file and comes as `raw_type` (an SQL type)."""
    raw, zone = quoted(name), literal(column.time_zone or mapping.time_zone)
    if raw_type != TEXT:
        if not (column.missing or column.values):
            return _typed_value(column, raw, raw_type, zone)
        raw = f"{raw}::VARCHAR"
    text = _text(file, column, raw)
    value = _parsed(file, column, text, zone)
    return Value(value, None if column.type == "string" else f"{text} IS NOT NULL AND ({value}) IS NULL")


def direct_type(mapping: Mapping, file: File, column: FileColumn) -> str | None:
    """SQL type as which DuckDB's CSV reader gives exactly what the mapping says, without an expression; else None.

    Lines it cannot read so are rejected whole, and are then read the long way: so words such as "n/a" are still
    missing, only slower. An int is none of these, because the reader would round 3.7 to 4.
    """
    if column.values or column.missing or column.formats or column.strip or column.number != "plain":
        return None
    decimal, thousands = _signs(file, column)
    if column.type == "float" and (decimal, thousands) == (".", ""):
        return SQL_TYPES["float"]
    if column.type == "date":
        return SQL_TYPES["date"]
    if column.type == "timestamp" and (column.time_zone or mapping.time_zone) == "UTC":
        return SQL_TYPES["timestamp"]
    return None


def _typed_value(column: FileColumn, raw: str, raw_type: str, zone: str) -> Value:
    """A column the file has with a type of its own, as Parquet does."""
    raw_type = raw_type.replace("TIMESTAMP WITH TIME ZONE", SQL_TYPES["timestamp"])
    if raw_type == SQL_TYPES[column.type]:
        return Value(raw, None)
    if column.type == "timestamp" and raw_type.startswith("TIMESTAMP"):
        return Value(f"timezone({zone}, {raw}::TIMESTAMP)", None)
    value = _whole(f"{raw}::VARCHAR") if column.type == "int" else f"TRY_CAST({raw} AS {SQL_TYPES[column.type]})"
    return Value(value, f"{raw} IS NOT NULL AND ({value}) IS NULL")


def _text(file: File, column: FileColumn, raw: str) -> str:
    """A column's trimmed text, without words that mean missing, and with its words replaced."""
    words = dict.fromkeys((*file.missing, *column.missing))
    text = f"nullif(trim({raw}), '')"
    if words:
        text = f"CASE WHEN {text} NOT IN ({', '.join(map(literal, words))}) THEN trim({raw}) END"
    if column.values:
        cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in column.values.items())
        text = f"CASE {text} {cases} ELSE {text} END"
    return text


def _parsed(file: File, column: FileColumn, text: str, zone: str) -> str:
    match column.type:
        case "string":
            return text
        case "timestamp" | "date":
            return _moment(file, column, text, zone)
        case "bool":
            return _truth(column, text)
        case "int":
            return _whole(_number(file, column, text))
        case "float":
            return _float(column, _number(file, column, text))


def _moment(file: File, column: FileColumn, text: str, zone: str) -> str:
    if column.formats:
        moment = f"try_strptime({text}, [{', '.join(map(literal, column.formats))}])"
        if file.format == "excel":  # cells that are dates are staged as ISO 8601
            moment = f"coalesce({moment}, TRY_CAST({text} AS TIMESTAMP))"
        return f"timezone({zone}, {moment}::TIMESTAMP)" if column.type == "timestamp" else f"{moment}::DATE"
    if column.type == "date":
        return f"TRY_CAST({text} AS DATE)"
    if zone == "'UTC'":
        return f"TRY_CAST({text} AS TIMESTAMPTZ)"
    has_offset = f"regexp_matches({text}, ':\\d\\d(\\.\\d+)? ?(Z|[+-]\\d\\d(:?\\d\\d)?)$')"
    placed = f"timezone({zone}, TRY_CAST({text} AS TIMESTAMP))"
    return f"CASE WHEN {has_offset} THEN TRY_CAST({text} AS TIMESTAMPTZ) ELSE {placed} END"


def _truth(column: FileColumn, text: str) -> str:
    true, false = (
        ", ".join(literal(word.lower()) for word in words) for words in (column.true_words, column.false_words)
    )
    return f"CASE WHEN lower({text}) IN ({true}) THEN true WHEN lower({text}) IN ({false}) THEN false END"


def _number(file: File, column: FileColumn, text: str) -> str:
    """Text of a number as SQL writes it: without signs of thousands and currency, with a decimal point."""
    decimal, thousands = _signs(file, column)
    if column.number == "money":
        code = "'^(\\(|-)?\\s*[A-Z]{3}\\b|\\b[A-Z]{3}\\s*$'"
        text = f"regexp_replace({text}, {code}, '\\1')"
    signs = column.strip + thousands + (_CURRENCY_SIGNS + _BLANKS if column.number == "money" else "")
    signs = signs.replace(decimal, "")
    if signs:
        text = f"translate({text}, {literal(signs)}, '')"
    if decimal != ".":
        text = f"replace({text}, {literal(decimal)}, '.')"
    if column.number == "money":
        inside = f"regexp_extract({text}, '^\\((.*)\\)$', 1)"
        text = f"CASE WHEN {inside} <> '' THEN '-' || {inside} ELSE {text} END"
    return text


def _signs(file: File, column: FileColumn) -> tuple[str, str]:
    decimal = column.decimal or file.decimal
    thousands = file.thousands if column.thousands is None else column.thousands
    if column.number == "money" and not thousands:
        thousands = "," if decimal == "." else "."
    return decimal, thousands


def _float(column: FileColumn, number: str) -> str:
    if column.number != "percent":
        return f"TRY_CAST({number} AS DOUBLE)"
    share = f"TRY_CAST(rtrim({number}, '% ') AS DOUBLE)"
    return f"CASE WHEN suffix({number}, '%') THEN {share} / 100 ELSE {share} END"


def _whole(number: str) -> str:
    """A whole number; null for a fraction, which a plain cast would round."""
    fraction = f"regexp_matches({number}, '[.eE]') AND TRY_CAST({number} AS DOUBLE) <> TRY_CAST({number} AS BIGINT)"
    return f"CASE WHEN NOT ({fraction}) THEN TRY_CAST({number} AS BIGINT) END"
