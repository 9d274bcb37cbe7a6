"""The sources the product can read, each a mapping file, and the protocols of the models they feed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from common.errors import SourceError
from warehouse.mapping import DealProtocol, ForecastProtocol, LeadProtocol, Mapping

__all__ = [
    "DealProtocol",
    "ForecastProtocol",
    "LeadProtocol",
    "Source",
    "find_source",
    "load_source",
    "read_mapping",
    "source_names",
]

OWN_SOURCE = "csv"
"""Name of the source that is anybody's own files, read through a mapping of one's own."""

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


def find_source(name: str, *, mapping: Path | None = None) -> Source:
    """The source `name`, or with `mapping` the one which that file describes, whatever it is called.

    Args:
        name: A source with a mapping of its own, or `csv` for one's own files.
        mapping: A mapping file of one's own.

    Raises:
        SourceError: if there is no such source, or the mapping cannot be used.
    """
    if mapping is not None:
        return read_mapping(mapping)
    if name == OWN_SOURCE:
        raise SourceError(
            f"The source '{OWN_SOURCE}' is your own files and needs a mapping",
            expected="a mapping file, such as examples/mapping.yaml",
            got="none",
            next_step="write one to start from with `salience mapping suggest FILE`, and give it with --mapping",
        )
    return load_source(name)


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
    except (OSError, UnicodeError) as error:
        raise SourceError(f"The mapping {path} cannot be read", got=str(error), next_step="give its path") from error
    except yaml.YAMLError as error:
        raise SourceError(f"The mapping {path} is no YAML", got=str(error)) from error
    except ValidationError as error:
        faults = "; ".join(_fault(item["loc"], item["msg"]) for item in error.errors())
        raise SourceError(
            f"The mapping {path} is not valid", got=faults, next_step="compare with examples/mapping.yaml"
        ) from error
    models = mapping.models
    return Source(mapping.name, mapping.about, models.lead, models.deal, models.forecast, mapping)


def _fault(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place)) or 'the whole file'}: {message.removeprefix('Value error, ')}"
