"""The warehouse: loading, reading as of a moment, memory and size, beside plain DuckDB on the same rows.

    python benchmarks/warehouse.py [--quick] [--check] [--rows N] [--large N]

Loading is the whole way: connector, mapping, contracts, quarantine, comparison with what is there, atomic commit. Its
peer is DuckDB's plain COPY of the same file to Parquet, its limit reading the file's bytes. The peer of an as-of read
is a plain scan of the same rows, which is also its limit. Times are medians of runs that take turns.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RUNS = 5
LEAST_SHARE_OF_COPY = 1 / 3
MOST_SCANS = 3.0
MOST_MEMORY_GB = 4.0
MOST_SIZE = 1.5
FAR_FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
PART_ROWS = 1_000_000
MAPPING = """
name: calls
about: Activities as an export.
files:
  activities:
    path: activities*.{suffix}
    format: {suffix}
    {columns}
tables:
  - {table}
models: {{}}
"""
CSV_TYPES = {"duration_minutes": "float", "participant_count": "int"}
LOADER = """
import resource, sys
from pathlib import Path
from warehouse.ingest import ingest
from warehouse.sources import read_mapping
from warehouse.store import Warehouse
folder = Path(sys.argv[1])
report = ingest(read_mapping(folder / "mapping.yaml"), folder, Warehouse(Path(sys.argv[2])))
print(report["activities"].loaded, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@dataclass(frozen=True)
class Row:
    """One measured figure beside its peer and its limit.

    Args:
        work: What was done.
        peer: The peer's figure.
        limit: The physical limit's, if there is one.
        ours: Ours.
        ratio: Ours over the peer's.
        bar: What the ratio, or for memory the figure, must keep.
        passed: Whether it does.
    """

    work: str
    peer: str
    limit: str
    ours: str
    ratio: float
    bar: str
    passed: bool


def activities_sql(first: int, rows: int, *, things: int | None = None) -> str:
    """SQL of made-up activities in canonical columns, by the minute; with `things`, several versions of each."""
    number = "i" if things is None else f"hash(i, 11) % {things}"
    return f"""SELECT 'A-' || lpad(({number})::VARCHAR, 9, '0') AS activity_id,
        ['email', 'call', 'meeting', 'demo', 'task'][1 + (hash(i, 1) % 5)::INT] AS kind,
        CASE WHEN hash(i, 2) % 3 > 0 THEN 'D-' || lpad((hash(i, 3) % 100000)::VARCHAR, 6, '0') END AS opportunity_id,
        CASE WHEN hash(i, 2) % 3 = 0 THEN 'L-' || lpad((hash(i, 3) % 400000)::VARCHAR, 6, '0') END AS lead_id,
        'C-' || lpad((hash(i, 4) % 50000)::VARCHAR, 6, '0') AS account_id,
        'R-' || (hash(i, 5) % 200)::VARCHAR AS rep_id,
        ['inbound', 'outbound'][1 + (hash(i, 6) % 2)::INT] AS direction,
        ['reached', 'no answer', 'agreed', 'declined'][1 + (hash(i, 7) % 4)::INT] AS outcome,
        round((hash(i, 8) % 9000) / 100.0, 2) AS duration_minutes,
        (hash(i, 9) % 6)::BIGINT AS participant_count,
        TIMESTAMPTZ '2023-01-01 00:00:00+00' + to_seconds(i * 3) AS event_timestamp,
        TIMESTAMPTZ '2023-01-01 00:00:00+00' + to_seconds(i * 3 + (hash(i, 10) % 3600)::BIGINT) AS created_timestamp
        FROM range({first}, {first + rows}) t(i)"""


def write_source(folder: Path, suffix: str, *, rows: int) -> None:
    """Files of activities in parts of a million rows, and their mapping."""
    from warehouse.views import literal, open_connection

    folder.mkdir()
    options = "(FORMAT parquet, COMPRESSION zstd)" if suffix == "parquet" else "(FORMAT csv, HEADER)"
    with open_connection() as connection:
        for number, first in enumerate(range(0, rows, PART_ROWS)):
            target = literal(str(folder / f"activities-{number:03d}.{suffix}"))
            made = activities_sql(first, min(PART_ROWS, rows - first))
            connection.execute(f"COPY ({made}) TO {target} {options}")
        names = [name for name, *_ in connection.execute(f"DESCRIBE {activities_sql(0, 1)}").fetchall()]
    (folder / "mapping.yaml").write_text(mapping(suffix, names))


def mapping(suffix: str, names: list[str]) -> str:
    """The mapping a user would write: canonical Parquet as it is, a CSV column by column."""
    if suffix == "parquet":
        return MAPPING.format(
            suffix=suffix, columns="", table="{table: activities, from: activities, columns: identity}"
        )
    times = ("event_timestamp", "created_timestamp")
    types = {name: "timestamp" if name in times else CSV_TYPES.get(name, "string") for name in names}
    columns = "columns: {" + ", ".join(f"{name}: {kind}" for name, kind in types.items()) + "}"
    mapped = ", ".join(f"{name}: {name}" for name in names if name not in times)
    placed = ", ".join(f"{name}: {name}" for name in times)
    table = f"{{table: activities, from: activities, {placed}, columns: {{{mapped}}}}}"
    return MAPPING.format(suffix=suffix, columns=columns, table=table)


def medians(works: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median seconds of each work; the works take turns, after one run each that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if run:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def refuse_other_than(rows: int, loaded: int) -> None:
    """A load that is quick because it left something out counts for nothing."""
    if loaded != rows:
        raise SystemExit(f"{loaded:,} rows were loaded of {rows:,}")


def loading(folder: Path, *, rows: int, runs: int) -> Iterator[Row]:
    """Rows a second from CSV and Parquet, into an empty warehouse, against COPY and against reading the bytes."""
    from warehouse.ingest import ingest
    from warehouse.sources import read_mapping
    from warehouse.store import Warehouse
    from warehouse.views import literal, open_connection

    for suffix in ("csv", "parquet"):
        source = folder / suffix
        write_source(source, suffix, rows=rows)
        target, files = folder / f"{suffix}-warehouse", literal(str(source / f"activities*.{suffix}"))

        def load(source: Path = source, target: Path = target) -> None:
            shutil.rmtree(target, ignore_errors=True)
            report = ingest(read_mapping(source / "mapping.yaml"), source, Warehouse(target))
            refuse_other_than(rows, report["activities"].loaded)

        def copy(suffix: str = suffix, files: str = files) -> None:
            with open_connection() as connection:
                connection.execute(
                    f"COPY (SELECT * FROM read_{suffix}({files})) TO '{folder}/copy.parquet' (FORMAT parquet)"
                )

        def read(source: Path = source, suffix: str = suffix) -> None:
            for path in sorted(source.glob(f"activities*.{suffix}")):
                path.read_bytes()

        times = medians({"load": load, "copy": copy, "read": read}, runs)
        ratio = times["copy"] / times["load"]
        figures = [f"{rows / times[name]:,.0f}/s" for name in ("copy", "read", "load")]
        yield Row(
            f"load {suffix}, {rows:,} rows",
            *figures,
            ratio,
            f">= {LEAST_SHARE_OF_COPY:.2f}",
            ratio >= LEAST_SHARE_OF_COPY,
        )
        if suffix == "csv":
            again = medians(
                {
                    "again": lambda source=source, target=target: ingest(
                        read_mapping(source / "mapping.yaml"), source, Warehouse(target)
                    )
                },
                runs,
            )
            yield Row(
                "the same file again",
                figures[0],
                figures[1],
                f"{rows / again['again']:,.0f}/s",
                times["copy"] / again["again"],
                ">= 1.00",
                again["again"] <= times["copy"],
            )


def reading(folder: Path, *, rows: int, runs: int) -> Iterator[Row]:
    """Reading as of a moment against scanning the same rows: events, and things with five versions each."""
    import dataclasses

    import ibis

    from warehouse.as_known import newest_versions
    from warehouse.contracts import ACTIVITIES
    from warehouse.store import Warehouse
    from warehouse.views import open_connection

    kinds = {"events": (ACTIVITIES, None), "versions": (dataclasses.replace(ACTIVITIES, kind="versioned"), rows // 5)}
    for name, (contract, things) in kinds.items():
        root = folder / f"read-{name}"
        with open_connection() as connection:
            stream = connection.sql(activities_sql(0, rows, things=things)).to_arrow_reader(100_000)
            Warehouse(root).append("activities", stream, origin="benchmark")

        def scan(root: Path = root) -> None:
            with Warehouse(root).duckdb() as connection:
                connection.sql("SELECT * FROM activities").to_arrow_table()

        def as_of(root: Path = root, contract: object = contract) -> None:
            with Warehouse(root).duckdb() as connection:
                known = newest_versions(Warehouse(root).ibis()["activities"], contract, FAR_FUTURE)
                connection.sql(str(ibis.to_sql(known, dialect="duckdb"))).to_arrow_table()

        times = medians({"scan": scan, "as_of": as_of}, runs)
        ratio = times["as_of"] / times["scan"]
        yield Row(
            f"read as of, {rows:,} {name}",
            f"{times['scan']:.2f} s",
            f"{times['scan']:.2f} s",
            f"{times['as_of']:.2f} s",
            ratio,
            f"<= {MOST_SCANS:.2f}",
            ratio <= MOST_SCANS,
        )


def memory_and_size(folder: Path, *, rows: int) -> Iterator[Row]:
    """Peak memory of a process that loads many rows, and the tables' size against one plain Parquet file."""
    source, target = folder / "large", folder / "large-warehouse"
    write_source(source, "parquet", rows=rows)
    began = time.perf_counter()
    loader = subprocess.run([sys.executable, "-c", LOADER, source, target], capture_output=True, text=True, check=True)
    lasted = time.perf_counter() - began
    loaded, peak_kb = (int(word) for word in loader.stdout.split())
    refuse_other_than(rows, loaded)
    peak = peak_kb / 2**20
    yield Row(
        f"memory, {rows:,} rows",
        "–",
        "–",
        f"{peak:.2f} GB, {rows / lasted:,.0f}/s",
        peak / MOST_MEMORY_GB,
        f"< {MOST_MEMORY_GB:.0f} GB",
        peak < MOST_MEMORY_GB,
    )
    plain = sum(path.stat().st_size for path in source.glob("*.parquet"))
    ours = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    yield Row(
        "size against plain Parquet (zstd)",
        f"{plain / 2**20:,.0f} MB",
        "–",
        f"{ours / 2**20:,.0f} MB",
        ours / plain,
        f"<= {MOST_SIZE:.2f}",
        ours <= MOST_SIZE * plain,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the timed works")
    parser.add_argument("--large", type=int, default=50_000_000, help="rows of the memory test")
    parser.add_argument(
        "--quick", action="store_true", help="200,000 rows, 3 runs, a million rows to read and for memory"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    options = parser.parse_args()
    rows, large, runs = (200_000, 1_000_000, 3) if options.quick else (options.rows, options.large, RUNS)
    measured: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="salience-warehouse-") as name:
        folder = Path(name)
        measured += loading(folder, rows=rows, runs=runs)
        measured += reading(folder, rows=max(rows, 1_000_000), runs=runs)
        measured += memory_and_size(folder, rows=large)
    print(f"{'work':<36}{'peer':>14}{'limit':>16}{'ours':>22}{'ratio':>8}  bar")
    for row in measured:
        mark = "" if row.passed else "  MISSED"
        print(f"{row.work:<36}{row.peer:>14}{row.limit:>16}{row.ours:>22}{row.ratio:>8.2f}  {row.bar}{mark}")
    missed = sum(not row.passed for row in measured)
    print(f"{'PASS' if not missed else 'FAIL'}: {len(measured) - missed} of {len(measured)} bars held")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    # This file's folder is first on the path, and the file is named like the package it measures.
    sys.path.pop(0)
    from common.telemetry import disable_telemetry

    disable_telemetry()
    sys.exit(main())
