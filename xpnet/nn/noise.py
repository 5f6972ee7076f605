"""Counter-based random numbers, computed from a key in the array namespace itself.

Element ``i`` of the numbers of a key is a hash of the key and ``i``. So a training step that draws random
numbers is a pure function of arrays; the numbers have the same bits in every library and on every device; and
each network of a stack gets the same numbers as on its own. Keys are drawn on the host, one for each network
and step. `fold_in` derives a key for each use within the step.

The hash uses only int32, because some libraries have no larger type: it relies on overflow wrapping around,
and a logical shift is an arithmetic one with its sign bits masked off. It is not for cryptography.
"""

import math

from xpnet.errors import InputError
from xpnet.nn.composites import elementwise
from xpnet.typing import Array, Namespace, Share

__all__ = ["fold_in", "random_bits", "uniform"]

# Odd 32-bit constants as int32: 2^32 / 1.618… (the golden ratio), and the two constants of lowbias32.
GOLDEN = 0x9E3779B9 - 2**32
FIRST = 0x7FEB352D
SECOND = 0x846CA68B - 2**32


def fold_in(xp: Namespace, key: Array, number: int) -> Array:
    """Derive a new key from each key and a number: equal inputs give equal keys.

    Parameters
    ----------
    xp
        Array API namespace of the keys.
    key
        ``(*nets,)``, int32.
    number
        Any int32 that identifies the use of the key, such as the number of a layer.

    Returns
    -------
    Array
        ``(*nets,)``, int32. Different keys stay different: for each number, this is a permutation.
    """
    return _folded(xp, key[..., None], number)[..., 0]  # at least 1-D: see `_counter`


def random_bits(xp: Namespace, key: Array, shape: tuple[int, ...], share: Share | None = None) -> Array:
    """Return integers of 16 random bits, uniform in 0 … 65535.

    Each hash gives two of them, which halves the cost.

    Parameters
    ----------
    xp
        Array API namespace of the keys.
    key
        ``(*nets,)``, int32.
    shape
        Shape of the numbers of one key; with a ``share``, of its rows.
    share
        The rows of the batch to return; all by default.

    Returns
    -------
    Array
        ``(*nets, *shape)``, int32.

    Raises
    ------
    InputError
        Keys that are not int32.
    """
    # First all low halves, then all high ones: interleaving them would take several times as long.
    if share is None:
        size = math.prod(shape)
        both = xp.concat(_halves(xp, *_counter(xp, key, (size + 1) // 2)), axis=-1)
        return xp.reshape(both[..., :size], (*key.shape, *shape))
    of_row = math.prod(shape[1:])
    half, begin, end = (share.rows * of_row + 1) // 2, share.begin * of_row, share.end * of_row
    parts = []
    if begin < half:
        parts.append(_halves(xp, *_counter(xp, key, min(end, half) - begin, begin))[0])
    if end > half:
        first = max(begin - half, 0)
        parts.append(_halves(xp, *_counter(xp, key, end - half - first, first))[1])
    return xp.reshape(parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1), (*key.shape, *shape))


def uniform(xp: Namespace, key: Array, shape: tuple[int, ...], dtype: object, begin: int = 0) -> Array:
    """Return floats uniform in [0, 1): multiples of 2^-24, the same in every dtype.

    The numbers of a longer ``shape`` begin with those of a shorter one.

    Parameters
    ----------
    xp
        Array API namespace of the keys.
    key
        ``(*nets,)``, int32.
    shape
        Shape of the numbers of one key.
    dtype
        Floating dtype of the namespace, with at least 24 bits of precision.
    begin
        How many numbers to skip at the start.

    Returns
    -------
    Array
        ``(*nets, *shape)``.

    Raises
    ------
    InputError
        Keys that are not int32.
    """
    values = _fractions(xp, *_counter(xp, key, math.prod(shape), begin), dtype)
    return xp.reshape(values, (*key.shape, *shape))


def _counter(xp: Namespace, key: Array, count: int, begin: int = 0) -> tuple[Array, Array]:
    """Return the numbers ``begin + 1 … begin + count`` and the keys, to be hashed together.

    Raises
    ------
    InputError
        Keys of another dtype, in which the hash would not wrap around correctly.
    """
    if key.dtype != xp.int32:
        raise InputError(f"the keys of random numbers are {key.dtype}: draw them as int32")
    # Tracers in compiled steps have no device, but then there is only one to choose from.
    device = getattr(key, "device", None)
    # At least 1-D, because NumPy warns if a scalar overflows.
    return xp.arange(begin + 1, begin + count + 1, dtype=xp.int32, device=device), key[..., None]


@elementwise
def _folded(_xp: Namespace, key: Array, number: int) -> Array:
    return _mix(_mix(key + GOLDEN) + number)


@elementwise
def _halves(_xp: Namespace, x: Array, key: Array) -> tuple[Array, Array]:
    """Return the low and the high 16 bits of the hashes."""
    x = _hash(x, key)
    high = x >> 16
    high &= 0xFFFF
    x &= 0xFFFF
    return x, high


@elementwise
def _fractions(xp: Namespace, x: Array, key: Array, dtype: object) -> Array:
    """Return the high 24 bits of the hashes as floats in [0, 1)."""
    x = _hash(x, key)
    x >>= 8
    x &= 0xFFFFFF
    values = xp.astype(x, dtype)
    values *= 2.0**-24
    return values


def _hash(x: Array, key: Array) -> Array:
    """Return 32-bit hashes of each number with each key; consumes the numbers.

    The key enters twice, each time between rounds of the hash. If it were added to the counter itself, or to
    a multiple of it, it would only choose a starting point in one long sequence.
    """
    x *= GOLDEN
    x ^= (x >> 16) & 0xFFFF  # the same for all keys so far
    x = x + _mix(key + 1)
    x ^= (x >> 16) & 0xFFFF  # from here on lowbias32, with the second word of the key added in the middle
    x *= FIRST
    x ^= (x >> 15) & 0x1FFFF
    x += _mix(key + GOLDEN)
    x *= SECOND
    x ^= (x >> 16) & 0xFFFF
    return x


def _mix(x: Array) -> Array:
    """Return ``x`` hashed by lowbias32, a permutation of int32; consumes ``x``.

    Source: Chris Wellons, https://nullprogram.com/blog/2018/07/31/. Each bit of the input changes each bit
    of the output with a probability close to 1/2.
    """
    x ^= (x >> 16) & 0xFFFF
    x *= FIRST
    x ^= (x >> 15) & 0x1FFFF
    x *= SECOND
    x ^= (x >> 16) & 0xFFFF
    return x
