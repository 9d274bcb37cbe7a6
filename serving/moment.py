"""The service's now: a fixed moment, the newest moment the warehouse knows, or the clock on the wall."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from common.clock import utc
from common.settings import Settings


class DatedStore(Protocol):
    """The part of `Warehouse` that tells its time."""

    def versions(self) -> dict[str, int]:
        """Version of each table."""
        ...

    def cut(self) -> datetime:
        """Newest moment at which something became known."""
        ...


class Moment:
    """Tells now.

    Features are read, and their age is measured, at this moment. With the clock `data` a history that ends in 2025 is
    answered as in 2025: its features are as fresh as they were then, and the answer says so in `as_of`. The time at
    which an answer was made, `scored_at`, is always the wall's.

    Args:
        settings: `as_of` and `clock` choose.
        warehouse: Asked for its cut, and again whenever a table has changed.
        stream_now: How far events that are online already put a history's clock forward; None if they do not.
    """

    def __init__(
        self,
        settings: Settings,
        warehouse: DatedStore,
        *,
        stream_now: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._fixed = utc(settings.as_of) if settings.as_of is not None else None
        self._follows_data = self._fixed is None and settings.clock == "data"
        self._warehouse = warehouse
        self._stream_now = stream_now
        self._versions: dict[str, int] = {}
        self._cut: datetime | None = None

    def refresh(self) -> None:
        """Read the warehouse's cut if a table has changed.

        Raises:
            NotFoundError: if the warehouse holds no rows.
        """
        if not self._follows_data:
            return
        versions = self._warehouse.versions()
        if self._cut is None or versions != self._versions:
            self._cut = utc(self._warehouse.cut())
            self._versions = versions

    def now(self) -> datetime:
        """The service's now, UTC; the wall's while the warehouse's cut is not known."""
        if self._fixed is not None or not self._follows_data:
            return self._fixed or datetime.now(UTC)
        told = self._stream_now()
        return max(filter(None, (self._cut, told)), default=None) or datetime.now(UTC)

    def now_with(self, newest: datetime | None) -> datetime:
        """Now for a payload: a history's clock is put forward to the newest time sent, never past the wall's."""
        now = self.now()
        if newest is None or not self._follows_data:
            return now
        return max(now, min(utc(newest), datetime.now(UTC)))
