"""The CRM's history: canonical tables, their contracts, connectors and mappings, the simulator."""
