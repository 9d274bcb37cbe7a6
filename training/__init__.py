"""Labels, splits, probes, tuning, calibration, evaluation, registry, gate; the lead, deal and forecast models."""
