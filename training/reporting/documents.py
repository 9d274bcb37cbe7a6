"""The report as JSON, and the schema of that JSON, made from the classes in `contents`."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from training.reporting.contents import ReportContents


def report_json(contents: ReportContents) -> str:
    """The contents as JSON, two spaces a level."""
    return TypeAdapter(ReportContents).dump_json(contents, indent=2).decode() + "\n"


def read_report(text: str) -> ReportContents:
    """The contents that `report_json` wrote.

    Raises:
        pydantic.ValidationError: if the text is no such report.
    """
    return TypeAdapter(ReportContents).validate_json(text)


def report_json_schema() -> dict[str, Any]:
    """JSON Schema of the report, kept in `docs/training-report.schema.json`."""
    schema = TypeAdapter(ReportContents).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Training report"}
