"""What a simulated world is made from: its span, its size, its seed and its scenario; and the cells it is cut into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from common.clock import utc
from common.errors import InputError

Scenario = Literal["steady", "recession", "new-product", "process-change"]
Size = Literal["small", "medium", "large"]
LEAST_REPS = 8
"""One rep for each of the eight teams."""
CELL_LEADS, CELL_DEALS = 25_000, 8_000
"""Most leads and deals that are made at once; they bound the memory."""
CELL_IDS = 1_000_000
"""Distance between the numbers of two cells' first things."""


@dataclass(frozen=True, kw_only=True)
class _Volume:
    """Yearly numbers of a size; `small` is the demo's."""

    leads: float
    deals: float
    reps: int
    events_per_lead: float | None


_VOLUMES: dict[str, _Volume] = {
    "small": _Volume(leads=20_000 / 3, deals=2_000, reps=60, events_per_lead=None),
    "medium": _Volume(leads=200_000 / 3, deals=20_000, reps=240, events_per_lead=None),
    "large": _Volume(leads=1_000_000, deals=250_000, reps=1_000, events_per_lead=52),
}


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """Size and kind of a simulated world; the same configuration always gives the same bytes.

    Args:
        start: First moment of the history, UTC.
        years: Length in years, >= 1; the end is the data's cut, nothing later is written.
        seed: Seed of every draw.
        reps: Salespeople over the whole span, >= 8 (one for each team).
        leads: Leads over the whole span if demand does not fall, >= 1.
        deals: Deals over the whole span, >= 1, met within a few percent; never fewer than the leads that converted.
        events_per_lead: Rows of lead_events and activities together per lead, met within a few percent by the number
            of pages that are viewed in a session; None leaves the sessions as they come, about 15 rows per lead.
        scenario: What changes two thirds of the way through: nothing (`steady`), demand (`recession`), the product
            range (`new-product`) or the way of working (`process-change`). No row known before that moment differs
            from the steady world of the same seed, unless `events_per_lead` fits the sessions to the whole span.

    Raises:
        InputError: if a value is outside its range or `start` has no time zone.
    """

    start: datetime = datetime(2023, 1, 1, tzinfo=UTC)
    years: int = 3
    seed: int = 7
    reps: int = 60
    leads: int = 20_000
    deals: int = 6_000
    events_per_lead: float | None = None
    scenario: Scenario = "steady"

    def __post_init__(self) -> None:
        utc(self.start)
        for name, least in (("years", 1), ("seed", 0), ("reps", LEAST_REPS), ("leads", 1), ("deals", 1)):
            _at_least(name, getattr(self, name), least)
        if self.events_per_lead is not None:
            _at_least("events_per_lead", self.events_per_lead, 1)
        if self.scenario not in get_args(Scenario):
            raise InputError(
                f"There is no scenario '{self.scenario}'", expected=", ".join(get_args(Scenario)), field="scenario"
            )

    @classmethod
    def of_size(
        cls, size: Size, *, years: int = 3, seed: int = 7, scenario: Scenario = "steady", reps: int | None = None
    ) -> SimulationConfig:
        """A world of a named size.

        Args:
            size: `small` (the demo: 20 000 leads and 0.3 million events in three years), `medium` (ten times that) or
                `large` (a million leads and 50 million events every year).
            years: Length in years, >= 1; the numbers of leads and deals grow with it.
            seed: Seed of every draw.
            scenario: What changes two thirds of the way through.
            reps: Salespeople, if not the size's own number.

        Raises:
            InputError: if there is no such size, or a value is outside its range.
        """
        if size not in _VOLUMES:
            raise InputError(f"There is no size '{size}'", expected=", ".join(_VOLUMES), field="size")
        volume = _VOLUMES[size]
        return cls(
            years=years,
            seed=seed,
            scenario=scenario,
            reps=volume.reps if reps is None else reps,
            leads=max(1, round(volume.leads * years)),
            deals=max(1, round(volume.deals * years)),
            events_per_lead=volume.events_per_lead,
        )

    @property
    def end(self) -> datetime:
        """The cut: the moment after which nothing is known, UTC."""
        begin = utc(self.start)
        month_ends_early = begin.month == 2 and begin.day == 29
        return begin.replace(year=begin.year + self.years, day=28 if month_ends_early else begin.day)

    @property
    def change(self) -> datetime:
        """The moment from which the scenario's regime holds, two thirds of the way through, UTC."""
        begin = utc(self.start)
        return begin + (self.end - begin) * 2 / 3

    @property
    def random_key(self) -> tuple[int, ...]:
        """What the streams of the shared parts are keyed by."""
        return (self.seed,)

    def cells(self) -> tuple[Cell, ...]:
        """The world's cells, as even as possible; one for a small world."""
        count = max(-(-self.leads // CELL_LEADS), -(-self.deals // CELL_DEALS))
        return tuple(
            Cell(config=self, number=k, leads=_share(self.leads, k, count), deals=_share(self.deals, k, count))
            for k in range(count)
        )


def _at_least(name: str, value: float, least: int) -> None:
    if value < least:
        raise InputError(
            f"The simulation's '{name}' is too small", expected=f"at least {least}", got=str(value), field=name
        )


def _share(total: int, part: int, parts: int) -> int:
    return total * (part + 1) // parts - total * part // parts


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A block of leads with the deals and accounts that come of them.

    Cells share the organisation, the calendar, campaigns and products; each has random streams of its own, keyed by
    its number, so that it comes out the same whatever becomes of the others.

    Args:
        config: The world.
        number: Place among the cells, from 0.
        leads: Leads of the cell.
        deals: Deals of the cell.
    """

    config: SimulationConfig
    number: int
    leads: int
    deals: int

    @property
    def random_key(self) -> tuple[int, ...]:
        """What the cell's streams are keyed by."""
        return (self.config.seed, self.number)

    @property
    def first(self) -> int:
        """Number before that of the first lead, deal, account and contact."""
        return self.number * CELL_IDS
