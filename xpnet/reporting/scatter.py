"""Charts of predicted against true numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xpnet.reporting.axes import Axis, finite
from xpnet.reporting.charts import BLUE, Series, chart

__all__ = ["predictions"]

MOST_PREDICTED, MOST_OUTPUTS = 1000, 4
"""Maximum numbers of rows and outputs that are drawn."""


def predictions(y: NDArray[np.float64], predicted: NDArray[np.float64], names: Sequence[str]) -> str:
    """Return charts of predicted against true numbers, and of the residuals.

    Parameters
    ----------
    y, predicted
        Numbers ``(rows, outputs)``, at least one row; predictions of one output may be ``(rows,)``. Of many
        rows, a fixed random sample is drawn; of many outputs, the first ones.
    names
        The name of each output.
    """
    rows = len(y)
    true, found = finite(y).reshape(rows, -1), finite(predicted).reshape(rows, -1)
    if rows > MOST_PREDICTED:
        some = np.random.default_rng(0).choice(rows, MOST_PREDICTED, replace=False)
        true, found = true[some], found[some]
    charts = []
    for k in range(min(true.shape[1], MOST_OUTPUTS)):
        both = Axis.over(np.concatenate([true[:, k], found[:, k]]), label="true")
        off = true[:, k] - found[:, k]
        of = f" of {names[k]}" if true.shape[1] > 1 else ""
        charts.append(
            chart(
                _fitting(f"Predicted{of}"),
                [Series("", true[:, k], found[:, k], BLUE, "dots")],
                both,
                both,
                lines=[(both.low, both.low, both.high, both.high)],
            )
        )
        across, errors = Axis.over(found[:, k], label="predicted"), Axis.over(np.append(off, 0.0))
        charts.append(
            chart(
                _fitting(f"True − predicted{of}"),
                [Series("", found[:, k], off, BLUE, "dots")],
                across,
                errors,
                lines=[(across.low, 0.0, across.high, 0.0)],
            )
        )
    notes = []
    if rows > MOST_PREDICTED:
        notes.append(f"{MOST_PREDICTED:,} of {rows:,} rows, drawn at random")
    if y.ndim > 1 and y.shape[1] > MOST_OUTPUTS:
        notes.append(f"the first {MOST_OUTPUTS} of {y.shape[1]} outputs")
    note = f'<p class="faint">{"; ".join(notes)}</p>' if notes else ""
    return f'{note}<div class="xp-charts">{"".join(charts)}</div>'


def _fitting(title: str) -> str:
    return title if len(title) <= 40 else f"{title[:39]}…"
