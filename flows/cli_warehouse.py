"""The warehouse's commands: simulate, load, check, ask, and the rights of a person."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

SourceOption = Annotated[
    str | None, typer.Option("--source", help="Source, which names the workspace; default: SALIENCE_WORKSPACE.")
]
MappingOption = Annotated[Path | None, typer.Option("--mapping", help="A mapping file of your own.")]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the source's files.")]
_DEFAULT_YEARS, _DEFAULT_SEED = 3, 7

app = typer.Typer(rich_markup_mode=None)
mapping_app = typer.Typer(help="Write and try the mapping of your own files.", no_args_is_help=True)
quarantine_app = typer.Typer(help="Rows that broke a contract, and their way back.", no_args_is_help=True)
app.add_typer(mapping_app, name="mapping")
app.add_typer(quarantine_app, name="quarantine")


@app.command()
def simulate(
    size: Annotated[str, typer.Option(help="small, medium or large: 1 million leads and 50 million events a year.")] = (
        "small"
    ),
    years: Annotated[int, typer.Option(min=1, help="Years of history.")] = _DEFAULT_YEARS,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same files.")] = _DEFAULT_SEED,
    scenario: Annotated[str, typer.Option(help="steady, recession, new-product or process-change.")] = "steady",
    leads: Annotated[int | None, typer.Option(min=1, help="Leads over all years, instead of the size's.")] = None,
    deals: Annotated[int | None, typer.Option(min=1, help="Deals over all years, instead of the size's.")] = None,
    reps: Annotated[int | None, typer.Option(min=1, help="Reps, instead of the size's.")] = None,
    events_per_lead: Annotated[
        float | None, typer.Option(min=1, help="Events per lead, instead of the size's.")
    ] = None,
) -> None:
    """Make up a CRM's history with known truths, as files to ingest."""
    numbers = {"leads": leads, "deals": deals, "reps": reps, "events_per_lead": events_per_lead}
    from flows.orchestration import local_orchestration
    from flows.simulate_crm import check_world, simulate_crm

    check_world(size=size, years=years, seed=seed, scenario=scenario, **numbers)
    with local_orchestration():
        record = _with_bar(
            "Simulate a CRM",
            lambda: simulate_crm(size=size, years=years, seed=seed, scenario=scenario, **numbers),
        )
    from flows.screen import print_record

    print_record(record)


@app.command()
def ingest(
    source: Annotated[str, typer.Option(help="A shipped source, or csv with a mapping of your own.")],
    data: DataOption,
    mapping: MappingOption = None,
) -> None:
    """Load a source's files into its warehouse; the same files again change nothing, new ones load only what is new."""
    name = check_files(source, data, mapping)
    from flows.ingest_source import ingest_source
    from flows.orchestration import local_orchestration

    with local_orchestration():
        record = _with_bar("Load the warehouse", lambda: ingest_source(source=name, data=data, mapping=mapping))
    from flows.display import make_console
    from flows.warehouse_screen import print_ingest

    print_ingest(make_console(), record)


@mapping_app.command("suggest")
def mapping_suggest(
    file: Annotated[Path, typer.Argument(help="A file of yours, or a folder of them.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the mapping; default: the screen.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the source.")] = None,
    table: Annotated[
        str | None, typer.Option(help="Canonical table the rows belong to, if the guess is wrong.")
    ] = None,
) -> None:
    """Look at your own file and write a commented mapping to start from."""
    from common.whole_files import write_whole
    from warehouse.suggest import suggest_mapping

    text = suggest_mapping(file, name=name, table=table)
    if out is None:
        typer.echo(text)
        return
    write_whole(out, text)
    folder = file if file.is_dir() else file.parent
    typer.echo(f"{out} is written. Next: salience mapping check {out} --data {folder}")


@mapping_app.command("check")
def mapping_check(
    mapping: Annotated[Path, typer.Argument(help="The mapping file.")],
    data: DataOption,
) -> None:
    """Try a mapping without writing anything, and show the first rows as they would land."""
    from flows.display import make_console
    from flows.warehouse_screen import print_check
    from warehouse.mapping_check import check_mapping
    from warehouse.sources import read_mapping

    report = check_mapping(read_mapping(mapping), data)
    print_check(make_console(), report)
    if not report.is_usable:
        raise typer.Exit(1)


@app.command()
def quality(
    source: SourceOption = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Day or moment; default: now.")] = None,
) -> None:
    """Report how far the warehouse can be trusted, its trend, and what to do about each finding."""
    from flows.assess_quality import assess_quality_flow
    from flows.orchestration import local_orchestration

    moment = _moment(as_of)
    with local_orchestration():
        record = _with_bar("Assess the data", lambda: assess_quality_flow(source=source, as_of=moment))
    from flows.display import make_console
    from flows.warehouse_screen import print_quality

    print_quality(make_console(), record)


@quarantine_app.command("list")
def quarantine_list(source: SourceOption = None) -> None:
    """Count the rows in quarantine by table, origin and reason."""
    from flows.display import make_console
    from flows.parts import Platform
    from flows.warehouse_screen import print_quarantine

    print_quarantine(make_console(), Platform.open(source).warehouse.quarantine.counts())


@quarantine_app.command("show")
def quarantine_show(
    table: Annotated[str | None, typer.Argument(help="Canonical table; default: all.")] = None,
    source: SourceOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows to show.")] = 20,
    released: Annotated[bool, typer.Option(help="Show those that have gone in after all, too.")] = False,
) -> None:
    """Show rows in quarantine as they came, each with its reason."""
    from flows.display import make_console
    from flows.parts import Platform
    from flows.warehouse_screen import print_held
    from warehouse.views import contract_of

    if table is not None:
        contract_of(table)
    rows = Platform.open(source).warehouse.quarantine.rows(table, include_released=released)
    print_held(make_console(), rows.slice(0, limit), total=rows.num_rows)


@quarantine_app.command("retry")
def quarantine_retry(
    table: Annotated[str | None, typer.Argument(help="Canonical table; default: all.")] = None,
    source: SourceOption = None,
    mapping: MappingOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the source's files, to read them anew.")
    ] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only these rows.")] = None,
) -> None:
    """Send quarantined rows through the mended mapping again; what passes now goes into the warehouse.

    A row that could not be read is held as it came and needs nothing else. One that broke the contract is held in
    canonical columns: a mended mapping reaches it through the source's files, so give their folder.
    """
    from flows.display import make_console
    from flows.parts import Platform
    from flows.warehouse_screen import print_retry
    from warehouse.own_mapping import keep_mapping
    from warehouse.retry import retry_quarantine

    platform = Platform.open(source)
    if mapping is not None:
        keep_mapping(platform.workspace, mapping)
    if data is not None:
        from warehouse.ingest import ingest

        ingest(platform.source, data, platform.warehouse)
    report = retry_quarantine(platform.warehouse, platform.source, table=table, ids=ids or (), data=data)
    print_retry(make_console(), report, with_data=data is not None)


@app.command("as-of")
def as_of(
    day: Annotated[str, typer.Argument(help="Day (its end, UTC) or moment with an offset.")],
    table: Annotated[str, typer.Argument(help="Canonical table.")],
    where: Annotated[str | None, typer.Option(help="Condition on its columns, such as \"stage = 'Proposal'\".")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns to show, separated by commas.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most rows; default: 20 on the screen, all in a file.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this .csv or .parquet file instead.")] = None,
    source: SourceOption = None,
) -> None:
    """Show a table as it was known on a day: the newest version of each thing that had happened and was known."""
    from flows.display import make_console
    from flows.parts import Platform
    from flows.warehouse_screen import print_rows
    from warehouse.asking import ask_as_of, moment_of, save_as_of

    warehouse, moment = Platform.open(source).warehouse, moment_of(day)
    warehouse.cut()  # refuses an empty warehouse, which a mistyped source looks like
    names = [name.strip() for name in columns.split(",")] if columns else None
    if out is not None:
        written = save_as_of(warehouse, table, moment, out, where=where, columns=names, limit=limit)
        typer.echo(f"{written:,} rows of {table} as known at {moment.isoformat()}: {out}")
        return
    answer = ask_as_of(warehouse, table, moment, where=where, columns=names, limit=limit or 20)
    console = make_console()
    print_rows(console, answer.rows)
    console.print(f"{answer.rows.num_rows:,} of {answer.total:,} rows of {table} as known at {moment.isoformat()}")


@app.command()
def forget(
    contact: Annotated[str, typer.Option(help="The person's e-mail address.")],
    source: SourceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person everywhere for good, keep the aggregates, and write a proof."""
    from flows.display import make_console
    from flows.forget_person import forget_person
    from flows.warehouse_screen import print_forgotten

    if not yes:
        typer.confirm(f"Erase everything that says who {contact} is? It cannot be undone.", abort=True)
    print_forgotten(make_console(), _with_bar("Erase", lambda: forget_person(source, contact)))


@app.command("export-person")
def export_person_command(
    contact: Annotated[str, typer.Option(help="The person's e-mail address.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    source: SourceOption = None,
) -> None:
    """Write all that is held about a person to one JSON file."""
    import json

    from common.whole_files import write_whole
    from flows.parts import Platform
    from warehouse.forgetting import export_person

    held = export_person(Platform.open(source).warehouse, contact)
    document = {table: rows.to_pylist() for table, rows in held.items()}
    write_whole(out, json.dumps(document, indent=2, default=lambda value: value.isoformat(), ensure_ascii=False))
    counts = ", ".join(f"{rows.num_rows:,} of {table}" for table, rows in held.items())
    typer.echo(f"{out}: {counts}")


def check_files(source: str, data: Path | None, mapping: Path | None = None) -> str:
    """Refuse an unknown source or unusable folder at once, before a server is started; returns the source's name."""
    from common.errors import SourceError
    from common.settings import Settings
    from common.workspace import Workspace
    from warehouse.connectors import find_files
    from warehouse.own_mapping import keep_mapping, source_of
    from warehouse.sources import find_source, source_names

    if mapping is None and source not in source_names():
        own = Workspace.of(Settings(), source)
        found = source_of(own) if own.mapping.exists() else find_source(source)
    else:
        found = find_source(source, mapping=mapping)
    if mapping is not None:
        keep_mapping(Workspace.of(Settings(), found.name), mapping)
    if data is None:
        raise SourceError(
            f"Source '{source}' needs a folder of files",
            expected="a folder",
            got="none",
            next_step=f"make demo SOURCE={source} DATA=folder",
        )
    find_files(found.mapping, data)
    return found.name


def _moment(text: str | None) -> datetime | None:
    from warehouse.asking import moment_of

    return None if text is None else moment_of(text)


def _with_bar(title: str, work: Any) -> Any:
    """Run `work` under a bar that its progress moves."""
    from flows.display import make_console, step_bar

    with step_bar(make_console(), title):
        return work()
