"""Reads text in a table: gaps, numbers, booleans and dates."""

import re
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GAPS",
    "TRUTH",
    "advice_on",
    "are_codes",
    "booleans",
    "dates",
    "foreign",
    "integers",
    "key",
    "may_mean",
    "numbers",
    "word",
]

GAPS = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>", "?")
"""Words that mean a missing value."""

EXACT = 2.0**53
"""Below it every whole number is a float64."""

_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[Ii]nf(?:inity)?)", re.ASCII)
_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d*)", re.ASCII)
_STARTS = frozenset("+-.0123456789iI")
_CURRENCY = "$€£¥"
_MAY_START = _STARTS | set(_CURRENCY)
_CODE = re.compile(r"0\d+", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
TRUTH = {"true": "1", "false": "0", "1": "true", "0": "false"}
"""What libraries write in place of each other, as `key` has it."""

_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|UTC|[+-]\d\d:?\d\d|[+-]\d\d)?)?",
    re.ASCII,
)
_SPACES = " \u00a0\u2009\u202f"  # normal, of no break, and thin ones
_PLAIN = rf"(?:\d[\d.,'’{_SPACES}]*|[.,]\d+)"  # digits, with whatever is between them
_SIGN = "write plain numbers, without the sign"
_FOREIGN = {
    re.compile(pattern, re.ASCII).fullmatch: fix
    for pattern, fix in {
        r"[+-]?\d{1,3}(,\d{3})+": "write thousands without a comma, or decimals with a point",
        r"[+-]?\d+,\d+": "write decimals with a point",
        rf"[+-]?\d{{1,3}}([,'’{_SPACES}]\d{{3}})+(\.\d+)?": "write numbers without separators",
        rf"[+-]?\d{{1,3}}(\.\d{{3}})+(,\d+)?|[+-]?\d{{1,3}}([{_SPACES}]\d{{3}})+,\d+": (
            "write numbers without separators, and decimals with a point"
        ),
        rf"[+-]?[{_CURRENCY}][{_SPACES}]?[+-]?{_PLAIN}|[+-]?{_PLAIN}[{_CURRENCY}%]": _SIGN,
        r"-?\d+ days [+-]?\d\d:\d\d:\d\d(\.\d+)?": "write durations as numbers, for example of days",
        r"\d{1,2}([./-])\d{1,2}\1(\d\d){1,2}(\D.*)?|\d{4}[/.]\d{1,2}[/.]\d{1,2}(\D.*)?": (
            "write dates as 2020-12-31"
        ),
    }.items()
}
_NOT_NUMBERS = ("write durations as numbers, for example of days", "write dates as 2020-12-31")


def word(value: Any) -> str:
    """Return a value as the text that stands for it as a category: 1, 1.0 and "1" are one."""
    if isinstance(value, str):
        return str.__str__(value).strip()
    value = value.item() if isinstance(value, np.generic) else value
    # Categories may be of another type, as the intervals of pandas.
    if isinstance(value, bool | int) or not isinstance(value, Real | Decimal):
        return str(value)
    number: Any = value
    return str(int(number)) if number == number // 1 and abs(number) < EXACT else repr(float(number))


def may_mean(words: Sequence[str]) -> NDArray[np.bool_]:
    """Return which words may be numbers or dates, in whatever way they are written: it is quick."""
    return np.array([text[:1] in _MAY_START for text in words], bool)


def key(text: str) -> str:
    """Return what words that were written in different ways have in common: 01 and 1.0, True and TRUE."""
    if text[:1] not in _STARTS:
        return text.lower() if text.lower() in _BOOLEANS else text
    if _INTEGER.fullmatch(text) and len(text) < 1000:  # beyond, Python refuses to convert
        return str(int(text))
    if _NUMBER.fullmatch(text):
        number = float(text)
        return word(number) if np.isfinite(number) else text
    return text


def numbers(words: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return words as numbers, and which of them are; the others are NaN."""
    match = _NUMBER.fullmatch
    values = np.array([float(text) if match(text) else np.nan for text in words], np.float64)
    return values, ~np.isnan(values)


def integers(words: Sequence[str]) -> list[int] | None:
    """Return words as integers of 64 bits; None if one is something else."""
    if not all(len(text) < 20 and _INTEGER.fullmatch(text) for text in words):
        return None
    values = [int(text) for text in words]
    return values if all(-(2**63) <= value < 2**63 for value in values) else None


def are_codes(words: Sequence[str]) -> bool:
    """Whether there is a number among the words that starts with a 0 which is no part of its value: 007."""
    return any(_CODE.fullmatch(text) for text in words)


def booleans(words: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return true and false as 1 and 0, and which words are one of them; the others are NaN."""
    values = np.array([_BOOLEANS.get(text.lower(), np.nan) for text in words], np.float64)
    return values, ~np.isnan(values)


def dates(words: Sequence[str]) -> tuple[NDArray[np.datetime64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Read dates and times as ISO 8601 writes them.

    Returns
    -------
    (ndarray, ndarray, ndarray)
        Microseconds since 1970-01-01, in UTC where there is a zone; which of the words are dates; and which
        of them have a zone.
    """
    found = [_DATE.fullmatch(text) for text in words]
    values = np.array([_instant(match) for match in found], "datetime64[us]")
    has_zone = np.array([match is not None and match[3] is not None for match in found], bool)
    for place in np.flatnonzero(has_zone):
        match = found[place]
        values[place] -= _offset(match[3]) if match is not None else 0
    return values, ~np.isnat(values), has_zone


def _instant(match: re.Match[str] | None) -> np.datetime64:
    if match is None:
        return np.datetime64("NaT", "us")
    try:
        return np.datetime64(f"{match[1]}T{(match[2] or '00:00')[:15]}", "us")
    except ValueError:  # no such day, as February 30, or no such time
        return np.datetime64("NaT", "us")


def _offset(zone: str) -> np.timedelta64:
    if zone in ("Z", "UTC"):
        return np.timedelta64(0, "us")
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = 60 * int(digits[:2]) + int(digits[2:])
    return np.timedelta64(60_000_000 * (-minutes if zone[0] == "-" else minutes), "us")


def foreign(words: Sequence[str]) -> tuple[list[str], NDArray[np.bool_]]:
    """Return what to do about each word that is a number or date as people, countries or libraries write it.

    Returns
    -------
    (list of str, ndarray)
        The fixes, empty for what is none; and which are.
    """
    fixes = [next((fix for match, fix in _FOREIGN.items() if match(text)), "") for text in words]
    return fixes, np.array([fix != "" for fix in fixes], bool)


def advice_on(words: Sequence[str]) -> tuple[str, str]:
    """Return a word that is a number as people write it, and what to do; nothing if most words are none."""
    fixes, are_foreign = foreign(words)
    first = next((place for place, fix in enumerate(fixes) if fix and not fix.endswith(_NOT_NUMBERS)), None)
    if first is None or 2 * int((are_foreign | numbers(words)[1]).sum()) <= len(words):
        return "", ""
    return words[first], fixes[first]
