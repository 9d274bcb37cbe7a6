"""The shape of a source's mapping file: which files, how to read them, and what becomes of their columns.

A mapping is declarative YAML beside this module. `files` says how each file is read and what type each of its columns
has. `views` are named DuckDB queries over files, for what one expression per column cannot say. `tables` turns a file
or view into a canonical table, a DuckDB expression per column. `models` holds the protocols of the models it feeds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from common.clock import utc
from warehouse.contracts import CONTRACTS
from warehouse.views import all_columns

_STRICT = ConfigDict(extra="forbid", frozen=True)
IDENTITY = "identity"


def _known_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"'{name}' is no IANA time zone such as America/Sao_Paulo")
    return name


TimeZone = Annotated[str, AfterValidator(_known_time_zone)]
Moment = Annotated[AwareDatetime, AfterValidator(utc)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LeadProtocol:
    """How the lead model is trained and judged on a source.

    Args:
        horizon_days: A lead is positive when it converts within so many days after the moment it is scored.
        spine: Moments to score at: at creation only, or along the lead's life as well.
        test_from: Leads created from this moment on (UTC) are the test; earlier ones train.
        test_share: Instead of `test_from`: share of leads, the newest by creation, that are the test.
    """

    horizon_days: int = Field(gt=0)
    spine: Literal["creation", "lifecycle"]
    test_from: Moment | None = None
    test_share: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_split(self) -> LeadProtocol:
        _refuse_two_splits(self.test_from, self.test_share)
        return self


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DealProtocol:
    """How the deal model is trained and judged on a source.

    Args:
        horizon_days: A deal is positive when it is won within so many days after the moment it is scored.
        spine: Moments to score at: each first entry into an open stage, or weekly while open and at stage changes.
        test_from: Deals opened from this moment on (UTC) are the test; earlier ones train.
        test_share: Instead of `test_from`: share of deals, the newest by opening, that are the test.
        stages: The open stages, from the first to the last; the order in which a deal should pass them.
    """

    horizon_days: int = Field(gt=0)
    spine: Literal["stage_entries", "weekly"]
    test_from: Moment | None = None
    test_share: float | None = Field(default=None, gt=0, lt=1)
    stages: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_split(self) -> DealProtocol:
        _refuse_two_splits(self.test_from, self.test_share)
        return self


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ForecastProtocol:
    """How revenue is forecast from a source, and judged.

    Args:
        kind: `pipeline`: from deals and their probabilities; `series`: from `series_values` alone.
        horizon: Periods ahead to forecast.
        season_length: Periods after which the season repeats.
        frequency: Period: MS (months) or QS (quarters), named by their first day.
        test_periods: Newest periods held back to judge the forecast.
        level_names: For series: what `level_1`, `level_2`, `level_3` are, from the highest on; empty for pipelines.
        unit: Unit of the values, for reports.
    """

    kind: Literal["pipeline", "series"]
    horizon: int = Field(gt=0)
    season_length: int = Field(gt=0)
    frequency: Literal["MS", "QS"]
    test_periods: int = Field(gt=0)
    level_names: tuple[str, ...] = Field(default=(), max_length=3)
    unit: str = "USD"


def _refuse_two_splits(test_from: datetime | None, test_share: float | None) -> None:
    if (test_from is None) == (test_share is None):
        raise ValueError("give either test_from or test_share")


class FileColumn(BaseModel):
    """One column of a file and how its text becomes a value."""

    model_config = _STRICT

    type: Literal["string", "float", "int", "bool", "timestamp", "date"] = Field(description="Type after reading.")
    header: str | None = Field(None, description="Name in the file, if it is another.")
    formats: tuple[str, ...] = Field(
        (), description="strptime formats of times and dates, tried in turn; none: ISO 8601."
    )
    time_zone: TimeZone | None = Field(None, description="Zone of times without an offset; unset: the mapping's.")
    strip: str = Field("", description="Characters taken out of numbers before they are read, such as '$,'.")
    missing: tuple[str, ...] = Field((), description="Words that mean missing, besides the file's.")
    values: dict[str, str] = Field({}, description="Words to replace, after missing ones are taken out.")


class File(BaseModel):
    """One file, or several of the same shape, and how to read them."""

    model_config = _STRICT

    path: str = Field(description="Name inside the folder; may hold * and ?.")
    format: Literal["csv", "parquet"] = Field(description="Shape of the file; a CSV may be gzipped.")
    encoding: Literal["utf-8", "latin-1", "utf-16"] = Field("utf-8", description="Encoding of a CSV file.")
    separator: str = Field(",", min_length=1, description="Separator of a CSV file.")
    missing: tuple[str, ...] = Field(
        (), description="Words that mean missing, in every column; empty text always does."
    )
    optional: bool = Field(False, description="Whether the source may come without it; its tables are then left out.")
    columns: dict[str, FileColumn] = Field({}, description="Columns the mapping reads; the file must have them.")

    @field_validator("columns", mode="before")
    @classmethod
    def _short_columns(cls, columns: Any) -> Any:
        """`won_date: timestamp` is short for `won_date: {type: timestamp}`."""
        if not isinstance(columns, dict):
            return columns
        return {name: {"type": column} if isinstance(column, str) else column for name, column in columns.items()}


class Rule(BaseModel):
    """A condition under which a mapped row goes to quarantine."""

    model_config = _STRICT

    when: str = Field(description="DuckDB condition on the columns of the table's file or view.")
    reason: str = Field(min_length=1, description="Why such a row cannot be right.")


class Table(BaseModel):
    """How rows of a file or view become rows of a canonical table."""

    model_config = _STRICT

    table: str = Field(description="Canonical table; several entries may feed the same one.")
    relation: str = Field(alias="from", description="File or view the rows come from.")
    where: str | None = Field(None, description="DuckDB condition: which rows are meant at all.")
    columns: dict[str, str] | Literal["identity"] = Field(
        description="DuckDB expression per canonical column; `identity`: the file has canonical columns already."
    )
    event_timestamp: str | None = Field(None, description="Expression: when it happened.")
    created_timestamp: str | None = Field(None, description="Expression: when it could first be known (known-at rule).")
    quarantine: tuple[Rule, ...] = Field((), description="Rows that cannot be right.")

    @model_validator(mode="after")
    def _fits_contract(self) -> Table:
        if self.table not in CONTRACTS:
            raise ValueError(f"'{self.table}' is no canonical table; there are {', '.join(CONTRACTS)}")
        contract = CONTRACTS[self.table]
        if self.columns == IDENTITY:
            return self
        if self.event_timestamp is None or self.created_timestamp is None:
            raise ValueError(f"{self.table} needs event_timestamp and created_timestamp")
        unknown = [name for name in self.columns if name not in {column.name for column in contract.columns}]
        if unknown:
            raise ValueError(f"{self.table} has no column {', '.join(unknown)}")
        missing = [column.name for column in contract.columns if column.required and column.name not in self.columns]
        if missing:
            raise ValueError(f"{self.table} lacks its required {', '.join(missing)}")
        return self

    @property
    def expressions(self) -> dict[str, str]:
        """Expression per canonical column, the two times among them; empty for an identity table."""
        if isinstance(self.columns, str) or self.event_timestamp is None or self.created_timestamp is None:
            return {}
        times = {"event_timestamp": self.event_timestamp, "created_timestamp": self.created_timestamp}
        return self.columns | times

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that a file must have to be taken as this table without mapping."""
        return tuple(column.name for column in all_columns(CONTRACTS[self.table]) if column.required)


class Models(BaseModel):
    """The models a source feeds."""

    model_config = _STRICT

    lead: LeadProtocol | None = None
    deal: DealProtocol | None = None
    forecast: ForecastProtocol | None = None


class Mapping(BaseModel):
    """A whole mapping file."""

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the source.")
    about: str = Field(description="What the source is, in a sentence or two.")
    time_zone: TimeZone = Field("UTC", description="Zone of times without an offset.")
    files: dict[str, File] = Field(min_length=1, description="Files by the name the mapping gives them.")
    views: dict[str, str] = Field({}, description="DuckDB queries by name; each may read files and views before it.")
    tables: tuple[Table, ...] = Field(min_length=1, description="Canonical tables.")
    models: Models = Field(description="Protocols of the models.")

    @model_validator(mode="after")
    def _relations_exist(self) -> Mapping:
        names = [*self.files, *self.views]
        lost = sorted({table.relation for table in self.tables} - set(names))
        if lost:
            raise ValueError(f"no file or view is named {', '.join(lost)}; there are {', '.join(names)}")
        return self
