"""The guard at the door: who asks, whether too often, and whether the service has room."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import SalienceError, UnavailableError
from serving.access import LOCAL, Caller, Right, Territories, UnauthenticatedError
from serving.keys import KeyFile
from serving.tokens import TokenReader

if TYPE_CHECKING:
    from common.settings import Settings

_OPEN = frozenset({"/livez", "/readyz", "/healthz", "/ready", "/", "/openapi.json", "/static_content", "/{other}"})
"""What needs no key: probes, the documentation, and being told that a path is not there."""
_MOST_CLIENTS = 10_000
_BEAT_SECONDS = 0.1
_MOST_LAG_SECONDS = 1.0
_FAILURES_PER_MINUTE = 60
_MOST_HELD_BYTES = 64 * 2**20

logger = logging.getLogger(__name__)


class TooManyRequestsError(SalienceError):
    """A client asks more than it may."""

    http_status = 429
    title = "Too many requests"


class OverloadError(UnavailableError):
    """The service has no room for another request."""

    title = "Overloaded"


class Buckets:
    """Requests that each client may still make: a token bucket each, one minute deep.

    Args:
        per_minute: Requests a minute; 0: any number.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> bool:
        """Take one; False where none is left."""
        if not self.per_minute:
            return True
        now = time.monotonic()
        left, seen = self._left.pop(client, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - seen) * self.per_minute / 60.0)
        is_free = left >= 1.0
        self._left[client] = (left - 1.0 if is_free else left, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return is_free


class Guard:
    """Admits requests.

    Args:
        settings: Access, limits and where the keys are.
        territories: Which territory each rep works in.
    """

    def __init__(self, settings: Settings, territories: Territories | None = None) -> None:
        access = settings.access
        self.is_open = access.mode == "local"
        self.keys = KeyFile(access.keys_file or keys_file(settings.home))
        self.tokens = TokenReader(access) if access.issuer else None
        self.territories = territories or Territories()
        self.max_waiting = settings.serving.max_waiting
        self.waiting = 0
        self._held = 0
        self._clients = Buckets(settings.serving.rate_per_minute)
        # Guessing keys is slowed down whatever the limit of good requests is.
        self._strangers = Buckets(_FAILURES_PER_MINUTE)
        self._beat_at: float | None = None
        self._lag = 0.0
        self._shed = 0.0

    def admit(self, label: str, headers: Mapping[bytes, bytes], *, client: str, right: Right | None) -> Caller | None:
        """Let a request in, or raise.

        Args:
            label: Path template of the request.
            headers: Its headers, names in lower case.
            client: Address it came from.
            right: What it needs; None for a path that nobody was given a right to.

        Returns:
            Who asks; None where nobody needs to be known.

        Raises:
            UnauthenticatedError: if who asks is not known.
            ForbiddenError: if the role may not do it.
            TooManyRequestsError: if the client asks too often.
        """
        if label in _OPEN:
            return None
        if self.is_open:
            caller = LOCAL
        else:
            caller = self._known(headers, client)
            if right is not None:
                caller.require(right)
        if not self._clients.take(client if self.is_open else caller.name):
            raise TooManyRequestsError(
                f"More than {self._clients.per_minute} requests a minute came from {caller.name}",
                next_step="wait a few seconds, or ask for many ids at once on the batch paths",
            )
        return caller

    def require_room(self) -> None:
        """Refuse at once what would only wait.

        Raises:
            OverloadError: if the event loop lags, for as many requests as it lags; or if too much waits already.
        """
        self._beat()
        if self._lag > _MOST_LAG_SECONDS:
            # The share that is turned away grows with the lag, so that the queue drains and never all are refused.
            self._shed += 1.0 - _MOST_LAG_SECONDS / self._lag
            if self._shed >= 1.0:
                self._shed -= 1.0
                raise OverloadError("More requests come than this worker answers", next_step="wait, or add workers")
        if self.waiting >= self.max_waiting:
            raise OverloadError(f"{self.waiting} requests wait already", next_step="wait, or add workers")

    def hold(self, count: int) -> None:
        """Count bytes of bodies that are still coming, or let go of them.

        Raises:
            OverloadError: if too many are held.
        """
        self._held += count
        if count > 0 and self._held > _MOST_HELD_BYTES:
            raise OverloadError("Too many large bodies come at once", next_step="wait, or send them one after another")

    def refresh(self) -> None:
        """Read again what may have changed; for the thread that follows."""
        if self.tokens is not None:
            self.tokens.refresh()

    def _known(self, headers: Mapping[bytes, bytes], client: str) -> Caller:
        given = headers.get(b"x-api-key")
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if given is not None:
            caller, why = self.keys.caller(given.decode("latin-1"), at=datetime.now(UTC))
        elif scheme.lower() == "bearer" and token.startswith("sal_"):
            caller, why = self.keys.caller(token, at=datetime.now(UTC))
        elif scheme.lower() == "bearer" and token and self.tokens is not None:
            caller, why = self.tokens.caller(token.strip())
        else:
            caller, why = None, "no key"
        if caller is not None:
            return caller
        logger.warning("refused %s: %s", client, why)
        if not self._strangers.take(client):
            raise TooManyRequestsError("Too many requests without a valid key", next_step="wait a minute")
        raise UnauthenticatedError(
            "A valid API key or token is needed",
            expected="the header X-API-Key, or Authorization: Bearer …",
            next_step="ask whoever runs this service for a key; it makes one with `salience keys add`",
        )

    def _beat(self) -> None:
        """Measure how late the event loop is; the first request starts it."""
        if self._beat_at is None:
            self._schedule(asyncio.get_running_loop())

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat_at = loop.time() + _BEAT_SECONDS
        loop.call_at(self._beat_at, self._beaten, loop)

    def _beaten(self, loop: asyncio.AbstractEventLoop) -> None:
        self._lag = max(0.0, loop.time() - (self._beat_at or 0.0))
        self._schedule(loop)


def keys_file(home: Path) -> Path:
    """Where keys are kept unless the settings say otherwise."""
    return home / "api-keys.json"
