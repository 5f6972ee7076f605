"""Errors that a user can mend.

Every message is one line and contains the fix; the command lines print it and exit with status 2.
"""


class XpnetError(Exception):
    """Base of all errors that xpnet raises on purpose."""


class InputError(XpnetError, ValueError):
    """Data, files or settings that cannot be used as they are."""


class DeviceError(XpnetError, RuntimeError):
    """A device that was asked for and cannot be used."""


class RowsWarning(UserWarning):
    """Rows that can be predicted, and are unlike those that the network was trained on."""


class RangeWarning(RowsWarning):
    """Values far from all that training rows held."""


class GapWarning(RowsWarning):
    """A value is missing where no training row lacked it."""


class UnseenWarning(RowsWarning):
    """A column of categories most of whose values no training row had."""
