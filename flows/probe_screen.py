"""What `salience probe leaks` prints: per place and field the verdict, the evidence and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from flows.display import make_console

if TYPE_CHECKING:
    from training.probes import Finding
    from training.probes.source_probes import PlaceReport

_COLOURS = {"certain": "red", "likely": "yellow"}


def print_places(places: Sequence[PlaceReport], accepted: Mapping[str, str]) -> None:
    """Each place's verdict and findings, by field; notes below."""
    console = make_console()
    for place in places:
        _print_place(console, place, accepted)


def _print_place(console: Console, place: PlaceReport, accepted: Mapping[str, str]) -> None:
    report = place.report
    console.print(
        f"[bold]{escape(place.place)}[/]: {report.rows:,} rows, {report.outcomes:,} with the outcome, "
        f"{len(report.fields)} fields looked at; {verdict(place, accepted)}",
        soft_wrap=True,
    )
    for name, findings in by_field(report.findings).items():
        colour = _COLOURS[findings[0].severity]
        console.print(f"  [{colour}]{findings[0].severity:<8}[/] [bold]{escape(name)}[/]", soft_wrap=True)
        for finding in findings:
            console.print(f"           {escape(finding.evidence)}", soft_wrap=True)
        console.print(f"           {escape(_to_do(name, findings, place, accepted))}", style="dim", soft_wrap=True)
    for note in report.notes:
        console.print(f"  · {escape(note)}", style="dim", soft_wrap=True)
    console.print()


def by_field(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings per field, the fields with a certain one first."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.feature, []).append(finding)
    return grouped


def verdict(place: PlaceReport, accepted: Mapping[str, str]) -> str:
    """What a place's findings mean, in a few words."""
    grouped = by_field(place.report.findings)
    if not grouped:
        return "no field seems to know the future"
    certain = [name for name, findings in grouped.items() if findings[0].severity == "certain"]
    text = f"fields that know the outcome: {len(certain)} certainly, {len(grouped) - len(certain)} likely"
    if not place.is_model_input:
        return f"{text}; no model reads them from here"
    return f"{text}; a training stops" if set(certain) - set(accepted) else f"{text}; a training warns"


def _to_do(name: str, findings: Sequence[Finding], place: PlaceReport, accepted: Mapping[str, str]) -> str:
    if name in accepted:
        return f"accepted by {accepted[name]}"
    if name in place.guarded:
        return "Nothing to do: the mapping says `known: at_outcome`, and no feature reads it"
    # Of an export's field the last finding tells what closing did to it, and how to read it rightly.
    return f"Do: {(findings[0] if place.is_model_input else findings[-1]).advice}"


def save_places(places: Sequence[PlaceReport], path: Path) -> None:
    """All findings as JSON."""
    from common.whole_files import write_whole

    document = [
        {
            "place": place.place,
            "is_model_input": place.is_model_input,
            "rows": place.report.rows,
            "outcomes": place.report.outcomes,
            "fields": list(place.report.fields),
            "guarded": sorted(place.guarded),
            "findings": [asdict(finding) for finding in place.report.findings],
            "notes": list(place.report.notes),
        }
        for place in places
    ]
    write_whole(path, json.dumps(document, indent=2, ensure_ascii=False))


def print_acceptance(record: Mapping[str, str]) -> None:
    """What was recorded."""
    make_console().print(
        f"{escape(record['field'])} is {record['what']} by {escape(record['who'])}, {record['when']}: "
        f"{escape(record['why'])}",
        soft_wrap=True,
    )
