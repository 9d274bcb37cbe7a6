"""What every folder may import: settings, errors, time, logging, workspaces, telemetry."""
