"""Names of a forecast's columns, and the quantiles that it tells; nothing here needs pandas."""

from __future__ import annotations

COMPONENTS = ("closed", "open", "new", "renewal")
QUANTILES = {"lower_95": 0.025, "lower_80": 0.1, "median": 0.5, "upper_80": 0.9, "upper_95": 0.975}
STAGE_PREFIX = "open:"
"""Columns `open:<stage>` split the component `open` by the deals' stage."""
SLIPPING = ("slipping_in", "slipping_out")
"""Of `open`: expected in the period though the entered close date is not in it; and, not in `open`, expected later
though the entered close date is in the period."""
KEYS = ("level", "entity_id", "period")
