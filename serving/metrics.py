"""What the services count beside BentoML's own metrics; `GET /metrics` shows both.

BentoML counts what reaches its application. The boundary answers the hottest path and every refusal before that, so it
counts all requests itself, by path template: ids never become labels.
"""

from __future__ import annotations

from typing import Any

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ServiceMetrics:
    """Counters of one process. BentoML adds up those of several workers.

    prometheus_client is imported here and not before: it reads BentoML's folder when it is.
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        # A registry of our own, so that nothing clashes in tests; with workers, exposition reads their shared files.
        registry = CollectorRegistry()
        self._requests = Counter("salience_requests", "Requests answered.", ("endpoint", "status"), registry=registry)
        self._seconds = Histogram(
            "salience_request_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "salience_refused", "Requests turned away before any work.", ("why",), registry=registry
        )
        self._state = {
            name: Gauge(f"salience_{name}", about, registry=registry, multiprocess_mode="livesum")
            for name, about in _STATE.items()
        }
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}
        self.registry = registry

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """One answered request."""
        known = self._known.get((endpoint, status))
        if known is None:
            known = self._requests.labels(endpoint, str(status)), self._seconds.labels(endpoint)
            self._known[endpoint, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def refuse(self, why: str) -> None:
        """One request turned away."""
        self._refused.labels(why).inc()

    def tell(self, **values: float) -> None:
        """Set gauges by their names in `_STATE`."""
        for name, value in values.items():
            self._state[name].set(value)


_STATE = {
    "log_waiting": "Predictions in memory because the log cannot be written.",
    "log_lost": "Predictions that were given up because too many waited.",
    "log_written": "Predictions written to the log.",
    "cache_hits": "Scores answered again because nothing had changed.",
    "ahead_hits": "Scores answered that were made before anybody asked.",
    "cache_misses": "Scores computed.",
    "model_swaps": "Times that another version of a model was taken up.",
}
