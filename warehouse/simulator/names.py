"""Made-up people and companies: profiles with their effect on fit, and the messy way in which they are written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.simulator import parameters as p
from warehouse.simulator.moments import Floats, Ints
from warehouse.simulator.writer import joined, words

_FIRST = (
    "Ada", "Bela", "Caro", "Dario", "Edda", "Falk", "Gita", "Hanno", "Ines", "Jonte", "Kaia", "Levi", "Mira",
    "Nuno", "Oda", "Pavel", "Quinn", "Rosa", "Sami", "Tova", "Udo", "Vera", "Wim", "Xenia", "Yara", "Zeno",
)  # fmt: skip
_LAST = (
    "Abelmark", "Brandvold", "Castellin", "Dornfeld", "Ekstromer", "Farnholt", "Galindez", "Hartwell",
    "Isakovic", "Jandorf", "Kestrelli", "Lindqvarn", "Morandes", "Nakagura", "Oberlind", "Pellegard",
    "Quistorf", "Rosmarin", "Sundarel", "Tarkovan", "Uhlmark", "Valdorin", "Westerlo", "Yamadori", "Zelenik",
)  # fmt: skip
_STEM = (
    "Alder", "Basalt", "Cobalt", "Delta", "Ember", "Falcon", "Granite", "Harbor", "Indigo", "Juniper",
    "Keystone", "Lumen", "Meridian", "Nimbus", "Orchard", "Pioneer", "Quarry", "Ridge", "Summit", "Timber",
    "Umbra", "Vertex", "Willow", "Zephyr",
)  # fmt: skip
_MIDDLE = ("bridge", "craft", "field", "forge", "gate", "line", "point", "stone", "wave", "works", "yard", "view")
_FORM = ("Ltd", "Inc", "GmbH", "Group", "Partners", "Systems", "Labs", "Industries")


def choose(rng: np.random.Generator, shares: Sequence[float] | Floats, n: int) -> Ints:
    """`n` indexes drawn with the given shares (which need not add up to 1)."""
    cumulative = np.cumsum(np.asarray(shares, float))
    index: Ints = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right").astype(np.int64)
    return index


def choose_by_row(rng: np.random.Generator, weights: Floats) -> Ints:
    """One index per row, drawn with the row's weights, shape (n, k)."""
    cumulative = np.cumsum(weights, axis=1)
    index: Ints = np.sum(cumulative < rng.random(len(weights))[:, None] * cumulative[:, -1:], axis=1, dtype=np.int64)
    return index


@dataclass(frozen=True)
class Companies:
    """Profiles of companies; arrays by company."""

    industry: Ints
    employees: Floats
    country: Ints
    region: Ints
    name: Any
    domain: Any

    @property
    def fit(self) -> Floats:
        """How well the product suits: industry and size."""
        distance = np.log(self.employees) - p.BEST_LOG_EMPLOYEES
        effect = np.array([industry[2] for industry in p.INDUSTRIES])
        return effect[self.industry] + p.SIZE_FIT[0] + p.SIZE_FIT[1] * distance**2

    def take(self, index: Ints) -> Companies:
        """The companies at `index`."""
        at = pa.array(index)
        return Companies(
            industry=self.industry[index],
            employees=self.employees[index],
            country=self.country[index],
            region=self.region[index],
            name=self.name.take(at),
            domain=self.domain.take(at),
        )


def companies(rng: np.random.Generator, n: int) -> Companies:
    """`n` made-up companies."""
    region = choose(rng, p.REGION_SHARE, n)
    by_region = np.zeros((len(p.REGIONS), len(p.COUNTRIES)))
    for index, (_, home, share) in enumerate(p.COUNTRIES):
        by_region[home, index] = share
    stem, middle, form = (rng.integers(0, len(part), n) for part in (_STEM, _MIDDLE, _FORM))
    base = joined(words(_STEM, stem), words(_MIDDLE, middle))
    domain = joined(pc.utf8_lower(base), pa.array(rng.integers(1, 100, n)).cast(pa.string()), ".example.com")
    return Companies(
        industry=choose(rng, [industry[1] for industry in p.INDUSTRIES], n),
        employees=np.maximum(1.0, np.round(rng.lognormal(*p.LOG_EMPLOYEES, n))),
        country=choose_by_row(rng, by_region[region]),
        region=region,
        name=joined(base, " ", words(_FORM, form)),
        domain=domain,
    )


def people(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Names of `n` made-up people and the local part of their addresses."""
    first, last = words(_FIRST, rng.integers(0, len(_FIRST), n)), words(_LAST, rng.integers(0, len(_LAST), n))
    return joined(first, " ", last), pc.utf8_lower(joined(first, ".", last))


def industry_text(rng: np.random.Generator, index: Ints, *, missing: float) -> Any:
    """Industry as it stands in a CRM: some missing, some in another spelling."""
    n, known = len(index), len(p.INDUSTRIES)
    spellings = [industry[0] for industry in p.INDUSTRIES] + [industry[3] for industry in p.INDUSTRIES]
    written = np.where(rng.random(n) < p.MESSY_INDUSTRY, index + known, index)
    return words(spellings, written, missing=rng.random(n) < missing)


def country_text(rng: np.random.Generator, index: Ints) -> Any:
    """Country code as it stands in a CRM: a few in small letters."""
    codes = [country[0] for country in p.COUNTRIES]
    written = np.where(rng.random(len(index)) < p.MESSY_COUNTRY, index + len(codes), index)
    return words(codes + [code.lower() for code in codes], written)


def with_typos(rng: np.random.Generator, text: Any) -> Any:
    """The text with a letter lost in a few rows."""
    broken = pc.utf8_replace_slice(text, 2, 3, "")
    return pc.if_else(pa.array(rng.random(len(text)) < p.TYPO), broken, text)


def employee_count(rng: np.random.Generator, employees: Floats, *, missing: float) -> Floats:
    """Number of employees as it stands in a CRM: some missing, large ones rounded."""
    rounded = np.where(employees > 200, np.round(employees, -1), employees)
    return np.where(rng.random(len(employees)) < missing, np.nan, rounded)
