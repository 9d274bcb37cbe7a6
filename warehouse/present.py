"""What 'now' means in a workspace."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from common.clock import utc
from common.settings import Settings


class Dated(Protocol):
    """The part of `Warehouse` that tells its time."""

    def cut(self) -> datetime:
        """Newest moment at which something became known."""
        ...


def present(settings: Settings, warehouse: Dated) -> datetime:
    """Now, UTC: the moment the settings fix, else the data's own cut or the wall clock, as `settings.clock` says.

    A history that ends in 2018 is asked, trained on and served as in 2018; a live warehouse as of today.

    Raises:
        InputError: if `settings.as_of` has no time zone.
        NotFoundError: if the data's cut is wanted and the warehouse holds no rows.
    """
    if settings.as_of is not None:
        return utc(settings.as_of)
    return utc(warehouse.cut()) if settings.clock == "data" else datetime.now(UTC)


def known_until(settings: Settings, warehouse: Dated) -> datetime:
    """The moment up to which outcomes are known, UTC: now, but never later than the data's own cut.

    What happened after the last load is unknown, not absent, so training never reads past it.

    Raises:
        InputError: if `settings.as_of` has no time zone.
        NotFoundError: if the warehouse holds no rows.
    """
    return min(present(settings, warehouse), utc(warehouse.cut()))
