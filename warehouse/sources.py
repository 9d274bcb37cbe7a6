"""The sources the product can read, each a mapping file, and the protocols of the models they feed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from common.errors import SourceError
from warehouse.mapping import DealProtocol, ForecastProtocol, LeadProtocol, Mapping

__all__ = ["DealProtocol", "ForecastProtocol", "LeadProtocol", "Source", "load_source", "read_mapping", "source_names"]

_MAPPINGS = Path(__file__).parent / "mappings"


@dataclass(frozen=True)
class Source:
    """A source: what it is, how it is read, and which models it feeds.

    Args:
        name: Name, also of its workspace by default.
        about: What it is.
        lead: Protocol of the lead model; None if the source cannot feed it. So for `deal` and `forecast`.
        deal: Protocol of the deal model.
        forecast: Protocol of the forecast.
        mapping: How its files become canonical tables.
    """

    name: str
    about: str
    lead: LeadProtocol | None
    deal: DealProtocol | None
    forecast: ForecastProtocol | None
    mapping: Mapping

    @property
    def tasks(self) -> tuple[str, ...]:
        """Models the source feeds, among `lead`, `deal`, `forecast`."""
        return tuple(task for task in ("lead", "deal", "forecast") if getattr(self, task) is not None)

    @property
    def tables(self) -> tuple[str, ...]:
        """Canonical tables the source can fill."""
        return tuple(dict.fromkeys(table.table for table in self.mapping.tables))


def source_names() -> tuple[str, ...]:
    """Names of the sources that have a mapping."""
    return tuple(sorted(path.stem for path in _MAPPINGS.glob("*.yaml")))


@cache
def load_source(name: str) -> Source:
    """The source `name`.

    Raises:
        SourceError: if there is none of that name, or its mapping file is not valid.
    """
    if name not in source_names():
        raise SourceError(
            f"There is no source '{name}'",
            expected=f"one of {', '.join(source_names())}",
            next_step=f"choose one of them, or write warehouse/mappings/{name}.yaml",
        )
    return read_mapping(_MAPPINGS / f"{name}.yaml")


def read_mapping(path: Path) -> Source:
    """The source that a mapping file describes.

    Raises:
        SourceError: if the file is no YAML, or not what a mapping must be; every fault is named.
    """
    import yaml

    try:
        mapping = Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise SourceError(f"The mapping {path} is no YAML", got=str(error)) from error
    except ValidationError as error:
        faults = "; ".join(_fault(item["loc"], item["msg"]) for item in error.errors())
        raise SourceError(
            f"The mapping {path} is not valid", got=faults, next_step="compare with the mappings in warehouse/mappings"
        ) from error
    models = mapping.models
    return Source(mapping.name, mapping.about, models.lead, models.deal, models.forecast, mapping)


def _fault(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place)) or 'the whole file'}: {message.removeprefix('Value error, ')}"
