"""One input of a network before it is encoded: its name, and how values become numbers."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from xpnet.columns import words
from xpnet.columns.cells import Cells, Text
from xpnet.columns.instants import Dates
from xpnet.columns.meanings import MEND, as_dates, as_numbers
from xpnet.columns.tabular import Frame
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["Column", "Kind", "Part", "part_of"]

Kind: TypeAlias = Literal["number", "category"]
Part: TypeAlias = Literal["", "days", "month", "weekday", "hour"]

_HELD = ("numbers", "booleans", "durations", "dates", "dates with a time zone")
_DAY, _HOUR = 86_400_000_000, 3_600_000_000  # microseconds


@dataclass(frozen=True)
class Column:
    """One input of a network before it is encoded: a column of the matrix.

    Attributes
    ----------
    name : str
        Unique name of the input.
    kind : {"number", "category"}
        Kind of its values.
    categories : tuple of str
        Values of a category, in the order of their codes.
    source : str
        Name of the user's column, if it differs.
    part : {"", "days", "month", "weekday", "hour"}
        Part of a date: days since 1970-01-01 with a fraction, month 1 to 12, weekday 0 (Monday) to 6, hour 0
        to 23. Dates with a time zone are in UTC.
    held : str
        Kind of values that a column of numbers held in training: numbers, booleans, durations, dates.
    rare : float
        For a category, the expected fraction of new values that did not occur in training.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    source: str = ""
    part: Part = ""
    held: str = "numbers"
    rare: float = field(default=0.0, compare=False)

    @property
    def origin(self) -> str:
        """Name of the user's column."""
        return self.source or self.name

    def values(self, frame: Frame, name: str, found: Cells, fix: str = MEND) -> NDArray[np.float64]:
        """Return the column of the matrix.

        Parameters
        ----------
        frame, name
            The column of new data.
        found
            Its values; for a category as text.
        fix
            Advice of the message about a value that is not a number.

        Raises
        ------
        InputError
            It holds another kind of values than in training.
        """
        if self.part:
            return part_of(as_dates(frame, name, found, self.held), self.part)
        if self.kind == "number":
            return as_numbers(frame, name, found, self.held, fix).values
        assert isinstance(found, Text)
        return found.spread(self._codes(found.words), np.nan)

    def _codes(self, texts: list[str]) -> NDArray[np.float64]:
        """Return the code of each text; -1 for one that is no category."""
        exact = {text: code for code, text in enumerate(self.categories)}
        alike: dict[str, int] = {}
        for text, code in exact.items():
            alike.setdefault(words.key(text), code)
        if alike.keys() <= words.TRUTH.keys():  # if there are no other categories, True and 1 are the same
            for key, code in list(alike.items()):
                alike.setdefault(words.TRUTH[key], code)
        return np.array(
            [exact[text] if text in exact else alike.get(words.key(text), -1) for text in texts], np.float64
        )

    def as_json(self) -> dict[str, Any]:
        """Return the column as JSON-compatible data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "categories": list(self.categories),
            "source": self.source,
            "part": self.part,
            "held": self.held,
            "rare": self.rare,
        }

    @classmethod
    def from_json(cls, value: Any) -> "Column":
        """Return the column that `as_json` described.

        Raises
        ------
        InputError
            The description is invalid.
        """
        # Models saved before `rare` existed do not have it.
        value = {"rare": 0.0, **value} if isinstance(value, dict) else value
        if not isinstance(value, dict) or set(value) != set(cls.__dataclass_fields__):
            raise InputError(f"{shown(value)} does not describe a column: get a fresh copy")
        name, kind, categories = value["name"], value["kind"], value["categories"]
        part, held, source = value["part"], value["held"], value["source"]
        is_text = all(isinstance(item, str) for item in (name, kind, part, held, source))
        if not is_text or not isinstance(categories, list):
            raise InputError(
                f"the description of column {shown(name)} holds something other than text: get a fresh copy"
            )
        is_category, is_date = kind == "category", held.startswith("dates")
        if (
            kind not in get_args(Kind)
            or part not in get_args(Part)
            or held not in _HELD
            or is_category != bool(categories)
            or (is_category and (part or held != "numbers"))
            or bool(part) != is_date
            or bool(source) != (part not in ("", "days"))
            or not all(isinstance(item, str) for item in categories)
            or len(set(categories)) < len(categories)
            or not (type(value["rare"]) in (int, float) and 0 <= value["rare"] <= 1)
        ):
            raise InputError(f"the description of column {shown(name)} makes no sense: get a fresh copy")
        return cls(**value | {"categories": tuple(categories)})


def part_of(dates: Dates, part: str) -> NDArray[np.float64]:
    """Return a part of dates as numbers: see `Column`."""
    instants = dates.values.astype(np.int64)
    values: NDArray[Any]
    if part == "days":
        values = instants / _DAY
    elif part == "month":
        values = dates.values.astype("datetime64[M]").astype(np.int64) % 12 + 1.0
    elif part == "weekday":
        values = (instants // _DAY + 3) % 7 * 1.0  # 1970 began on a Thursday
    else:
        values = instants % _DAY // _HOUR * 1.0
    values[dates.gaps] = np.nan
    return values.astype(np.float64, copy=False)
