"""How the fast reasons compare with the exact ones: measured at each training, and kept in the manifest."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.attribution import Columns

Matrix = NDArray[np.float64]

_COMPARED = 3


def measure_agreement(
    fast: Matrix, exact: Matrix, *, speakers: NDArray[np.int64], layout: Columns
) -> Mapping[str, float]:
    """Compare reasons on the same rows.

    Args:
        fast: Fast contributions by column, (n_rows, n_columns).
        exact: The library's own contributions by feature, (n_rows, n_features).
        speakers: Position of the feature that speaks for the fast form's strongest theme, per row.
        layout: What the columns are.

    Returns:
        `rows`; `top_theme`: share of the rows whose strongest theme is the same; `top_feature`: share whose speaker is
            the exact form's strongest feature of that sign within its strongest theme; `sign_of_top_three`: share of
            the exact form's three strongest themes whose sign is the same; `greatest_error`: greatest difference in
            log-odds of a theme.
    """
    ours, theirs = layout.by_theme(fast), layout.by_theme(layout.by_column(exact))
    if not ours.size:
        return {"rows": float(len(fast))}
    rows = np.arange(len(ours))
    first, exact_first = np.abs(ours).argmax(axis=1), np.abs(theirs).argmax(axis=1)
    three = np.argsort(-np.abs(theirs), axis=1, kind="stable")[:, :_COMPARED]
    same_sign = np.sign(np.take_along_axis(ours, three, axis=1)) == np.sign(np.take_along_axis(theirs, three, axis=1))
    theme_of_feature = layout.theme_of_column[layout.column_of_feature]
    towards = exact * np.sign(theirs[rows, exact_first])[:, None]
    towards[theme_of_feature[None, :] != exact_first[:, None]] = -np.inf
    return {
        "rows": float(len(ours)),
        "top_theme": float((first == exact_first).mean()),
        "top_feature": float((speakers == towards.argmax(axis=1)).mean()),
        "sign_of_top_three": float(same_sign.mean()),
        "greatest_error": float(np.abs(ours - theirs).max()),
    }
