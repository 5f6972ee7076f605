"""Messages in Python name the keywords for the flags in them."""

import numpy as np
import pytest
from sweeps import blobs

import xpnet
from xpnet.errors import InputError
from xpnet.runs.keywords import in_python


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("give --target NAME", " (in Python target=)"),
        ("drop --no-flip or --batch-size 3", " (in Python batch_size=, flip=False)"),
        ("use --target A, or another --target", " (in Python target=)"),
        ("no flag at all: mend it", ""),
        ("a--b and -- alone", ""),
        ("--black -1 (in Python shades=(-1, 1))", ""),
        ("give --dataset a file", ""),  # in Python it is X
    ],
)
def test_flags_and_their_keywords(message, named):
    assert in_python(message) == message + named


def test_errors_of_fit_and_search_name_keywords():
    table = {"a": np.arange(40.0), "b": np.arange(40) % 2}
    with pytest.raises(InputError, match=r"--target 'c' .*\(in Python target=\)$"):
        xpnet.fit(table, target="c")
    with pytest.raises(InputError, match=r"--tensorboard \(in Python tensorboard=\)$"):
        xpnet.search(blobs(), grid={"reg": [0.0, 1.0]}, tensorboard=True, epochs=1, quiet=True)


def test_notes_of_fit_name_keywords():
    with pytest.warns(UserWarning, match=r"--batch-size 50 is more .*\(in Python batch_size=\)$"):
        xpnet.fit(blobs(), hidden=(4,), epochs=1, batch_size=50)
