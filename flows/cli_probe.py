"""The commands `salience probe …`: which fields seem to know the future, and accepting one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_warehouse import SourceOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.probes.source_probes import PlaceReport

app = typer.Typer(help="Look for fields that know the future.", no_args_is_help=True)


@app.callback()
def _probe() -> None:
    """Look for fields that know the future."""


@app.command()
def leaks(
    frame: Annotated[Path | None, typer.Option(help="A CSV, Excel or Parquet file with one row per thing.")] = None,
    label: Annotated[str | None, typer.Option(help="With --frame: the column that tells the outcome.")] = None,
    positive: Annotated[
        str | None, typer.Option(help="Its value that is the outcome; `filled`: any value. Default: told from yes/no.")
    ] = None,
    negative: Annotated[
        list[str] | None, typer.Option(help="Its values without the outcome; rows with neither are left out.")
    ] = None,
    identifier: Annotated[
        str | None, typer.Option("--id", help="With --frame: the column that names the rows.")
    ] = None,
    order: Annotated[
        str | None, typer.Option(help="With --frame: a column that rises with creation, such as a date or a number.")
    ] = None,
    source: SourceOption = None,
    out: Annotated[Path | None, typer.Option(help="Write all findings to this JSON file.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 5 where a leak is certain and not accepted.")] = False,
    accept: Annotated[
        str | None, typer.Option(help="Accept this field in the source's trainings, with --reason and --by.")
    ] = None,
    withdraw: Annotated[str | None, typer.Option(help="Take an earlier acceptance back, with --reason.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, in a sentence: when is the field written?")] = None,
    by: Annotated[str | None, typer.Option(help="Who says so; default: the user of this machine.")] = None,
) -> None:
    """Name each field that seems to know the future, with the evidence and what to do."""
    from flows.probe_screen import print_acceptance, print_places, save_places

    if accept is not None or withdraw is not None:
        print_acceptance(_accept(accept, withdraw, reason, by, source))
        return
    places = _probe_file(frame, label, positive, negative or (), identifier, order) if frame else _probe_source(source)
    accepted = {} if frame else _accepted(source)
    if out is not None:
        save_places(places, out)
    print_places(places, accepted)
    if check:
        from training.probes import stop_on_leak

        looked_at = [place for place in places if place.is_model_input]
        stop_on_leak([finding for place in looked_at for finding in place.report.findings], accepted=accepted)


def _probe_file(
    path: Path,
    label: str | None,
    positive: str | None,
    negatives: Sequence[str],
    identifier: str | None,
    order: str | None,
) -> tuple[PlaceReport, ...]:
    from common.errors import InputError
    from training.probes.frame_probes import probe_frame
    from training.probes.reading import column_of, label_of, read_frame
    from training.probes.source_probes import PlaceReport

    columns = read_frame(path)
    if label is None:
        raise InputError(
            "A file's outcome must be named", expected=f"--label COLUMN, one of {', '.join(columns)}", field="label"
        )
    outcome = label_of(column_of(columns, label, option="--label"), name=label, positive=positive, negatives=negatives)
    moments = None if order is None else column_of(columns, order, option="--order")
    if identifier is not None:
        column_of(columns, identifier, option="--id")
    candidates = {name: cells for name, cells in columns.items() if name != label}
    report = probe_frame(candidates, outcome, order=moments, order_name=order or "the file", identifier=identifier)
    return (PlaceReport(path.name, report, True),)


def _probe_source(source: str | None) -> tuple[PlaceReport, ...]:
    from flows.parts import Platform
    from training.probes.source_probes import probe_source
    from warehouse.present import known_until

    platform = Platform.open(source)
    cut = known_until(platform.settings, platform.warehouse)
    return probe_source(platform.source, platform.warehouse, platform.repository, cut=cut)


def _accepted(source: str | None) -> dict[str, str]:
    from flows.parts import Platform
    from training.probes import accepted_leaks

    return {name: f"{each.who}: {each.why}" for name, each in accepted_leaks(Platform.open(source).workspace).items()}


def _accept(
    accept: str | None, withdraw: str | None, reason: str | None, by: str | None, source: str | None
) -> dict[str, str]:
    import getpass

    from common.errors import InputError
    from flows.parts import Platform
    from training.probes import accept_leak

    if accept is not None and withdraw is not None:
        raise InputError("One field is accepted or another taken back, not both at once", field="accept")
    platform = Platform.open(source)
    feature = accept if accept is not None else withdraw
    recorded = accept_leak(
        platform.workspace,
        feature or "",
        who=by if by is not None else getpass.getuser(),
        why=reason or "",
        withdrawn=accept is None,
    )
    return {
        "field": recorded.feature,
        "what": "taken back" if recorded.withdrawn else "accepted",
        "who": recorded.who,
        "when": recorded.when,
        "why": recorded.why,
    }
