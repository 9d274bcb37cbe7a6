"""The simulated world beside the public sets (../shared/data), and what it costs to make one.

    python benchmarks/simulator.py [--quick] [--check] [--write docs/simulator]

Distributions are those of the demo's world. A bar is what the real sets' own spread allows: half as much again on both
sides (of shares, a quarter), unless the row says otherwise. `--write` makes the plots in that folder and
the page beside it. `--quick` makes a smaller many-cell world; `--check` exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
SETS = ("bpic2012", "olist", "marketstar", "maven_crm", "cdnow")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
STAGES = ("Prospecting", "Qualification", "Proposal", "Negotiation", "Closed Won")
MEMORY_BAR_MB = 4_096
_COST = """
import json, resource, sys, time
from pathlib import Path
from warehouse.simulator import SimulationConfig, simulate
config = SimulationConfig(**json.loads(sys.argv[1]))
begin = time.perf_counter()
rows = simulate(config, landing=Path(sys.argv[2]) / "landing", truth=Path(sys.argv[2]) / "truth")
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": rows, "seconds": seconds, "peak_mb": peak, "cells": len(config.cells())}))
"""


@dataclass(frozen=True)
class Row:
    """One figure of the simulated world beside the real sets', and the least and greatest value that pass."""

    what: str
    real: str
    ours: float
    least: float
    most: float
    text: str = "{:.2f}"

    @property
    def passed(self) -> bool:
        """Whether the figure is within its bar."""
        return self.least <= self.ours <= self.most

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        show = self.text.format
        bar = f"{show(self.least)} to {show(self.most)}" if np.isfinite(self.most) else f"at least {show(self.least)}"
        return (self.what, self.real, show(self.ours), bar, "yes" if self.passed else "NO")


def beside(what: str, real: Mapping[str, float], ours: float, *, text: str = "{:.2f}") -> Row:
    """A figure whose bar is the spread of the real sets, half as much again on both sides; of shares, a quarter."""
    slack = 1.25 if "%" in text else 1.5
    named = ", ".join(f"{name} {text.format(value)}" for name, value in real.items())
    return Row(what, named, ours, min(real.values()) / slack, slack * max(real.values()), text)


# --- The real sets ----------------------------------------------------------------------------------------------------
def real_sets() -> dict[str, Any]:
    """What is compared, measured on the public sets."""
    import pandas as pd

    events = pd.read_parquet(DATA / "bpic2012" / "bpic2012_events.parquet")
    first = events.groupby(["case_id", "activity"])["timestamp"].min().unstack()
    contacts = pd.read_csv(DATA / "olist" / "olist_marketing_qualified_leads_dataset.csv")
    sellers = pd.read_csv(DATA / "olist" / "olist_closed_deals_dataset.csv").merge(contacts, on="mql_id")
    contacted = pd.to_datetime(contacts["first_contact_date"])
    won = pd.to_datetime(sellers["won_date"])
    with gzip.open(DATA / "marketstar" / "Leads.csv.gz") as file:
        developed = pd.read_csv(file, low_memory=False)
    handed = pd.read_csv(DATA / "marketstar" / "Opportunities.csv")
    price = pd.to_numeric(handed["Amount"].astype(str).str.replace(r"[$, ]", "", regex=True), errors="coerce")
    sales = pd.read_csv(DATA / "maven_crm" / "sales_pipeline.csv")
    closed = sales[sales["deal_stage"].isin(["Won", "Lost"])]
    taken = pd.to_datetime(closed["close_date"]) - pd.to_datetime(closed["engage_date"])
    is_won = closed["deal_stage"] == "Won"
    with gzip.open(DATA / "cdnow" / "CDNOW_master.txt.gz") as file:
        orders = pd.read_csv(file, sep=r"\s+", header=None, names=["customer", "date", "number", "usd"])
    steps = ["A_SUBMITTED", "A_PREACCEPTED", "A_ACCEPTED", "O_SENT", "A_ACTIVATED"]
    reached = [int(first[step].notna().sum()) for step in steps]
    asked = events.groupby("case_id")["amount_req"].first()
    return {
        "lead rate": {"olist": len(sellers) / len(contacts), "marketstar": len(handed) / len(developed)},
        "win rate": {
            "bpic2012": reached[-1] / reached[0],
            "maven_crm": float(is_won.mean()),
            "marketstar": float((handed["IsAccepted"].astype(str).str.upper() == "TRUE").mean()),
        },
        "funnel": {"bpic2012": np.array(reached) / reached[0]},
        "days to win": {
            "bpic2012": days(first["A_ACTIVATED"] - first["A_SUBMITTED"]),
            "maven_crm": days(taken[is_won]),
            "olist": days(won - pd.to_datetime(sellers["first_contact_date"])),
        },
        "arrival weekday": {
            "bpic2012": by_weekday(first["A_SUBMITTED"]),
            "olist": by_weekday(contacted),
            "marketstar": by_weekday(pd.to_datetime(handed["CreatedDate"], format="mixed")),
        },
        "win weekday": {"bpic2012": by_weekday(first["A_ACTIVATED"].dropna()), "olist": by_weekday(won)},
        "amount": {
            "bpic2012": asked[asked > 0].to_numpy(),
            "marketstar": price[price > 0].to_numpy(),
            "maven_crm": closed.loc[is_won, "close_value"].to_numpy(float),
        },
        "purchases": {"cdnow": orders.groupby("customer").size().to_numpy()},
    }


def days(lengths: Any) -> np.ndarray:
    values = lengths.dt.total_seconds().to_numpy() / 86_400
    return np.asarray(values[np.isfinite(values) & (values >= 0)])


def by_weekday(moments: Any) -> np.ndarray:
    return np.bincount(moments.dt.weekday, minlength=7) / len(moments)


# --- The simulated world ----------------------------------------------------------------------------------------------
def simulated(folder: Path) -> dict[str, Any]:
    """The same measures on the demo's world."""
    import duckdb
    import pandas as pd

    from warehouse.simulator import SimulationConfig, simulate

    simulate(SimulationConfig.of_size("small"), landing=folder / "landing", truth=folder / "truth")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")

        def frame(query: str) -> pd.DataFrame:
            return connection.sql(query).df()

        for table in ("leads", "opportunities", "transactions"):
            connection.execute(f"CREATE VIEW {table} AS FROM '{folder}/landing/{table}.parquet'")
        leads = frame(
            "SELECT lead_id, min(lead_created_at) AS created, bool_or(status = 'converted' AND event_timestamp <= "
            "lead_created_at + INTERVAL 90 DAY) AS converted, min(lead_created_at) + INTERVAL 90 DAY <= "
            "(SELECT max(created_timestamp) FROM leads) AS known FROM leads GROUP BY 1"
        )
        order = ", ".join(f"'{stage}'" for stage in STAGES)
        deals = frame(
            f"SELECT opportunity_id, min(opened_at) AS opened, max(list_position([{order}], stage)) AS furthest, "
            "max(event_timestamp) FILTER (status = 'won') AS won_at, bool_or(status <> 'open') AS closed, "
            "max(amount_usd) FILTER (status = 'won') AS amount, min_by(stage, event_timestamp) AS began "
            "FROM opportunities GROUP BY 1"
        )
        bought = frame("SELECT account_id, count(*) AS n FROM transactions WHERE kind <> 'credit' GROUP BY 1")
    done = deals[deals["closed"]]
    whole = done[done["began"] == STAGES[0]]
    won = deals[deals["won_at"].notna()]
    return {
        "lead rate": float(leads.loc[leads["known"], "converted"].mean()),
        "win rate": float(done["won_at"].notna().mean()),
        "funnel": np.array([(whole["furthest"] >= step).mean() for step in range(1, 6)]),
        "days to win": days(won["won_at"] - won["opened"]),
        "arrival weekday": by_weekday(leads["created"]),
        "win weekday": by_weekday(won["won_at"]),
        "amount": won["amount"].to_numpy(float),
        "purchases": bought["n"].to_numpy(),
    }


# --- The comparison ---------------------------------------------------------------------------------------------------
def compare(real: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Row]:
    """The table: every figure beside the real sets'."""
    steps = real["funnel"]["bpic2012"][1:] / real["funnel"]["bpic2012"][:-1]
    passed_on = ours["funnel"][1:] / ours["funnel"][:-1]
    rows = [
        beside("leads that convert", real["lead rate"], ours["lead rate"], text="{:.1%}"),
        beside("deals that are won", real["win rate"], ours["win rate"], text="{:.1%}"),
    ]
    rows += [
        Row(f"{STAGES[k]} to {STAGES[k + 1]}", f"bpic2012's steps {min(steps):.0%} to {max(steps):.0%}", passed_on[k],
            0.9 * min(steps), 1.0, "{:.0%}")
        for k in range(4)
    ]  # fmt: skip
    cycles = real["days to win"]
    rows += [
        beside("days to a win, median", apply(np.median, cycles), np.median(ours["days to win"]), text="{:.0f}"),
        beside("days to a win, 90 % over median", apply(_tail, cycles), _tail(ours["days to win"]), text="{:.1f}"),
        weekday_row("weekday of arrivals", real["arrival weekday"], ours["arrival weekday"]),
        weekday_row("weekday of wins", real["win weekday"], ours["win weekday"]),
        beside("amounts, spread of the logarithm", apply(_log_spread, real["amount"]), _log_spread(ours["amount"])),
        beside("amounts, share of the largest fifth", apply(_top_fifth, real["amount"]), _top_fifth(ours["amount"])),
    ]
    shop = real["purchases"]["cdnow"]
    for what, measure in (("customers who bought once", _once), ("purchases of the keenest fifth", _top_fifth)):
        value = measure(shop)
        rows.append(Row(f"{what} (±0.3: one set)", f"cdnow {value:.2f}", measure(ours["purchases"]), value - 0.3,
                        value + 0.3))  # fmt: skip
    return rows


def apply(measure: Any, sets: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(measure(values)) for name, values in sets.items()}


def _tail(values: np.ndarray) -> float:
    return float(np.quantile(values, 0.9) / np.median(values))


def _log_spread(values: np.ndarray) -> float:
    return float(np.log(values[values > 0]).std())


def _top_fifth(values: np.ndarray) -> float:
    ordered = np.sort(values)[::-1]
    return float(ordered[: len(ordered) // 5].sum() / ordered.sum())


def _once(values: np.ndarray) -> float:
    return float(np.mean(values == 1))


def weekday_row(what: str, real: Mapping[str, np.ndarray], ours: np.ndarray) -> Row:
    """The share that would have to move to another day, to be like the nearest set; no more than between two sets.

    marketstar's deals are handed over in bulk on Mondays, so it is on show and does not count.
    """
    apart = {name: float(np.abs(ours - values).sum() / 2) for name, values in real.items()}
    sets = [values for name, values in real.items() if name != "marketstar"]
    most = max(float(np.abs(a - b).sum() / 2) for a in sets for b in sets)
    nearest = min(apart, key=lambda name: apart[name])
    return Row(f"{what}, moved from {nearest}", f"sets differ by {most:.2f}", apart[nearest], 0.0, max(most, 0.05))


# --- The cost ---------------------------------------------------------------------------------------------------------
def cost(*, quick: bool) -> tuple[list[Row], dict[str, Any]]:
    """Make a many-cell world twice, each in a process of its own."""
    scale = 1 if quick else 3
    config = {"years": 1, "leads": 26_000 * scale, "deals": 6_500 * scale, "reps": 300, "events_per_lead": 52}
    runs, prints = [], []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", _COST, json.dumps(config), folder]
            answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            runs.append(json.loads(answer.stdout.splitlines()[-1]))
            prints.append(fingerprint(Path(folder)))
    events = runs[0]["rows"]["lead_events"] + runs[0]["rows"]["activities"]
    rate = events / min(run["seconds"] for run in runs)
    peak = max(run["peak_mb"] for run in runs)
    rows = [
        Row("events per second", "far above 5,000", rate, 5_000, float("inf"), "{:,.0f}"),
        Row("peak memory of the process, MB", "under 4 GB", peak, 0, MEMORY_BAR_MB, "{:,.0f}"),
        Row("files that differ in a second run", "none", float(prints[0] != prints[1]), 0, 0, "{:.0f}"),
    ]
    return rows, {"events": events, "cells": runs[0]["cells"], "leads": config["leads"]}


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.parquet"))
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in files}


# --- The page ---------------------------------------------------------------------------------------------------------
def draw(real: Mapping[str, Any], ours: Mapping[str, Any], folder: Path) -> None:
    """The plots: funnel, cycle, weekdays, amounts, purchases."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)

    def plot(name: str, title: str, x: str, y: str, lines: Any, **options: Any) -> None:
        figure, axes = plt.subplots(figsize=(6.4, 3.2), dpi=90, layout="constrained")
        for label, (across, up) in lines.items():
            is_ours = label == "simulated"
            axes.plot(across, up, label=label, color="black" if is_ours else None, linewidth=2.4 if is_ours else 1.3)
        axes.set(title=title, xlabel=x, ylabel=y, **options)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        plt.close(figure)

    def share(sets: Mapping[str, Any], own: np.ndarray) -> Any:
        every = {"simulated": own, **sets}
        return {
            name: (np.quantile(values, grid := np.linspace(0.005, 0.995, 199)), grid) for name, values in every.items()
        }

    steps = {"simulated": ours["funnel"], **real["funnel"]}
    plot("funnel", "Deals that get so far", "step", "share", {k: (range(1, 6), v) for k, v in steps.items()},
         ylim=(0, 1), xticks=range(1, 6))  # fmt: skip
    plot("cycle", "Days from opening to a win", "days", "share won by then",
         share(real["days to win"], ours["days to win"]), xlim=(0, 250))  # fmt: skip
    for name, title in (("arrival weekday", "Arrivals by weekday"), ("win weekday", "Wins by weekday")):
        lines = {k: (range(7), v) for k, v in {"simulated": ours[name], **real[name]}.items()}
        plot(name.replace(" ", "_"), title, "", "share", lines, xticks=range(7), xticklabels=WEEKDAYS)
    relative = {k: v[v > 0] / np.median(v[v > 0]) for k, v in real["amount"].items()}
    plot("amounts", "Amounts, median 1", "amount over the median", "share up to it",
         share(relative, ours["amount"] / np.median(ours["amount"])), xscale="log")  # fmt: skip
    counts = {"simulated": ours["purchases"], **real["purchases"]}
    tail = {k: (range(1, 11), [np.mean(v >= n) for n in range(1, 11)]) for k, v in counts.items()}
    plot("purchases", "Customers by number of purchases", "purchases", "share with at least so many", tail,
         yscale="log")  # fmt: skip


def parameter_table() -> list[tuple[str, str, str]]:
    """Group, names and source of all parameters, read from parameters.py."""
    text = (ROOT / "warehouse" / "simulator" / "parameters.py").read_text()
    lines = text.splitlines()
    heads = [(number, match[1]) for number, line in enumerate(lines) if (match := re.match(r"# --- (.+?) -+$", line))]
    found = []
    for (begin, title), (end, _) in zip(heads, [*heads[1:], (len(lines), "")], strict=True):
        block = lines[begin + 1 : end]
        note = [line[1:].strip() for line in block[: next(k for k, line in enumerate(block) if line[:1] != "#")]]
        names = [
            name.id
            for node in ast.parse("\n".join(block)).body
            if isinstance(node, (ast.Assign, ast.AnnAssign))
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            for name in ast.walk(target)
            if isinstance(name, ast.Name)
        ]
        found.append((title, ", ".join(f"`{name}`" for name in names), " ".join(note).removeprefix("Source: ")))
    return found


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


HEAD = ("figure", "real sets", "simulated", "bar", "held")


def page(rows: list[Row], costs: list[Row], made: Mapping[str, Any], folder: Path) -> str:
    """The page beside the plots."""
    return PAGE.format(
        folder=folder.name,
        figures=markdown(HEAD, [row.cells() for row in rows]),
        costs=markdown(("figure", "asked for", "measured", "bar", "held"), [row.cells() for row in costs]),
        parameters=markdown(("group", "parameters", "source"), parameter_table()),
        **made,
    )


PAGE = """# The simulated world

`salience simulate` makes up the CRM of a selling company: several years of leads, deals, activities and money whose
true probabilities are known. It is the embedded default and the measuring stick: a model can be held against the
truth. This page is written by `benchmarks/simulator.py --write docs/{folder}`; nothing of the public sets is in the
product.

## What happens in it

- **The company**: eight teams in three regions. Reps are hired and leave, their work goes to a colleague; a member
  of long standing is promoted to lead a team; as a year begins some accounts go to another rep, with the deals open
  then.
- **Leads** have a hidden state of interest that rises and falls from day to day. They come in sessions of pages
  minutes apart and are silent for days; they open and click mails in the hours after these were sent, and reply to
  reps.
- **Deals** move by weeks through four stages, forward and back, with hidden momentum that is lost and found. Where
  nobody competes a rival may appear in mid-deal and lower the odds. Close dates slip, and slip again, most of all
  as a quarter ends; in Negotiation the price falls; meetings are followed up; next steps are agreed and often kept.
- **Reps** see a part of the truth. Some call deals as they are, some hold back (sandbaggers), some commit too
  early. A rep's commit for a quarter is the amount of the own open deals in category `commit` with a close date in
  it.
- **Customers** buy again, as readily as their appetite says, renew, or leave.
- **The data** is a CRM's: typing errors, spellings, missing fields and late entries (more of both from lazy reps),
  the same person twice, a spell each year in which tracking was down.

Whatever moves outcomes is in the truth's recursions (`warehouse/simulator/truth.py`): lead states, momentum,
rivals, season, scenario. All else depends on the past of these states alone, so nobody can know more than the
truth. The truths lie in a folder of their own, which no feature reads: lead, deal and revenue truths, what each rep
is like, and when each customer leaves.

A **scenario** (`recession`, `new-product`, `process-change`) holds from two thirds of the span on. Every row that
was known before is, byte for byte, that of the steady world with the same seed (where no number of events is asked
for): everything is drawn in the order of time, each thing from its own stream, and reps do not foresee the change.

## How it compares with real sets

The demo's world (seed 7, three years) beside the public sets. The bar is the sets' own spread, half as much again
on both sides (of shares, a quarter), unless the row says otherwise: they differ among themselves far more than one
company does from year to year.

{figures}

![Deals that get so far]({folder}/funnel.png)
![Days from opening to a win]({folder}/cycle.png)
![Arrivals by weekday]({folder}/arrival_weekday.png)
![Wins by weekday]({folder}/win_weekday.png)
![Amounts]({folder}/amounts.png)
![Customers by number of purchases]({folder}/purchases.png)

Where it differs, plainly:

- **It is tidier than any of the sets.** Rates are the same for all of a kind, and between changes nothing but
  season and growth moves. olist's rate of winning went from 1-5 % to 13-15 % within a month; marketstar loaded
  10,129 leads at once.
- **Its deals take longer** than bpic2012's loans and olist's sellers (two weeks at the median, from application or
  first contact) and maven_crm's made-up deals (two months). It is meant to: half of its sales are above 16,000 USD,
  sold in stages.
- **Few wins come in the first weeks.** A deal stands still in the week of its opening and moves one stage a week at
  most, where olist and maven_crm win a tenth within days.
- **Its funnel loses deals evenly**; bpic2012 loses nearly half at the first check and half again after the offer.
- **Amounts are of one kind**, near a lognormal; maven_crm's products cost from 55 to 26,768 USD, bpic2012's
  customers ask for round sums.
- **Fewer customers come back** than in cdnow, which is a record shop: a firm buys such a product once or twice.
- **Its weekends are a little quieter**: a tenth of the leads comes then, of bpic2012's applications 18 %.
  marketstar's deals are handed over in bulk on Mondays, which is shown above and left out of the bar.

No public set shows web sessions, mails, slipping close dates, discounts, rivals or how reps call their deals
together with outcomes; what the world does there is our assumption (below).

## What it costs

A world of {leads:,} leads and {events:,} events in {cells} cells, made twice, each time in a process of its own:

{costs}

Cells are made one after the other, so memory does not grow with the world. `--size large`, a million leads and 50.6
million events of one year in 40 cells, took 168 s (300,000 events/s) and 620 MB beside other work on two cores.

## Where its numbers come from

All stand in `warehouse/simulator/parameters.py`, group by group.

{parameters}
"""


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller many-cell world")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="make the plots there and the page beside it")
    options = parser.parse_args()
    missing = [name for name in SETS if not (DATA / name).is_dir()]
    if missing:
        print(f"The public sets {', '.join(missing)} are not in {DATA}; without them there is nothing to compare.")
        return 1 if options.check else 0
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    begin = time.perf_counter()
    real = real_sets()
    with tempfile.TemporaryDirectory() as folder:
        ours = simulated(Path(folder))
    rows = compare(real, ours)
    costs, made = cost(quick=options.quick)
    for row in rows + costs:
        print("  ".join(f"{text:<{width}}" for text, width in zip(row.cells(), (48, 58, 10, 18, 3), strict=True)))
    print(f"{made['events']:,} events of {made['leads']:,} leads in {made['cells']} cells; "
          f"{time.perf_counter() - begin:.0f} s in all")  # fmt: skip
    if options.write:
        draw(real, ours, options.write)
        options.write.with_suffix(".md").write_text(page(rows, costs, made, options.write))
    return int(options.check and not all(row.passed for row in rows + costs))


if __name__ == "__main__":
    raise SystemExit(main())
