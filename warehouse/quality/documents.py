"""The report's files: JSON with a documented schema, and the page beside it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.whole_files import write_whole
from warehouse.quality.results import QualityReport

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_LOG = logging.getLogger(__name__)
_STEM = "quality-"
_ID = "https://json-schema.org/draft/2020-12/schema"
_DIGITS = 4


def write_quality(report: QualityReport, folder: Path) -> Path:
    """Write `quality-<as_of>.json` and the page of the same name; each appears whole or not at all.

    Args:
        report: The report.
        folder: Where to; made if it is absent.

    Returns:
        The page, `quality-<as_of>.html`.
    """
    from warehouse.quality.page import render_page

    stem = f"{_STEM}{report.as_of:%Y%m%dT%H%M%SZ}"
    data, page = folder / f"{stem}.json", folder / f"{stem}.html"
    write_whole(data, json.dumps(report_document(report), indent=1, ensure_ascii=False, allow_nan=False))
    write_whole(page, render_page(report, data=data.name))
    return page


def report_document(report: QualityReport) -> dict[str, Any]:
    """The report as plain JSON values, fractions rounded to four digits."""
    document: dict[str, Any] = _rounded(_adapter().dump_python(report, mode="json"))
    return document


def earlier_reports(folder: Path) -> list[dict[str, Any]]:
    """The reports that `write_quality` left in a folder, oldest first, for `assess_quality(previous=...)`.

    A file that is no report (edited by hand, of another program) is passed over and logged.
    """
    reports = []
    for path in sorted(folder.glob(f"{_STEM}*.json")):
        try:
            reports.append(_as_report(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, KeyError, TypeError) as error:
            _LOG.warning("%s is no quality report and is left out of the trend: %s", path, error)
    return reports


def quality_json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the report; `docs/quality.schema.json` is this."""
    made = _adapter().json_schema(mode="serialization")
    return {"$schema": _ID, "title": "Data quality report"} | {key: made[key] for key in made if key != "title"}


def _as_report(document: Any) -> dict[str, Any]:
    """The document, if it has what a trend needs."""
    for table in document["tables"]:
        float(table["score"])
    int(document["method"]), str(document["as_of"]), document["score"]
    return dict(document)


def _adapter() -> TypeAdapter[QualityReport]:
    from pydantic import TypeAdapter

    return TypeAdapter(QualityReport)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
