"""What goes to another process in the tests of pickling, which can't import the tests themselves."""

import numpy as np
from sweeps import blobs

import xpnet

ROWS = blobs()


def seen(thing):
    """What can be seen of one: predictions, and the text."""
    if isinstance(thing, xpnet.Sweep):
        return [seen(thing.best), thing.rows[0]["val_score"], len(thing.configs)]
    predict = getattr(thing, "predict", None)
    return [repr(thing), None if predict is None else np.asarray(predict(ROWS.X_val)).tolist()]


def there_and_back(things):
    return {name: seen(thing) for name, thing in things.items()}, things
