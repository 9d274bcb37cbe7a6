"""Revenue forecasts that add up over levels and periods: from deals (`pipeline`) or from series (`series`)."""
