"""Description of the preprocessing of raw rows, which is part of a model."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from xpnet.data import exact, table
from xpnet.errors import InputError

__all__ = ["Kind", "Preprocessing"]

Kind = Literal["none", "mean", "standardize", "pca", "pca-whiten", "zca", "table"]


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of each row before the network sees it.

    Parameters
    ----------
    kind
        ``"none"``; ``"mean"``: subtract the mean of the training rows; ``"standardize"``: also divide each
        feature by its standard deviation; ``"pca"``: standardise, then rotate onto the principal components
        and divide all by one number that makes their average variance 1, so that learning rates mean the same
        as elsewhere; ``"pca-whiten"``: divide each component by its own standard deviation; ``"zca"``: whiten
        and rotate back, so that images stay images; ``"table"``: columns of numbers and categories, with
        gaps, see `xpnet.data.table`.
    components
        Number of components that ``"pca"`` and ``"pca-whiten"`` keep, those with the largest variance first;
        all by default.
    ridge
        Added to the variance of each component before whitening, in units of the variance of a feature; and
        to the variance of each row in contrast normalisation, in units of the average variance of a row.
    contrast
        Whether to subtract the mean of each row first, and divide the row by its standard deviation.
    fit_rows
        Maximum number of rows to fit on, drawn at random once; all by default.
    bins
        Maximum number of bins of a numeric column, for ``"table"``; None chooses by the number of columns.
    categories
        For ``"table"``: the number of categories of each column, 0 for numbers; None if all are numbers.
    sizes
        For ``"table"``: the result of `xpnet.data.table.sizes` once it is fitted; None before.
    exact
        Whether to do everything except the matrix product on the host, in float64, before rows go to the
        device; `xpnet.data.transforms.suited` decides whether this is needed.

    Raises
    ------
    InputError
        A setting is out of range, or this kind does not support it.

    Notes
    -----
    All kinds that divide by the standard deviation replace a feature that is constant in the fitted rows by
    0, whatever its value in other rows, because its weights have learnt nothing.

    ZCA and the ridge are those of Krizhevsky (2009), *Learning multiple layers of features from tiny
    images*, appendix A; contrast normalisation is that of Coates, Ng and Lee (2011), *An analysis of
    single-layer networks in unsupervised feature learning*.
    """

    kind: Kind = "mean"
    components: int | None = None
    ridge: float = 1e-3
    contrast: bool = False
    fit_rows: int | None = None
    bins: int | None = None
    categories: tuple[int, ...] | None = None
    sizes: tuple[int, int, int] | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(
                f"there is no preprocessing {self.kind!r}: use one of {', '.join(get_args(Kind))}"
            )
        if self.components is not None:
            if self.kind not in ("pca", "pca-whiten"):
                raise InputError(f"{self.kind} has no components to choose from: use pca or pca-whiten")
            if self.components < 1:
                raise InputError(f"{self.components} components: keep at least 1")
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise InputError(f"a ridge of {self.ridge}: use a number of 0 or more")
        if self.fit_rows is not None and self.fit_rows < self.least_rows:
            raise InputError(f"{self.kind} fitted on {self.fit_rows} rows: give at least {self.least_rows}")
        if self.kind == "table" and self.contrast:
            raise InputError(
                "contrast applies to images, not to rows of a table: drop it, or use standardize"
            )

    @property
    def most(self) -> float:
        """Largest number accepted in any dtype; 0 if the dtype sets the limit."""
        return exact.MOST if self.exact or self.kind == "table" else 0.0

    @property
    def least_rows(self) -> int:
        """Minimum number of rows to fit on: the number of components, and at least 2 to fit a variance."""
        if self.kind in ("none", "mean", "table"):
            return 1
        return max(2, self.components or 0)

    def output_features(self, num_features: int) -> int:
        """Return the number of outputs for ``num_features`` inputs; for a table, only once it is fitted.

        Raises
        ------
        InputError
            There are fewer features than components to keep.
        """
        if self.sizes is not None:
            return sum(self.sizes)
        if self.components is None:
            return num_features
        if self.components > num_features:
            raise InputError(
                f"{self.components} components of {num_features} features: keep at most {num_features}"
            )
        return self.components

    def shapes(self, num_features: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays that `xpnet.data.transforms.fit` returns for ``num_features``."""
        shapes: dict[str, tuple[int, ...]] = {"mean": (num_features,)}
        if self.kind == "standardize":
            shapes["scale"] = (num_features,)
        elif self.sizes is not None:
            inputs = zip(table.ROWS.items(), self.sizes, strict=True)
            shapes |= {"scale": (num_features,)} | {kind: (rows, size) for (kind, rows), size in inputs}
        elif self.kind not in ("none", "mean"):
            shapes["matrix"] = (num_features, self.output_features(num_features))
            if self.exact:
                shapes["scale"] = (num_features,)
        if self.contrast:
            shapes["contrast"] = (1,)
        return shapes
