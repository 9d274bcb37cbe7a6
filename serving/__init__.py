"""BentoML services for lead, deal and forecast."""
