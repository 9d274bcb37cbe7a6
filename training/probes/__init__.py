"""Leak probes: fields that know the future, found before a model is believed.

Every probe holds a stated null and a level. The null is bounded by meaning, not "no ability at all", which every useful
field would break: an honest field may rank the outcomes up to `LIKELY_AUC`, no single value of it moves the odds more
than `ODDS_LIMIT`-fold, its presence neither, and it is filled at a rate that does not jump between nearly all and
nearly none. A finding means that an interval at `LEVEL` per probe and frame, divided by the fields and values looked
at, lies wholly beyond that bound. benchmarks/probes.py measures the
false alarms.
"""

from training.probes.acceptance import Acceptance, accept_leak, accepted_leaks
from training.probes.findings import (
    CERTAIN_AUC,
    LEVEL,
    LIKELY_AUC,
    ODDS_LIMIT,
    OVER_MODEL,
    Finding,
    ProbeReport,
    stop_on_leak,
)
from training.probes.frame_probes import probe_frame
from training.probes.matrix_probes import probe, single_auc

__all__ = [
    "CERTAIN_AUC",
    "LEVEL",
    "LIKELY_AUC",
    "ODDS_LIMIT",
    "OVER_MODEL",
    "Acceptance",
    "Finding",
    "ProbeReport",
    "accept_leak",
    "accepted_leaks",
    "probe",
    "probe_frame",
    "single_auc",
    "stop_on_leak",
]
