"""Made-up people and companies: profiles with their effect on fit, and the messy way in which they are written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from warehouse.simulator import parameters as p
from warehouse.simulator.moments import Draws, Floats, Ints
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


def companies(draw: Draws, n: int, *, cell: int) -> Companies:
    """`n` made-up companies; those of different cells never share a domain."""
    region = choose(draw("region"), p.REGION_SHARE, n)
    by_region = np.zeros((len(p.REGIONS), len(p.COUNTRIES)))
    for index, (_, home, share) in enumerate(p.COUNTRIES):
        by_region[home, index] = share
    parts = {"stem": _STEM, "middle": _MIDDLE, "form": _FORM}
    stem, middle, form = (draw(name).integers(0, len(part), n) for name, part in parts.items())
    base = joined(words(_STEM, stem), words(_MIDDLE, middle))
    number = pa.array(draw("domain").integers(1, 100, n) + 100 * cell).cast(pa.string())
    domain = joined(pc.utf8_lower(base), number, ".example.com")
    return Companies(
        industry=choose(draw("industry"), [industry[1] for industry in p.INDUSTRIES], n),
        employees=np.maximum(1.0, np.round(draw("employees").lognormal(*p.LOG_EMPLOYEES, n))),
        country=choose_by_row(draw("country"), by_region[region]),
        region=region,
        name=joined(base, " ", words(_FORM, form)),
        domain=domain,
    )


def people(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Names of `n` made-up people and the local part of their addresses."""
    draws = rng.random((n, 2))
    first = words(_FIRST, (draws[:, 0] * len(_FIRST)).astype(np.int64))
    last = words(_LAST, (draws[:, 1] * len(_LAST)).astype(np.int64))
    return joined(first, " ", last), pc.utf8_lower(joined(first, ".", last))


def industry_text(rng: np.random.Generator, index: Ints, *, missing: Floats | float) -> Any:
    """Industry as it stands in a CRM: some missing, some in another spelling."""
    draws, known = rng.random((len(index), 2)), len(p.INDUSTRIES)
    spellings = [industry[0] for industry in p.INDUSTRIES] + [industry[3] for industry in p.INDUSTRIES]
    written = np.where(draws[:, 0] < p.MESSY_INDUSTRY, index + known, index)
    return words(spellings, written, missing=np.asarray(draws[:, 1] < missing))


def country_text(rng: np.random.Generator, index: Ints) -> Any:
    """Country code as it stands in a CRM: a few in small letters."""
    codes = [country[0] for country in p.COUNTRIES]
    written = np.where(rng.random(len(index)) < p.MESSY_COUNTRY, index + len(codes), index)
    return words(codes + [code.lower() for code in codes], written)


def with_typos(rng: np.random.Generator, text: Any) -> Any:
    """The text mistyped in a few rows: a letter lost or doubled, two letters swapped, all in small letters, no form."""
    draws = rng.random((len(text), 2))
    wrong = np.flatnonzero(draws[:, 0] < p.TYPO)
    kind = (draws[wrong, 1] * len(_MISTAKES)).astype(np.int64)
    written = text.take(pa.array(wrong))
    for number, mistake in enumerate(_MISTAKES):
        written = pc.if_else(pa.array(kind == number), mistake(written), written)
    return pc.replace_with_mask(text, pa.array(draws[:, 0] < p.TYPO), written)


_MISTAKES: tuple[Callable[[Any], Any], ...] = (
    lambda text: pc.utf8_replace_slice(text, 2, 3, ""),
    lambda text: pc.replace_substring_regex(text, r"^(...)(.)", r"\1\2\2"),
    lambda text: pc.replace_substring_regex(text, r"^(..)(.)(.)", r"\1\3\2"),
    pc.utf8_lower,
    lambda text: pc.replace_substring_regex(text, r" \w+$", ""),
)


def other_address(local: Any) -> Any:
    """The local part of an address as the same person writes it elsewhere: the first name's letter alone."""
    return pc.replace_substring_regex(local, r"^(\w)\w*\.", r"\1.")


def employee_count(rng: np.random.Generator, employees: Floats, *, missing: Floats | float) -> Floats:
    """Number of employees as it stands in a CRM: some missing, large ones rounded."""
    rounded = np.where(employees > 200, np.round(employees, -1), employees)
    return np.where(rng.random(len(employees)) < missing, np.nan, rounded)
