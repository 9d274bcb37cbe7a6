"""Drift against a reference, thresholds fitted to the batch size, reports and recorded decisions."""
