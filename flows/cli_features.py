"""The features' commands: build, put online, stream, look at, compare, explain, verify, catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_warehouse import SourceOption

app = typer.Typer(help="Build features, put them online, and look into them.", no_args_is_help=True)

KindArgument = Annotated[str, typer.Argument(help="lead or deal.")]
LeadOption = Annotated[str | None, typer.Option("--lead", help="Id of a lead.")]
DealOption = Annotated[str | None, typer.Option("--deal", help="Id of a deal.")]
IdOption = Annotated[str | None, typer.Option("--id", help="Key of a view of reps, segments or others.")]
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="Day or moment; default: now.")]


@app.command("build")
def build(source: SourceOption = None) -> None:
    """Register the feature views in Feast and compute the history that training needs, only what is missing."""
    from flows.build_features import build_features
    from flows.orchestration import local_orchestration

    with local_orchestration():
        _show(build_features(source=source))


@app.command("materialize")
def materialize(source: SourceOption = None) -> None:
    """Put the newest features of everything open into the online store."""
    from flows.build_features import materialize_features
    from flows.orchestration import local_orchestration

    with local_orchestration():
        _show(materialize_features(source=source))


@app.command("stream")
def stream(
    source: SourceOption = None,
    once: Annotated[bool, typer.Option("--once", help="Work on what waits, then end.")] = False,
) -> None:
    """Turn pushed events and files in the inbox into fresh online features, until Ctrl-C."""
    import signal
    import threading

    from features.stream_inbox import inbox_folder
    from features.streaming import StreamUpdater
    from flows.parts import Platform

    platform = Platform.open(source)
    worker = StreamUpdater(platform.repository, platform.settings)
    if once:
        typer.echo(f"{worker.drain():,} events are in the warehouse and in the online features.")
        return
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    inbox_folder(platform.workspace).mkdir(parents=True, exist_ok=True)
    typer.echo(f"Waiting for events; files go to {inbox_folder(platform.workspace)} (Ctrl-C ends it)")
    worker.run(stop, say=lambda text: typer.echo(text, err=True))
    typer.echo(f"{worker.figures.events:,} events done, {worker.figures.quarantined:,} of them in quarantine.")


@app.command("verify")
def verify(
    source: SourceOption = None,
    rows: Annotated[int, typer.Option(min=1, help="Random (entity, moment) per service.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 7,
) -> None:
    """Compute every feature by training, batch, stream and online path, and print where they differ."""
    from common.errors import NotFoundError
    from features.catalogue import SERVICES, views_of
    from features.verifying import verify as compare_paths
    from flows.display import make_console, report_progress, step_bar
    from flows.feature_screen import print_verified
    from flows.parts import Platform

    platform = Platform.open(source)
    console = make_console()
    is_equal = True
    for service in SERVICES:
        try:
            views_of(service, platform.warehouse.tables())
        except NotFoundError:
            continue  # the source has nothing for this service
        with step_bar(console, f"Verify {service}"):
            report = compare_paths(
                platform.repository,
                platform.warehouse,
                service=service,
                rows=rows,
                seed=seed,
                progress=report_progress,
            )
        print_verified(console, report)
        is_equal = is_equal and report.is_equal
    if not is_equal:
        raise typer.Exit(1)


@app.command("explain")
def explain(
    feature: Annotated[str, typer.Argument(help="Name of a feature.")],
    lead: LeadOption = None,
    deal: DealOption = None,
    identifier: IdOption = None,
    as_of: AsOfOption = None,
    source: SourceOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows per table.")] = 20,
) -> None:
    """Show the very rows of the warehouse that a feature was computed from."""
    from features.explaining import explain_feature
    from flows.display import make_console
    from flows.feature_screen import print_explanation
    from flows.parts import Platform

    platform = Platform.open(source)
    found = explain_feature(platform.warehouse, feature, _key(lead, deal, identifier), _moment(as_of, platform))
    print_explanation(make_console(), found, limit=limit)


@app.command("get")
def get(
    kind: KindArgument,
    identifier: Annotated[str, typer.Argument(help="Its id.")],
    as_of: AsOfOption = None,
    source: SourceOption = None,
) -> None:
    """Show the features of a lead or deal: from the online store now, computed for a moment of the past."""
    from flows.display import make_console
    from flows.feature_screen import print_online, print_past
    from flows.parts import Platform

    platform, service = Platform.open(source), _service(kind)
    if as_of is None:
        answer = platform.repository.online(service, [identifier], at=platform.now())
        print_online(make_console(), answer, platform.warehouse, service, now=platform.now())
        return
    from features.comparing import features_at

    at = _moment(as_of, platform)
    print_past(make_console(), features_at(platform.warehouse, service, [identifier], at), platform.warehouse, service)


@app.command("diff")
def diff(
    begin: Annotated[str, typer.Option("--from", help="Day or moment.")],
    end: Annotated[str | None, typer.Option("--to", help="Day or moment; default: now.")] = None,
    lead: LeadOption = None,
    deal: DealOption = None,
    kind: Annotated[str, typer.Option("--kind", help="lead or deal: whose features, without an id.")] = "lead",
    source: SourceOption = None,
) -> None:
    """Show what changed about one lead or deal, or which features moved most over all open ones."""
    from features.comparing import compare_entity, compare_open
    from flows.display import make_console
    from flows.feature_screen import print_changes, print_movements
    from flows.parts import Platform

    platform = Platform.open(source)
    before, after = _moment(begin, platform), _moment(end, platform)
    if lead is None and deal is None:
        moved = compare_open(platform.warehouse, _service(kind), before=before, after=after)
        print_movements(make_console(), moved, before=before, after=after)
        return
    service, key = _service("lead" if lead is not None else "deal"), _key(lead, deal, None)
    changes = compare_entity(platform.warehouse, service, key, before=before, after=after)
    print_changes(make_console(), changes, key=key, before=before, after=after)


@app.command("training-frame")
def training_frame(
    kind: KindArgument,
    to: Annotated[Path, typer.Option("--to", help="A .parquet or .csv file.")],
    source: SourceOption = None,
) -> None:
    """Write the features of the whole history that training sees, one row per thing and moment, to a file."""
    from common.errors import InputError
    from flows.feature_screen import save_frame
    from flows.parts import Platform

    if to.suffix not in (".parquet", ".csv"):
        raise InputError(f"'{to}' is neither .parquet nor .csv", expected="one of these two", field="to")
    platform, service = Platform.open(source), _service(kind)
    spine = _history(platform, kind)
    platform.repository.apply()
    platform.repository.build(service, spine)
    frame = platform.repository.training_frame(service, spine)
    save_frame(frame, to)
    typer.echo(f"{frame.num_rows:,} rows with {frame.num_columns} columns are in {to}")


@app.command("catalogue")
def catalogue(
    source: SourceOption = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the page; default: the workspace's reports.")] = None,
) -> None:
    """Write a page with every feature: meaning, unit, window, sources, null share, distribution, who uses it."""
    from common.whole_files import write_whole
    from features.catalogue_page import catalogue_html, measure
    from flows.parts import Platform

    platform = Platform.open(source)
    page = catalogue_html(measure(platform.warehouse, platform.now()), name=platform.workspace.name, at=platform.now())
    path = write_whole(out or platform.workspace.reports / "feature_catalogue.html", page)
    typer.echo(f"{path} is written.")


def _history(platform: Any, kind: str) -> Any:
    from common.errors import NotFoundError
    from features.spines import deal_history_spine, lead_history_spine

    protocol = platform.source.lead if kind == "lead" else platform.source.deal
    if protocol is None:
        raise NotFoundError(f"The source {platform.source.name} has no {kind} model")
    history = lead_history_spine if kind == "lead" else deal_history_spine
    return history(platform.warehouse, mode=protocol.spine, until=platform.now())


def _service(kind: str) -> str:
    from common.errors import InputError

    services = {"lead": "lead_score_v1", "deal": "deal_win_v1"}
    if kind not in services:
        raise InputError(f"There are no features of a '{kind}'", expected=" or ".join(services), field="kind")
    return services[kind]


def _key(*given: str | None) -> str:
    from common.errors import InputError

    named = [key for key in given if key is not None]
    if len(named) != 1:
        raise InputError("Name one thing", expected="--lead ID, --deal ID or --id KEY", got=f"{len(named)} of them")
    return named[0]


def _moment(text: str | None, platform: Any) -> Any:
    from warehouse.asking import moment_of

    return platform.now() if text is None else moment_of(text)


def _show(record: dict[str, Any]) -> None:
    from flows.screen import print_record

    print_record(record)
