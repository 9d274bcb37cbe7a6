"""The shape of a source's mapping file: which files, how to read them, and what becomes of their columns.

A mapping is declarative YAML in `mappings/`. `files` says how each file is read and what type each of its columns has.
`views` are named DuckDB queries over files, for what one expression per column cannot say. `tables` turns a file or
view into a canonical table, a DuckDB expression per column. `references` says which columns must find a partner in
another file. `models` holds the protocols of the models it feeds. Editors complete it from docs/mapping.schema.json.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from warehouse.contracts import CONTRACTS, Column, Known
from warehouse.mapping_files import STRICT, File, FileColumn, KnownWord, TimeZone, ValueType
from warehouse.model_protocols import DealProtocol, ForecastProtocol, LeadProtocol, Models
from warehouse.views import all_columns

__all__ = [
    "CUSTOM_PREFIX",
    "IDENTITY",
    "DealProtocol",
    "ExtensionColumn",
    "File",
    "FileColumn",
    "ForecastProtocol",
    "LeadProtocol",
    "Mapping",
    "Models",
    "Reference",
    "Rule",
    "Table",
    "mapping_json_schema",
]

IDENTITY = "identity"
CUSTOM_PREFIX = "custom_"
"""Stored names of a source's own columns begin so, and never meet a canonical one."""


class Rule(BaseModel):
    """A condition under which a mapped row goes to quarantine."""

    model_config = STRICT

    when: str = Field(description="DuckDB condition on the columns of the table's file or view.")
    reason: str = Field(min_length=1, description="Why such a row cannot be right.")


class ExtensionColumn(BaseModel):
    """A column of the source's own that the canonical table lacks; it is stored as `custom_<name>`."""

    model_config = STRICT

    type: ValueType = Field(description="Type it is stored in.")
    about: str = Field(min_length=1, description="What it means, with its unit.")
    known: KnownWord = Field(
        "always", description="When it is first known; `at_outcome`: only once the lead or deal is decided."
    )
    value: str | None = Field(None, description="DuckDB expression; unset: the file's or view's column of this name.")


class Table(BaseModel):
    """How rows of a file or view become rows of a canonical table."""

    model_config = STRICT

    table: str = Field(description="Canonical table; several entries may feed the same one.")
    relation: str = Field(alias="from", description="File or view the rows come from.")
    where: str | None = Field(None, description="DuckDB condition: which rows are meant at all.")
    columns: dict[str, str] | Literal["identity"] = Field(
        description="DuckDB expression per canonical column; `identity`: the file has canonical columns already."
    )
    extension: dict[str, ExtensionColumn] = Field(
        {}, description="Columns of the source's own by name, kept as `custom_<name>`."
    )
    event_timestamp: str | None = Field(None, description="Expression: when it happened.")
    created_timestamp: str | None = Field(None, description="Expression: when it could first be known (known-at rule).")
    at_closing: bool = Field(
        False,
        description=(
            "Whether these rows exist only because the lead or deal was decided, and are known only then; only such "
            "rows may read columns known at_outcome into columns known always."
        ),
    )
    quarantine: tuple[Rule, ...] = Field((), description="Rows that cannot be right.")

    @field_validator("extension")
    @classmethod
    def _plain_names(cls, extension: dict[str, ExtensionColumn]) -> dict[str, ExtensionColumn]:
        odd = [name for name in extension if not (name.isascii() and name.isidentifier() and name == name.lower())]
        if odd:
            raise ValueError(f"{', '.join(odd)}: names are small letters, digits and underscores")
        return extension

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
            raise ValueError(f"{self.table} has no column {', '.join(unknown)}; keep it in `extension`")
        missing = [column.name for column in contract.columns if column.required and column.name not in self.columns]
        if missing:
            raise ValueError(f"{self.table} lacks its required {', '.join(missing)}")
        return self

    @property
    def expressions(self) -> dict[str, str]:
        """Expression per stored column, the two times among them; of an identity table the `custom_` ones alone."""
        custom = {CUSTOM_PREFIX + name: column.value or f'"{name}"' for name, column in self.extension.items()}
        if isinstance(self.columns, str) or self.event_timestamp is None or self.created_timestamp is None:
            return custom
        times = {"event_timestamp": self.event_timestamp, "created_timestamp": self.created_timestamp}
        return self.columns | custom | times

    @property
    def extension_columns(self) -> tuple[Column, ...]:
        """The columns of the source's own as the warehouse stores them."""
        return tuple(
            Column(name=CUSTOM_PREFIX + name, dtype=column.type, about=column.about, known=Known(column.known))
            for name, column in self.extension.items()
        )

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that a file must have to be taken as this table without mapping."""
        return tuple(column.name for column in all_columns(CONTRACTS[self.table]) if column.required)


class Reference(BaseModel):
    """A column whose values should each be found in a column of another file; what is not found is reported."""

    model_config = STRICT

    relation: str = Field(alias="from", description="File whose column refers to another file.")
    column: str = Field(description="The column, by the mapping's name.")
    to: str = Field(description="File that has the things referred to.")
    key: str = Field(description="Column of that file that names them.")
    aliases: dict[str, str] = Field(
        {}, description="Other writings by which a thing is called, and what it is called in `to`; they are joined."
    )


class Mapping(BaseModel):
    """A whole mapping file."""

    model_config = STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name of the source.")
    about: str = Field(description="What the source is, in a sentence or two.")
    notes: tuple[str, ...] = Field((), description="What one should know about the source; told at every load.")
    time_zone: TimeZone = Field("UTC", description="Zone of times without an offset.")
    files: dict[str, File] = Field(min_length=1, description="Files by the name the mapping gives them.")
    views: dict[str, str] = Field({}, description="DuckDB queries by name; each may read files and views before it.")
    tables: tuple[Table, ...] = Field(min_length=1, description="Canonical tables.")
    references: tuple[Reference, ...] = Field((), description="Columns that must find a partner in another file.")
    models: Models = Field(Models(), description="Protocols of the models; none: the source is only kept.")

    @model_validator(mode="after")
    def _relations_exist(self) -> Mapping:
        names = [*self.files, *self.views]
        lost = sorted({table.relation for table in self.tables} - set(names))
        if lost:
            raise ValueError(f"no file or view is named {', '.join(lost)}; there are {', '.join(names)}")
        doubled = sorted(self.files.keys() & self.views.keys())
        if doubled:
            raise ValueError(f"{', '.join(doubled)} names a file and a view")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Mapping:
        for reference in self.references:
            for name, column in ((reference.relation, reference.column), (reference.to, reference.key)):
                if name not in self.files:
                    raise ValueError(f"references: no file is named {name}; there are {', '.join(self.files)}")
                if column not in self.files[name].columns:
                    known = ", ".join(self.files[name].columns)
                    raise ValueError(f"references: the file {name} has no column {column}; there are {known}")
        return self

    @model_validator(mode="after")
    def _outcomes_stay_outcomes(self) -> Mapping:
        from warehouse.outcome_columns import refuse_early_outcomes

        refuse_early_outcomes(self)
        return self


def mapping_json_schema() -> dict[str, Any]:
    """The JSON schema of a mapping file, for editors that complete and check YAML; kept in docs/mapping.schema.json."""
    schema = Mapping.model_json_schema(by_alias=True, mode="validation")
    column = schema["$defs"]["FileColumn"]
    # The short form `name: type` is settled before pydantic sees it, so its schema does not know of it.
    schema["$defs"]["File"]["properties"]["columns"]["additionalProperties"] = {
        "anyOf": [{"$ref": "#/$defs/FileColumn"}, column["properties"]["type"]]
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Salience mapping"} | schema
