"""The keys of an ``.npz`` file: what each was meant to be, where it is no name that is read."""

import difflib
import re
from collections.abc import Sequence

from xpnet.columns.tabular import listed
from xpnet.datasets.reading import Note
from xpnet.errors import InputError

__all__ = ["KNOWN", "check_keys"]

KNOWN = ("X", "y", "X_val", "y_val", "X_test", "y_test", "sample_weight", "class_names")
"""The names that are read."""

_ENDS = {"train": "", "training": "", "val": "_val", "valid": "_val", "validation": "_val", "dev": "_val"}
_ENDS |= {"test": "_test", "testing": "_test", "": ""}
_PLAIN = {f"{letter.lower()}{end}": f"{letter}{of}" for letter in "Xy" for end, of in _ENDS.items()}
_PLAIN |= {f"{end}{letter.lower()}": f"{letter}{of}" for letter in "Xy" for end, of in _ENDS.items()}
_PLAIN |= dict.fromkeys(
    ("w", "weight", "weights", "sampleweights", "rowweight", "rowweights"), "sample_weight"
)
_PLAIN |= {"sampleweight": "sample_weight", "classnames": "class_names", "classname": "class_names"}
"""What a name is meant to be, without capitals and what joins its words."""

_LONG = ("sampleweight", "sampleweights", "classnames")
"""Names in which a slip of the finger still leaves them known; in short ones it makes another word."""

_STARTS = {"X_": "", "y_": "", "sample_weight": "sample_weight", "class_name": "class_names"}


def check_keys(file: str, keys: Sequence[str], note: Note) -> None:
    """Refuse keys that are misspelt, and tell of those that are left out: a file may hold other things.

    Parameters
    ----------
    file
        What to call it in a message.
    keys
        All that it has.
    note
        Told of those that are not read.

    Raises
    ------
    InputError
        One is close to a name that is read.
    """
    others = [key for key in keys if key not in KNOWN]
    misspelt = {key: meant for key in others if (meant := _meant(key)) is not None}
    if misspelt:
        names = [meant for meant in misspelt.values() if meant and meant not in keys]
        whole = len(set(names)) == len(misspelt)  # else two of them have one name, or it is taken
        it = "it" if len(misspelt) == 1 else "them"
        fix = f"rename {it} {listed(names)}, or drop {it}" if whole else f"rename or drop {it}"
        known = ", ".join(KNOWN)
        raise InputError(
            f"{file} has {listed(list(map(ascii, misspelt)))}: {fix}; the known keys are {known}"
        )
    if others:
        are = "is" if len(others) == 1 else "are"
        note(f"{file}: {listed(list(map(ascii, others)))} {are} not read, only {', '.join(KNOWN)}")


def _meant(key: str) -> str | None:
    """Return the name that a key is close to; empty for one that only begins as such; None for another."""
    plain = re.sub(r"[\W_]", "", key).lower()
    if plain in _PLAIN:
        return _PLAIN[plain]
    close = difflib.get_close_matches(plain, _LONG, n=1, cutoff=0.85)
    if close:
        return _PLAIN[close[0]]
    return next((meant for start, meant in _STARTS.items() if key.startswith(start)), None)
