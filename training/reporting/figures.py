"""The report's own figures as flat numbers, for the run in MLflow."""

from __future__ import annotations

from training.capacity import CHANCE
from training.reporting.contents import ReportContents
from training.results import Metric, flatten


def report_metrics(contents: ReportContents) -> dict[str, float]:
    """Value at the team's capacity, Brier terms, paired differences, the replay: by name, with interval ends."""
    capacity = contents.capacity
    table = min(capacity.tables, key=lambda each: abs(each.share - capacity.team_share))
    figures = {
        "capacity_share": Metric(capacity.team_share),
        "capacity_found": table.by_order["model"].caught,
        "capacity_precision": table.by_order["model"].precision,
        "capacity_value": table.by_order["model"].value,
        "expected_gap": contents.gap,
        "brier_reliability": Metric(contents.brier.reliability_corrected),
        "brier_resolution": Metric(contents.brier.resolution_corrected),
        "brier_uncertainty": Metric(contents.brier.uncertainty_corrected),
        "segments_served_worse": Metric(float(len({(n.note.kind, n.note.segment) for n in contents.notes}))),
    }
    figures |= {f"capacity_ahead_of_{name}": ahead for name, ahead in table.ahead.items()}
    figures |= {f"log_loss_less_{each.name}": each.log_loss for each in contents.against}
    if contents.replay is not None:
        figures |= {f"replay_found_{name}": found for name, found in contents.replay.totals.items() if name != CHANCE}
        figures |= {f"replay_ahead_of_{name}": ahead for name, ahead in contents.replay.ahead.items()}
    return flatten(figures)
