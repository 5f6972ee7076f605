"""Errors that a user can fix, and warnings about rows to predict.

Each error message is one line that contains the fix; the commands print it and exit with status 2.
"""


class XpnetError(Exception):
    """Base class of all errors that xpnet raises on purpose."""


class InputError(XpnetError, ValueError):
    """Data, files or settings cannot be used as given."""


class DeviceError(XpnetError, RuntimeError):
    """The requested device cannot be used."""


class RowsWarning(UserWarning):
    """The rows to predict are unlike those that the network was trained on."""


class RangeWarning(RowsWarning):
    """Values lie far outside the range of the training rows."""


class GapWarning(RowsWarning):
    """Values are missing in a feature that had no gaps in the training rows."""


class UnseenWarning(RowsWarning):
    """Most values of a categorical column did not occur in the training rows."""
