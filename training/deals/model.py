"""The deal model as one `training.models.Model`: two binary models on rows per deal and period ahead.

`closing` says P(ends in the period | open at its start), `winning` says P(won | ends in the period). Either is any kind
of model, with a calibration of its own. The margin is the logit of P(won ever), which needs no further calibration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import ContractError
from training.calibration import Calibration, logit, sigmoid
from training.deals.attribute import logit_won, mean_gradients, share_out
from training.deals.facts import DealFacts
from training.deals.hazards import Futures
from training.deals.periods import N_PERIODS, PERIOD_DAYS, every_period
from training.models import Matrix, Model, load_model

LIBRARY = "competing_risks"
MODEL_FILE = "deals.json"
_CHUNK_DEALS = 8_192
_CHUNK_EXPLAINED = 1_024
# Log-odds nearer to the average than this: the slope of the calibration is taken instead of the ratio.
_NEAR = 1e-6
# Periods with a smaller share of the weight are not explained one by one.
_TELLING = 0.01


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the two models.

    Args:
        model: It answers for rows with the period as a last column.
        calibration: Its calibration.
        shift: Added to the calibrated log-odds of each period, so that what is expected adds up to what came, period by
            period; shape (N_PERIODS,).
        mean: Mean Shapley value of each column in each period among the rows it was explained with, shape (N_PERIODS,
            n_features + 1).
        base: Mean calibrated log-odds in each period, shape (N_PERIODS,).
        raw_base: Mean log-odds before the calibration.
    """

    model: Model
    calibration: Calibration
    shift: Matrix
    mean: Matrix
    base: Matrix
    raw_base: Matrix

    def log_odds(self, expanded: Matrix, *, threads: int) -> tuple[Matrix, Matrix]:
        """Log-odds as they come and calibrated, shape (n_deals, N_PERIODS) each."""
        raw = self.model.margin(expanded, threads=threads)
        # What calibration leaves alone stays exact: a way there and back would clip it.
        calibrated = raw if self.calibration.method == "none" else logit(self.calibration.apply(raw))
        return raw.reshape(-1, N_PERIODS), calibrated.reshape(-1, N_PERIODS) + self.shift


@dataclass(frozen=True, kw_only=True)
class LogOdds:
    """What the two models say of deals, shape (n_deals, N_PERIODS) each: as it comes, and calibrated.

    Args:
        closing_raw: Log-odds of ending, as the model gives them.
        closing: Calibrated.
        winning_raw: Log-odds of being won, as the model gives them.
        winning: Calibrated.
    """

    closing_raw: Matrix
    closing: Matrix
    winning_raw: Matrix
    winning: Matrix

    @property
    def futures(self) -> Futures:
        """What becomes of the deals."""
        return Futures(hazard=sigmoid(self.closing), share=sigmoid(self.winning))

    def take(self, rows: slice) -> LogOdds:
        """Some of the deals."""
        return LogOdds(
            closing_raw=self.closing_raw[rows],
            closing=self.closing[rows],
            winning_raw=self.winning_raw[rows],
            winning=self.winning[rows],
        )


@dataclass(frozen=True, kw_only=True)
class CompetingRisks:
    """Won, lost or still open, by period ahead.

    Args:
        closing: P(ends in a period | open at its start).
        winning: P(won | ends in the period).
        facts: What else was learned of past deals: amounts, dates, actions.
    """

    closing: Part
    winning: Part
    facts: DealFacts = field(default_factory=DealFacts)
    library: str = LIBRARY

    def with_facts(self, facts: DealFacts) -> CompetingRisks:
        """The same model with other facts."""
        return replace(self, facts=facts)

    @property
    def rounds(self) -> int:
        """Boosting rounds of both models."""
        return self.closing.model.rounds + self.winning.model.rounds

    def log_odds(self, matrix: Matrix, *, threads: int = 1) -> LogOdds:
        """What the two models say of each period.

        Args:
            matrix: Snapshots, shape (n_deals, n_features).
            threads: Threads to use.
        """
        answers: dict[str, Matrix] = {name: np.empty((len(matrix), N_PERIODS)) for name in LogOdds.__annotations__}
        for start in range(0, len(matrix), _CHUNK_DEALS):
            rows = slice(start, start + _CHUNK_DEALS)
            expanded = every_period(matrix[rows])
            for name, part in (("closing", self.closing), ("winning", self.winning)):
                answers[f"{name}_raw"][rows], answers[name][rows] = part.log_odds(expanded, threads=threads)
        return LogOdds(**answers)

    def futures(self, matrix: Matrix, *, threads: int = 1) -> Futures:
        """What becomes of deals; see `log_odds`."""
        return self.log_odds(matrix, threads=threads).futures

    def margin(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """Logit of P(won ever), shape (n_deals,)."""
        answers = self.log_odds(matrix, threads=threads)
        return logit_won(answers.closing, answers.winning)

    def contributions(self, matrix: Matrix, *, threads: int = 1) -> Matrix:
        """What each feature adds to the logit of P(won ever), shape (n_deals, n_features + 1).

        The last column is the average deal's logit. See `training.deals.attribute`.
        """
        found = np.empty((len(matrix), matrix.shape[1] + 1))
        parts = (self.closing, self.winning)
        for start in range(0, len(matrix), _CHUNK_EXPLAINED):
            rows = slice(start, start + _CHUNK_EXPLAINED)
            expanded, answers = every_period(matrix[rows]), self.log_odds(matrix[rows], threads=threads)
            weights = self.weights(answers)
            closing, winning = (
                in_telling_periods(part.mean, expanded, weight, _explainer(part.model, threads=threads))
                for part, weight in zip(parts, weights, strict=True)
            )
            means = (self.closing.mean, self.winning.mean)
            found[rows] = self.combine(answers, closing, winning, means=means, weights=weights)
        return found

    def combine(
        self,
        answers: LogOdds,
        closing: Matrix,
        winning: Matrix,
        *,
        means: tuple[Matrix, Matrix],
        weights: tuple[Matrix, Matrix],
    ) -> Matrix:
        """Contributions to the logit of P(won ever) from those to the two models' log-odds.

        Args:
            answers: What the models say of the deals.
            closing: Contributions to the log-odds of ending, shape (n_deals * N_PERIODS, n_columns + 1): features, or
                sums over some of them; the last column is the period's own.
            winning: The same for the log-odds of being won.
            means: Mean contributions by period of the average deal, shape (N_PERIODS, n_columns + 1) each.
            weights: What `weights` gives for the answers.

        Returns:
            Shape (n_deals, n_columns + 1); the last column is the average deal's logit.
        """
        bases = (self.closing.base, self.winning.base)
        raws, odds = (answers.closing_raw, answers.winning_raw), (answers.closing, answers.winning)
        count, width = len(raws[0]), closing.shape[1] - 1
        total = np.zeros((count, width))
        for index, (part, parts) in enumerate(((self.closing, closing), (self.winning, winning))):
            moved = parts.reshape(count, N_PERIODS, -1) - means[index]
            # The period's own part is its interaction with the others: it is shared out among them.
            change = (raws[index] - part.raw_base).reshape(-1)
            shared = share_out(moved[:, :, :-1].reshape(-1, width), change)
            total += (weights[index][:, None, :] @ shared.reshape(count, N_PERIODS, width))[:, 0, :]
        average = float(logit_won(bases[0][None, :], bases[1][None, :])[0])
        exact = logit_won(*odds) - average
        return np.column_stack([share_out(total, exact), np.full(count, average)])

    def weights(self, answers: LogOdds) -> tuple[Matrix, Matrix]:
        """What a change of the raw log-odds of ending, and of being won, adds to the logit of P(won ever)."""
        gradients = mean_gradients(answers.closing, answers.winning, base=(self.closing.base, self.winning.base))
        return (
            gradients[0] * _steepness(self.closing, answers.closing_raw, answers.closing),
            gradients[1] * _steepness(self.winning, answers.winning_raw, answers.winning),
        )

    def save(self, folder: Path) -> None:
        """Write both models below `folder`."""
        values: dict[str, Any] = {"period_days": list(PERIOD_DAYS), "facts": self.facts.to_dict()}
        for name, part in (("closing", self.closing), ("winning", self.winning)):
            (folder / name).mkdir(exist_ok=True)
            part.model.save(folder / name)
            values[name] = {
                "library": part.model.library,
                "calibration": asdict(part.calibration),
                "shift": part.shift.tolist(),
                "mean": part.mean.tolist(),
                "base": part.base.tolist(),
                "raw_base": part.raw_base.tolist(),
            }
        (folder / MODEL_FILE).write_text(json.dumps(values) + "\n", encoding="utf-8")


def _explainer(model: Model, *, threads: int) -> Callable[[Matrix], Matrix]:
    def explain(rows: Matrix) -> Matrix:
        return model.contributions(rows, threads=threads)[:, :-1]

    return explain


def in_telling_periods(mean: Matrix, expanded: Matrix, weight: Matrix, explain: Callable[[Matrix], Matrix]) -> Matrix:
    """Contributions to a part's log-odds in the periods that tell in a deal; elsewhere the average deal's.

    Contributions are dear, and most deals end within few of the periods.

    Args:
        mean: The average deal's by period, shape (N_PERIODS, n_columns).
        expanded: Deals with all periods, shape (n_deals * N_PERIODS, n_features + 1).
        weight: What each period tells, shape (n_deals, N_PERIODS).
        explain: Contributions of expanded rows by column.
    """
    found = np.tile(mean, (len(weight), 1))
    sizes = np.abs(weight)
    telling = np.flatnonzero((sizes >= _TELLING * sizes.sum(axis=1, keepdims=True)).reshape(-1))
    if len(telling):
        found[telling] = explain(expanded[telling])
    return found


def _steepness(part: Part, raw: Matrix, odds: Matrix) -> Matrix:
    """How much the calibrated log-odds change per change of the raw ones, between the average deal and each deal."""
    change = raw - part.raw_base
    is_near = np.abs(change) < _NEAR
    return np.where(is_near, 1.0, (odds - part.base) / np.where(is_near, 1.0, change))


def make_part(
    model: Model, calibration: Calibration, reference: Matrix, *, shift: Matrix | None = None, threads: int
) -> Part:
    """A model with its calibration and what it says of the average deal.

    Args:
        model: Fitted on rows with the period as a last column.
        calibration: Its calibration.
        reference: Snapshots that the average is taken of.
        shift: Added to the calibrated log-odds of each period; None for nothing.
        threads: Threads to use.
    """
    expanded = every_period(reference)
    shapley = model.contributions(expanded, threads=threads)[:, :-1]
    moved = np.zeros(N_PERIODS) if shift is None else shift
    none = np.empty(0)
    empty = Part(model=model, calibration=calibration, shift=moved, mean=none, base=none, raw_base=none)
    raw, odds = empty.log_odds(expanded, threads=threads)
    return Part(
        model=model,
        calibration=calibration,
        shift=moved,
        mean=shapley.reshape(len(reference), N_PERIODS, -1).mean(axis=0),
        base=odds.mean(axis=0),
        raw_base=raw.mean(axis=0),
    )


def load_competing_risks(folder: Path) -> CompetingRisks:
    """Read the model that `CompetingRisks.save` wrote.

    Raises:
        ContractError: if it was made for other periods.
    """
    values = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
    if tuple(values["period_days"]) != PERIOD_DAYS:
        raise ContractError(
            "The deal model was made for other periods ahead",
            expected=f"{list(PERIOD_DAYS)} days",
            got=f"{values['period_days']}",
            next_step="train it again: salience train deal",
        )
    return CompetingRisks(
        closing=_part(values["closing"], folder / "closing"),
        winning=_part(values["winning"], folder / "winning"),
        facts=DealFacts.from_dict(values["facts"]),
    )


def _part(values: Mapping[str, Any], folder: Path) -> Part:
    return Part(
        model=load_model(values["library"], folder),
        calibration=Calibration.from_dict(values["calibration"]),
        shift=np.array(values["shift"], dtype=np.float64),
        mean=np.array(values["mean"], dtype=np.float64),
        base=np.array(values["base"], dtype=np.float64),
        raw_base=np.array(values["raw_base"], dtype=np.float64),
    )


def as_competing_risks(model: Model) -> CompetingRisks:
    """The model, known to be a deal model."""
    if not isinstance(model, CompetingRisks):
        raise TypeError(f"A deal model is a CompetingRisks, got {type(model).__name__}")
    return model
