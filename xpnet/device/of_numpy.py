"""The namespace of NumPy, with what is fast on NumPy alone in the places of composites of the maths.

A module of its own, not NumPy changed, so that it can be pickled by its name.
"""

import numpy as np

from xpnet.device.by_numpy import COMPOSITES

globals().update({name: value for name, value in vars(np).items() if not name.startswith("__")})
composites = COMPOSITES
