"""The namespace of NumPy, with fast NumPy-only versions of the composites.

It is a separate module, so that NumPy itself is not modified and this namespace can be pickled by name.
"""

import numpy as np

from xpnet.device.by_numpy import COMPOSITES

globals().update({name: value for name, value in vars(np).items() if not name.startswith("__")})
composites = COMPOSITES
