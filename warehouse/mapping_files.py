"""The part of a mapping file that says how the source's files are read: formats, encodings, and each column's text."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

STRICT = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

KnownWord = Literal["always", "at_outcome"]
ValueType = Literal["string", "float", "int", "bool", "timestamp", "date"]


def _known_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"'{name}' is no IANA time zone such as America/Sao_Paulo")
    return name


TimeZone = Annotated[str, AfterValidator(_known_time_zone)]


class FileColumn(BaseModel):
    """One column of a file and how its text becomes a value. `won_date: timestamp` is short for `{type: timestamp}`."""

    model_config = STRICT

    type: ValueType = Field(description="Type after reading.")
    header: str | None = Field(None, description="Name in the file, if it is another.")
    optional: bool = Field(False, description="Whether a file may lack the column; every value is then missing.")
    formats: tuple[str, ...] = Field(
        (), description="strptime formats of times and dates, tried in turn; none: ISO 8601."
    )
    time_zone: TimeZone | None = Field(None, description="Zone of times without an offset; unset: the mapping's.")
    number: Literal["plain", "money", "percent"] = Field(
        "plain",
        description=(
            "How numbers are written. `money`: currency signs and codes are taken off and (1,200) is negative. "
            "`percent`: 45% is 0.45, while 0.45 stays."
        ),
    )
    decimal: Literal[".", ","] | None = Field(None, description="Decimal sign of numbers; unset: the file's.")
    thousands: str | None = Field(None, max_length=1, description="Sign between thousands; unset: the file's.")
    strip: str = Field("", description="Characters taken out of numbers before they are read, such as '$'.")
    missing: tuple[str, ...] = Field((), description="Words that mean missing, besides the file's.")
    values: dict[str, str] = Field({}, description="Words to replace, after missing ones are taken out.")
    true_words: tuple[str, ...] = Field(
        ("true", "t", "yes", "y", "1"), description="Words that mean true in a bool column, in any case."
    )
    false_words: tuple[str, ...] = Field(
        ("false", "f", "no", "n", "0"), description="Words that mean false in a bool column, in any case."
    )
    known: KnownWord = Field(
        "always",
        description=(
            "When the value is first known. `at_outcome`: only once the lead or deal is decided; it may then go only "
            "into canonical columns known at the outcome, or into a table entry marked `at_closing`."
        ),
    )
    why: str | None = Field(None, description="For `known: at_outcome`: how one can tell that it is known so late.")

    @model_validator(mode="after")
    def _late_columns_say_why(self) -> FileColumn:
        if self.known == "at_outcome" and not self.why:
            raise ValueError("a column known at_outcome needs a `why`")
        return self


class File(BaseModel):
    """One file, or several of the same shape whose columns are matched by name, and how to read them."""

    model_config = STRICT

    path: str | tuple[str, ...] = Field(
        description="Name inside the folder, or several; each may hold * and ?, and a folder before the name."
    )
    format: Literal["csv", "parquet", "excel", "lines"] = Field(
        description=(
            "Shape of the file: separated text, Parquet, an Excel sheet, or lines whose fields stand apart by blanks "
            "or in columns of fixed width. Text may be gzipped (.gz)."
        )
    )
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252"] = Field(
        "utf-8", description="Encoding of text; a byte order mark is understood."
    )
    separator: str = Field(",", min_length=1, max_length=1, description="Separator of a CSV file's fields.")
    decimal: Literal[".", ","] = Field(".", description="Decimal sign of the numbers.")
    thousands: str = Field("", max_length=1, description="Sign between the thousands of the numbers, if any.")
    sheet: str | int | None = Field(
        None, description="Excel: name of the sheet, or its number from 1 on; unset: the first."
    )
    header_row: int = Field(1, ge=1, description="Row of the column names, from 1 on; rows above it are left out.")
    names: tuple[str, ...] = Field((), description="Column names of a text file that has no row of column names.")
    widths: tuple[int, ...] = Field(
        (), description="For `lines`: characters of each field; unset: fields stand apart by blanks."
    )
    numbered: str | None = Field(
        None, description="Name of a column to add: the row's number in the file, from 1 on, where the order matters."
    )
    missing: tuple[str, ...] = Field(
        (), description="Words that mean missing, in every column; empty text always does."
    )
    optional: bool = Field(False, description="Whether the source may come without it; its tables are then left out.")
    columns: dict[str, FileColumn] = Field({}, description="Columns the mapping reads; the file must have them.")
    unused: dict[str, str] = Field(
        {}, description="Columns of the file left out on purpose, by name in the file, with the reason."
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _short_columns(cls, columns: Any) -> Any:
        """`won_date: timestamp` is short for `won_date: {type: timestamp}`."""
        if not isinstance(columns, dict):
            return columns
        return {name: {"type": column} if isinstance(column, str) else column for name, column in columns.items()}

    @model_validator(mode="after")
    def _options_fit_format(self) -> File:
        if self.format in {"excel", "lines"} and not self.columns:
            raise ValueError(f"a file of format {self.format} needs its `columns`")
        if self.format == "parquet" and self.numbered and not self.columns:
            raise ValueError("`numbered` needs `columns`")
        if self.names and self.format not in {"csv", "lines"}:
            raise ValueError("`names` are for text files")
        if self.numbered in self.columns:
            raise ValueError(f"`numbered` names the column {self.numbered}, which the file has already")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The patterns of `path`."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def outcome_columns(self) -> frozenset[str]:
        """Names (as the mapping gives them) of the columns known only at the outcome."""
        return frozenset(name for name, column in self.columns.items() if column.known == "at_outcome")
