"""The quality of a warehouse's data: a score with its reasons, findings, and what to do about each."""

from warehouse.quality.assess import assess_quality
from warehouse.quality.documents import earlier_reports, quality_json_schema, write_quality
from warehouse.quality.results import Finding, QualityReport

__all__ = ["Finding", "QualityReport", "assess_quality", "earlier_reports", "quality_json_schema", "write_quality"]
