"""Load a source's files into the warehouse."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from flows.display import report_progress
from flows.parts import Platform


@task(name="ingest", cache_policy=NO_CACHE)
def load_files(source: str, data: Path, mapping: Path | None = None) -> dict[str, Any]:
    """Read the files through the source's mapping into Delta tables; give what became of each table's rows."""
    from warehouse.ingest import ingest
    from warehouse.own_mapping import keep_mapping

    platform = Platform.open(source)
    if mapping is not None:
        keep_mapping(platform.workspace, mapping)
    report = ingest(platform.source, data, platform.warehouse, progress=report_progress)
    return {
        "tables": {table: asdict(count) for table, count in report.items()},
        "remarks": [remark.text for remark in report.remarks],
        "unchanged": list(report.parts_known),
        "folder": str(platform.workspace.warehouse),
        "outputs": [str(platform.workspace.warehouse / table) for table in platform.warehouse.tables()],
    }


@flow(name="ingest-source")
def ingest_source(source: str, data: Path, mapping: Path | None = None) -> dict[str, Any]:
    """Load a source's files; the same files again change nothing, new files load only what is new.

    Args:
        source: Source with a mapping in warehouse/mappings, or the name of `mapping`.
        data: Folder of its files.
        mapping: A mapping of one's own, once; later commands find it in the workspace.
    """
    record = load_files(source, data, mapping)
    loaded = sum(table["loaded"] for table in record["tables"].values())
    if loaded:
        # New rows may bring labels and drift: an automation lets the monitoring look (prefect.yaml).
        emit_event(
            event="sales.data.loaded",
            resource={"prefect.resource.id": f"salience.source.{source}"},
            payload={"source": source, "rows": str(loaded)},
        )
    return record
