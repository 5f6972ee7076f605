"""Describes the columns of a table, and converts rows to a matrix of numbers."""

import datetime
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns.cells import Cells, Text, cells, text
from xpnet.columns.column import Column, Kind
from xpnet.columns.inference import infer_columns
from xpnet.columns.masks import unmasked
from xpnet.columns.meanings import MEND, is_text
from xpnet.columns.outputs import likely_target, row_values, take_target, tell_of_floats
from xpnet.columns.tabular import Frame, as_frame, did_you_mean, listed, refuse_duplicates
from xpnet.columns.unseen import Unseen, tell
from xpnet.errors import InputError
from xpnet.text import printable, shorten
from xpnet.values import shown
from xpnet.warn import warn

__all__ = [
    "Column",
    "Columns",
    "Kind",
    "likely_target",
    "numbers",
    "row_values",
    "take_target",
    "tell_of_floats",
]

_MOST_LINES = 40  # of an overview


@dataclass(frozen=True)
class Columns:
    """The inputs of a network before they are encoded.

    Attributes
    ----------
    columns : tuple of Column
        In the order of the matrix; parts of a date follow each other.
    names : tuple of str
        All columns of the training rows, including those that are left out.
    is_named : bool
        Whether the names are the user's; otherwise columns are identified by position.
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    is_named: bool = True

    @classmethod
    def infer(
        cls,
        frame: Any,
        *,
        categorical: Collection[str] = (),
        numeric: Collection[str] = (),
        ignore: Collection[str] = (),
        note: Callable[[str], None] = warn,
        times: Collection[str] = (),
    ) -> "Columns":
        """Infer the columns from training rows.

        Parameters
        ----------
        frame
            Anything that `xpnet.columns.tabular.as_frame` takes.
        categorical, numeric, ignore : collection of str
            Columns to treat as categories, to treat as numbers, and to leave out.
        note : callable
            Called with a sentence about what was left out.
        times : collection of str
            Columns that are known to be times: these are not mistaken for row numbers.

        Raises
        ------
        InputError
            A column holds neither numbers, dates nor categories, or a name is not a column.
        """
        frame = as_frame(frame)
        columns = infer_columns(frame, categorical, numeric, ignore, note, times)
        return cls(columns, frame.names, frame.is_named)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the user's columns that the model needs."""
        return tuple(dict.fromkeys(column.origin for column in self.columns))

    def matrix(self, frame: Any, tells: bool = True) -> NDArray[np.float64]:
        """Return rows as numbers.

        Parameters
        ----------
        frame
            Anything that `xpnet.columns.tabular.as_frame` takes. Columns are found by name; those of an
            array by position. An array has all columns of the training rows, or only those needed.
        tells
            Whether to warn about categories that no training row had.

        Returns
        -------
        ndarray, shape (rows, columns)
            NaN is a gap; categories are codes, with -1 for an unknown one.

        Raises
        ------
        InputError
            A column is missing, or a value is of another kind than in training.

        Warns
        -----
        UnseenWarning
            Most values of a categorical column did not occur in the training rows.
        """
        frame = unmasked(frame)
        if isinstance(frame, np.ndarray) and self._are_those_of(frame):
            return frame.astype(np.float64)
        frame = as_frame(frame)
        name_of = self.match(frame)
        X = np.empty((len(frame), len(self.columns)))
        last, found = "", None
        news: list[Unseen] = []
        for place, column in enumerate(self.columns):
            name = name_of[column.origin]
            if found is None or column.origin != last:
                read: Callable[[Frame, str], Cells] = text if column.kind == "category" else cells
                last, found = column.origin, read(frame, name)
            # Columns without names had no gaps in training, or the model knows which had some.
            X[:, place] = column.values(frame, name, found, MEND if self.is_named else "correct it")
            if isinstance(found, Text) and (new := Unseen.of_column(column, found, X[:, place])):
                news.append(new)
        tell(news if tells else [])
        return X

    def _are_those_of(self, array: NDArray[Any]) -> bool:
        """Whether an array is already the matrix: converting many columns one by one would be slow."""
        is_plain = all(column.kind == "number" and column.held == "numbers" for column in self.columns)
        is_matrix = array.ndim == 2 and array.shape[1] == len(self.columns) and array.dtype.kind in "biuf"
        return is_plain and is_matrix and len(array) > 0 and not np.isinf(array).any()

    def match(self, frame: Frame) -> dict[str, str]:
        """Return the name that each needed column has in a frame, which may have no rows.

        Raises
        ------
        InputError
            One is missing.
        """
        sources = self.sources
        by_name = set(sources) <= set(frame.names) and not self._goes_on(frame)
        if not (frame.is_named and (self.is_named or by_name)):  # by place
            for known in (self.names, sources):
                if len(frame.names) == len(known):
                    return dict(zip(known, frame.names, strict=True))
            text = [name for name in frame.names if is_text(frame, name)] if not self.is_named else []
            surplus = len(frame.names) - len(sources)
            others = listed(text) if len(text) == surplus > 0 else "the target"
            raise InputError(
                f"there are {len(frame.names)} columns, but the model takes {len(self.names)}: give "
                f"the columns that it was trained on, without {others}"
            )
        missing = [name for name in sources if name not in frame.columns]
        if missing:
            unknown = [name for name in frame.names if name not in self.names]
            hint = did_you_mean(missing[0], unknown)
            hint = hint or (f"; unknown columns: {listed(unknown)}" if unknown else "")
            raise InputError(f"columns are missing: give {listed(missing)}{hint}")
        return dict(zip(sources, sources, strict=True))

    def _goes_on(self, frame: Frame) -> bool:
        """Whether there are more names, which continue a count: 0 to 4, where training had 0 to 3."""
        of_model, others = (
            [int(name) for name in names if name.isdecimal() and len(name) < 20]
            for names in (self.names, frame.names)
        )
        return len(frame.names) > len(self.names) and max(others, default=0) > max(of_model, default=0)

    def overview(self, X: NDArray[Any]) -> str:
        """Return a summary of a matrix: name, kind, gaps and values of each column.

        Parameters
        ----------
        X : ndarray, shape (rows, columns)
            What `matrix` returned.
        """
        rows = [("column", "kind", "gaps", "values")]
        for place, column in enumerate(self.columns[:_MOST_LINES]):
            values = np.asarray(X[:, place], np.float64)
            kind = column.part or ("boolean" if column.held == "booleans" else column.kind)
            present = values[~np.isnan(values)]
            gaps = len(values) - len(present)
            shown_name = shorten(printable(column.name), 30)
            rows.append((shown_name, kind, f"{gaps:,}", _summary(column, present) if len(present) else ""))
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        lines = [
            f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {gaps:>{widths[2]}}  {values}".rstrip()
            for name, kind, gaps, values in rows
        ]
        others = self.columns[_MOST_LINES:]
        if others:
            categories = sum(column.kind == "category" for column in others)
            lines.append(
                f"… and {len(others) - categories} more numeric and {categories} categorical columns"
            )
        return "\n".join(lines)

    def said(self, row: NDArray[Any], most: int) -> dict[str, str]:
        """Return the first values of a row of the matrix as text, by name.

        Parameters
        ----------
        row : ndarray, shape (columns,)
            A row of what `matrix` returned.
        most : int
            Maximum number of columns.
        """
        found: dict[str, str] = {}
        for column, value in zip(self.columns, np.asarray(row, np.float64).tolist(), strict=True):
            if column.part in ("", "days") and len(found) < most:  # a date is shown once, not part by part
                found[column.name] = _said(column, value)
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the columns as JSON-compatible data."""
        described = [column.as_json() for column in self.columns]
        return {"columns": described, "names": list(self.names), "is_named": self.is_named}

    @classmethod
    def from_json(cls, value: Any) -> "Columns":
        """Return the columns that `as_json` described.

        Raises
        ------
        InputError
            The description is invalid.
        """
        match value:
            case {"columns": [_, *_] as described, "names": [*names], "is_named": bool() as is_named} if len(
                value
            ) == 3 and all(isinstance(name, str) for name in names):
                columns = tuple(map(Column.from_json, described))
            case _:
                raise InputError(f"{shown(value)} does not describe columns: get a fresh copy")
        refuse_duplicates([column.name for column in columns], "the description of columns")
        refuse_duplicates(names, "the description of columns")
        dates = {column.name: column.held for column in columns if column.part == "days"}
        is_known = all(column.origin in names for column in columns)
        if not is_known or any(
            dates.get(column.source) != column.held for column in columns if column.source
        ):
            raise InputError(
                "the description has columns that the training rows did not have: get a fresh copy"
            )
        return cls(columns, tuple(names), is_named)


def numbers(num_features: int) -> Columns:
    """Return the columns of an array of numbers: their names are 0, 1, 2 and so on."""
    names = tuple(map(str, range(num_features)))
    return Columns(tuple(Column(name, "number") for name in names), names, is_named=False)


def _summary(column: Column, values: NDArray[np.float64]) -> str:
    """Return the most frequent categories with their counts, or the least and the greatest number."""
    if column.kind == "number":
        ends = [values.min(), values.max()]
        return " … ".join(_date(end) if column.part == "days" else f"{end:.6g}" for end in ends)
    counts = np.bincount(values[values >= 0].astype(np.intp), minlength=len(column.categories))
    order = np.argsort(-counts, kind="stable")[:3]
    found = [f"{shorten(printable(column.categories[k]), 20)} {counts[k]:,}" for k in order]
    more = len(column.categories) - len(found)
    unknown = int((values < 0).sum())
    found += [f"{more:,} more"] if more else []
    return ", ".join(found + ([f"unknown {unknown:,}"] if unknown else []))


def _said(column: Column, value: float) -> str:
    """Return one value of a column in words; a dash for a gap."""
    if np.isnan(value):
        return "–"
    if column.kind == "category":
        return shorten(printable(column.categories[int(value)]), 24) if value >= 0 else "unknown"
    return _date(value) if column.part == "days" else f"{value:.6g}"


def _date(days: float) -> str:
    """Return days since 1970 as a date."""
    instant = datetime.datetime(1970, 1, 1) + datetime.timedelta(days=days)
    return instant.isoformat(" ", "minutes") if days % 1 else instant.date().isoformat()
