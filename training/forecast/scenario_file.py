"""What-if scenarios as people write them: a small YAML file or a request body, every fault named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.errors import InputError, NotFoundError, shorten
from training.forecast.levers import LEAST, MOST, NAMES, Levers
from training.forecast.periods import parse_period

if TYPE_CHECKING:
    import pandas as pd

BUILT_IN = ("optimistic", "realistic", "pessimistic")
MOST_SCENARIOS = 12
Factor = Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False)]


class Turned(BaseModel):
    """Levers; 1 leaves a part as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    win_rate: Factor = Field(1.0, description="Factor on the chance that a deal is won.", examples=[1.1])
    cycle_length: Factor = Field(1.0, description="Factor on the time until a deal is won; 1.2 is 20 % later.")
    amount: Factor = Field(1.0, description="Factor on what a won deal brings.")
    new_business: Factor = Field(1.0, description="Factor on the number of deals created from now on.")
    headcount: Factor = Field(1.0, description="Factor on the number of people who create deals.")
    price: Factor = Field(1.0, description="Factor on the price of what is not signed yet.", examples=[1.05])
    price_elasticity: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = Field(
        0.0, description="By how many percent fewer deals are won for each percent of price; 0: buyers do not mind."
    )

    def levers(self) -> Levers:
        """The factors on the forecast's parts."""
        return Levers(
            win_rate=_clipped(self.win_rate * self.price**-self.price_elasticity),
            cycle_length=self.cycle_length,
            amount=_clipped(self.amount * self.price),
            new_business=self.new_business,
            headcount=self.headcount,
        )

    def alone(self) -> dict[str, Turned]:
        """Each lever that is turned, on its own; a price comes with its elasticity."""
        found = {name: Turned(**{name: getattr(self, name)}) for name in NAMES if getattr(self, name) != 1.0}
        if self.price != 1.0:
            found["price"] = Turned(price=self.price, price_elasticity=self.price_elasticity)
        return found


class Move(BaseModel):
    """A rep, or all reps of a territory, who report to another team."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rep: str | None = Field(None, description="Which rep.", examples=["R-003"])
    territory: str | None = Field(None, description="Or all reps of which territory.")
    to_team: str = Field(description="The team they join.")
    from_month: str | None = Field(None, description="First month in it; default: the month of the moment.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Move:
        if (self.rep is None) == (self.territory is None):
            raise ValueError("give either `rep` or `territory`")
        if self.from_month is not None and _n_months(self.from_month) != 1:
            raise ValueError(f"`from_month` is a month such as 2026-02, not '{self.from_month}'")
        return self

    @property
    def label(self) -> str:
        """The move in words."""
        who = f"rep {self.rep}" if self.rep is not None else f"territory {self.territory}"
        return f"{who} to {self.to_team}"


class Scenario(Turned):
    """A what-if: levers for everybody, further ones for a region or team, moves of people, another quota."""

    name: Annotated[str, Field(min_length=1, max_length=60, description="Its name.", examples=["two more people"])]
    about: Annotated[str, Field(max_length=500, description="What it stands for.")] = ""
    regions: dict[str, Turned] = Field(default_factory=dict, description="Further levers by region.")
    teams: dict[str, Turned] = Field(default_factory=dict, description="Further levers by team.")
    moves: list[Move] = Field(default_factory=list, description="Moves between teams.")
    quota: Factor = Field(1.0, description="Factor on the quotas that are to be reached.")

    @property
    def is_neutral(self) -> bool:
        """Whether nothing is changed."""
        return not self.moves and self.quota == 1.0 and self.all_levers().is_neutral

    def all_levers(self) -> Levers:
        """The factors on the forecast's parts, by region and team too."""
        own = self.levers()
        return Levers(
            **{name: getattr(own, name) for name in NAMES},
            by_region={name: turned.levers() for name, turned in self.regions.items()},
            by_team={name: turned.levers() for name, turned in self.teams.items()},
        )

    def parts(self) -> dict[str, Scenario]:
        """Each lever, place and move on its own, by what it is called; the quota is no lever on the business."""
        found = {
            f"{name} × {_factor(turned, name)}": Scenario(name=self.name, **turned.model_dump(exclude_unset=True))
            for name, turned in self.alone().items()
        }
        for kind, places in (("regions", self.regions), ("teams", self.teams)):
            for place, turned in places.items():
                for name, one in turned.alone().items():
                    label = f"{place}: {name} × {_factor(one, name)}"
                    found[label] = Scenario(name=self.name, **{kind: {place: one}})
        return found | {move.label: Scenario(name=self.name, moves=[move]) for move in self.moves}


def read_scenarios(path: Path) -> list[Scenario]:
    """The scenarios of a YAML file.

    Raises:
        InputError: if the file cannot be read, is no YAML, or not what scenarios must be; every fault is named.
    """
    import yaml

    example = "a file as examples in docs/forecast.md: `scenarios:` and a list of them, each with a `name`"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise InputError(f"The scenarios {path} cannot be read", got=str(error), next_step="give its path") from error
    except yaml.YAMLError as error:
        raise InputError(f"The scenarios {path} are no YAML", expected=example, got=str(error)) from error
    if not isinstance(values, Mapping) or set(values) != {"scenarios"} or not isinstance(values["scenarios"], list):
        raise InputError(f"The file {path} holds no scenarios", expected=example, got=_kind(values))
    return parse_scenarios(values["scenarios"], where=str(path))


def parse_scenarios(values: Sequence[Any], *, where: str) -> list[Scenario]:
    """Scenarios from plain values.

    Args:
        values: One mapping per scenario.
        where: What they come from, for errors.

    Raises:
        InputError: if one is not what it must be, a name comes twice, or there are none or too many.
    """
    found, faults = [], []
    for number, value in enumerate(values):
        try:
            found.append(Scenario.model_validate(value))
        except ValidationError as error:
            for item in error.errors():
                place = ".".join(map(str, (number, *item["loc"])))
                faults.append(f"scenarios.{place}: {item['msg'].removeprefix('Value error, ')}")
    names = [scenario.name for scenario in found]
    faults += [f"the name '{name}' comes twice" for name in sorted({n for n in names if names.count(n) > 1})]
    faults += [f"the name '{name}' is that of a built-in scenario" for name in names if name in BUILT_IN]
    if not faults and not 1 <= len(values) <= MOST_SCENARIOS:
        faults.append(f"{len(values)} scenarios; from 1 to {MOST_SCENARIOS} can be compared")
    if faults:
        raise InputError(
            f"{where}: the scenarios are not valid",
            expected=f"levers among {', '.join(Turned.model_fields)}, `regions`, `teams`, `moves`, `quota`",
            got="; ".join(faults),
            field="scenarios",
        )
    return found


def require_known(scenarios: Sequence[Scenario], reps: pd.DataFrame) -> None:
    """Check that every region, team, rep and territory is one of the forecast's.

    Args:
        scenarios: The scenarios.
        reps: `rep_id`, `region`, `team`, and `territory_id` where territories are known.

    Raises:
        NotFoundError: if one is not; it names known ones.
    """
    columns = {"region": "region", "team": "team", "rep": "rep_id", "territory": "territory_id"}
    for scenario in scenarios:
        named = [("region", name) for name in scenario.regions] + [("team", name) for name in scenario.teams]
        for move in scenario.moves:
            named += [("team", move.to_team)]
            named += [("rep", move.rep)] if move.rep is not None else [("territory", str(move.territory))]
        for kind, name in named:
            column = columns[kind]
            known = sorted(set(reps[column].dropna())) if column in reps else []
            if name not in known:
                raise NotFoundError(
                    f"The scenario '{scenario.name}' names the {kind} '{name}', and there is none",
                    expected=f"one of {shorten(known, limit=12)}" if known else f"a source that has a {kind}",
                    field="scenarios",
                )


def _clipped(value: float) -> float:
    return min(max(value, LEAST), MOST)


def _factor(turned: Turned, name: str) -> str:
    text = f"{getattr(turned, name):.3g}"
    return f"{text} (elasticity {turned.price_elasticity:.3g})" if name == "price" else text


def _n_months(text: str) -> int:
    try:
        return parse_period(text).n_months
    except InputError:
        return 0


def _kind(values: Any) -> str:
    if isinstance(values, Mapping):
        return f"the keys {shorten(values)}"
    return "nothing" if values is None else type(values).__name__
