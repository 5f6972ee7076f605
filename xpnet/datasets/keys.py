"""The keys of an ``.npz`` file: find misspelt ones."""

import difflib
import re
from collections.abc import Sequence

from xpnet.columns.tabular import listed
from xpnet.datasets.reading import Note
from xpnet.errors import InputError

__all__ = ["KNOWN", "check_keys"]

KNOWN = ("X", "y", "X_val", "y_val", "X_test", "y_test", "sample_weight", "class_names")
"""The keys that are read."""

_ENDS = {"train": "", "training": "", "val": "_val", "valid": "_val", "validation": "_val", "dev": "_val"}
_ENDS |= {"test": "_test", "testing": "_test", "": ""}
_PLAIN = {f"{letter.lower()}{end}": f"{letter}{of}" for letter in "Xy" for end, of in _ENDS.items()}
_PLAIN |= {f"{end}{letter.lower()}": f"{letter}{of}" for letter in "Xy" for end, of in _ENDS.items()}
_PLAIN |= dict.fromkeys(
    ("w", "weight", "weights", "sampleweights", "rowweight", "rowweights"), "sample_weight"
)
_PLAIN |= {"sampleweight": "sample_weight", "classnames": "class_names", "classname": "class_names"}
"""The key that a name means, in lower case and without separators."""

_LONG = ("sampleweight", "sampleweights", "classnames")
"""Names long enough to be recognised with a typo; in a short name, a typo makes another word."""

_STARTS = {"X_": "", "y_": "", "sample_weight": "sample_weight", "class_name": "class_names"}


def check_keys(file: str, keys: Sequence[str], note: Note) -> None:
    """Refuse misspelt keys, and note those that are ignored, since a file may hold other things.

    Parameters
    ----------
    file
        Name of the file in messages.
    keys
        All keys of the file.
    note
        Called with a sentence about keys that are not read.

    Raises
    ------
    InputError
        A key is similar to one that is read.
    """
    others = [key for key in keys if key not in KNOWN]
    misspelt = {key: meant for key in others if (meant := _meant(key)) is not None}
    if misspelt:
        names = [meant for meant in misspelt.values() if meant and meant not in keys]
        whole = len(set(names)) == len(misspelt)  # else two would get the same name, or it is taken
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
    """Return the name that a key is similar to; ``""`` if it only starts like one; None for others."""
    plain = re.sub(r"[\W_]", "", key).lower()
    if plain in _PLAIN:
        return _PLAIN[plain]
    close = difflib.get_close_matches(plain, _LONG, n=1, cutoff=0.85)
    if close:
        return _PLAIN[close[0]]
    return next((meant for start, meant in _STARTS.items() if key.startswith(start)), None)
