"""Random numbers in the namespace: the same everywhere, each key's own, and as random as they should be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.errors import InputError
from xpnet.nn import noise
from xpnet.typing import Share

NETS = [(), (3,), (2, 3)]
SHAPES = [(), (0,), (1,), (2,), (7,), (3, 5), (2, 0, 3), (2, 3, 4)]
WORD = 2**32 - 1


def int32(value):
    """The 32 bits of ``value`` as a signed number."""
    return (value & WORD) - 2**32 if value & 2**31 else value & WORD


def lowbias32(x):
    """Chris Wellons's function as he publishes it, on unsigned numbers."""
    x &= WORD
    x ^= x >> 16
    x = x * 0x7FEB352D & WORD
    x ^= x >> 15
    x = x * 0x846CA68B & WORD
    return x ^ x >> 16


def inverse_of_lowbias32(x):
    """Its steps taken back, each constant by its inverse modulo 2^32."""
    x &= WORD
    x ^= x >> 16
    x = x * pow(0x846CA68B, -1, 2**32) & WORD
    x ^= x >> 15 ^ x >> 30
    x = x * pow(0x7FEB352D, -1, 2**32) & WORD
    return x ^ x >> 16


def hash_by_definition(key, counter):
    """One hash of 32 bits, in Python's integers that never overflow."""
    x = counter * 0x9E3779B9 & WORD
    x ^= x >> 16
    x = x + lowbias32(key + 1) & WORD
    x ^= x >> 16
    x = x * 0x7FEB352D & WORD
    x ^= x >> 15
    x = x + lowbias32(key + 0x9E3779B9) & WORD
    x = x * 0x846CA68B & WORD
    return x ^ x >> 16


def some_keys(nets, seed=0):
    return np.random.default_rng(seed).integers(-(2**31), 2**31, nets, dtype=np.int32)


# What they are, on every device


@pytest.mark.parametrize("key", [0, 1, -1, 12345, 2**31 - 1, -(2**31)])
def test_values_by_their_definition(device, key):
    hashes = [hash_by_definition(key, counter) for counter in range(1, 8)]
    on_device = device.put(np.array(key, np.int32))

    bits = device.to_host(noise.random_bits(device.xp, on_device, (7,)))
    assert bits.dtype == np.int32
    assert bits.tolist() == ([h & 0xFFFF for h in hashes[:4]] + [h >> 16 for h in hashes[:4]])[:7]

    u = device.to_host(noise.uniform(device.xp, on_device, (7,), device.xp.float32))
    assert u.dtype == np.float32
    assert u.tolist() == [(h >> 8) / 2**24 for h in hashes]

    folded = device.to_host(noise.fold_in(device.xp, on_device, 5))
    assert folded.dtype == np.int32
    assert folded == int32(lowbias32(lowbias32(key + 0x9E3779B9) + 5))


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_on_every_device(device, nets, shape):
    xp, keys = device.xp, some_keys(nets)
    on_device = device.put(keys)
    bits = noise.random_bits(xp, on_device, shape)
    u = noise.uniform(xp, on_device, shape, xp.float32)
    assert tuple(bits.shape) == tuple(u.shape) == (*nets, *shape)
    assert bits.device == on_device.device
    np.testing.assert_array_equal(device.to_host(bits), noise.random_bits(np, keys, shape))
    np.testing.assert_array_equal(device.to_host(u), noise.uniform(np, keys, shape, np.float32))
    np.testing.assert_array_equal(device.to_host(on_device), keys)  # not written to


@pytest.mark.parametrize("nets", NETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stack_has_of_each_key_what_it_gives_alone(nets, shape):
    keys = some_keys(nets)
    bits, u = noise.random_bits(np, keys, shape), noise.uniform(np, keys, shape, np.float64)
    folded = noise.fold_in(np, keys, 9)
    for net in np.ndindex(nets):
        np.testing.assert_array_equal(bits[net], noise.random_bits(np, keys[net], shape))
        np.testing.assert_array_equal(u[net], noise.uniform(np, keys[net], shape, np.float64))
        assert folded[net] == noise.fold_in(np, keys[net], 9)


def test_overflow_warns_of_nothing():
    """Without a device's context, which would silence it; keys that are scalars and arrays without axes."""
    for key in (np.int32(2**31 - 1), np.array(2**31 - 1, np.int32), np.array([2**31 - 1], np.int32)):
        noise.random_bits(np, key, ())
        noise.uniform(np, key, (3,), np.float32)
        noise.fold_in(np, key, 2**31 - 1)


def test_uniform_numbers_are_the_same_in_every_dtype_and_of_24_bits():
    key = np.array(3, np.int32)
    single, double = (noise.uniform(np, key, (1000, 10), dtype) for dtype in (np.float32, np.float64))
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    np.testing.assert_array_equal(single, double)
    np.testing.assert_array_equal(double * 2**24, np.floor(double * 2**24))
    assert single.min() >= 0
    assert single.max() < 1


def test_a_longer_row_of_uniform_numbers_begins_with_the_shorter():
    key = np.array(3, np.int32)
    longer = noise.uniform(np, key, (100, 6), np.float32)
    np.testing.assert_array_equal(noise.uniform(np, key, (7, 6), np.float32), longer[:7])


def test_keys_that_would_not_wrap_are_refused(device):
    keys = device.put(np.array([1, 2]))
    for draw in (
        lambda: noise.random_bits(device.xp, keys, (3,)),
        lambda: noise.uniform(device.xp, keys, (3,), device.xp.float32),
    ):
        with pytest.raises(InputError, match=r"int64: draw them as int32$"):
            draw()


# How random they are. All is fixed, so a bound of 5 standard deviations fails for a cause.

KEYS = {
    "adjacent": np.arange(-16, 16, dtype=np.int32),
    "powers of two": np.array([1 << i for i in range(31)] + [-(2**31)], np.int32),
    "steps of the counter's constant": np.array([int32(i * 0x9E3779B9) for i in range(32)], np.int32),
    "random": some_keys((32,), seed=1),
}
kinds = pytest.mark.parametrize("kind", list(KEYS))
COUNT = 20_000


def deviations(*values, values_of_each):
    """Chi-squared of how often each row's combinations occur, in standard deviations."""
    code = np.zeros(values[0].shape, np.int64)
    for value in values:
        code = code * values_of_each + value
    cells = values_of_each ** len(values)
    rows, n = code.shape
    code += cells * np.arange(rows)[:, None]
    counts = np.bincount(code.ravel(), minlength=rows * cells).reshape(rows, cells)
    chi2 = ((counts - n / cells) ** 2 / (n / cells)).sum(axis=1)
    return (chi2 - (cells - 1)) / np.sqrt(2 * (cells - 1))


def test_the_measure_of_deviations_sees_what_is_not_random():
    counting = np.arange(COUNT)[None, :] % 16
    assert abs(deviations(np.random.default_rng(0).integers(16, size=(1, COUNT)), values_of_each=16)) < 4
    assert deviations(counting, values_of_each=16) < -2  # too even
    assert deviations(counting[:, 1:], counting[:, :-1], values_of_each=16) > 100


@kinds
def test_mean_and_variance(kind):
    u = noise.uniform(np, KEYS[kind], (COUNT,), np.float64)
    assert np.abs((u.mean(axis=1) - 1 / 2) * np.sqrt(12 * COUNT)).max() < 4.5
    assert np.abs((u.var(axis=1) - 1 / 12) * np.sqrt(180 * COUNT)).max() < 4.5
    bits = noise.random_bits(np, KEYS[kind], (COUNT,))
    assert bits.min() >= 0
    assert bits.max() < 2**16
    assert np.abs((bits.mean(axis=1) / 2**16 - 1 / 2) * np.sqrt(12 * COUNT)).max() < 4.5


@kinds
@pytest.mark.parametrize("low", [0, 4, 8])
def test_values_are_equally_frequent(kind, low):
    bits = noise.random_bits(np, KEYS[kind], (COUNT,)) >> low & 0xFF
    assert deviations(bits, values_of_each=256).max() < 5


@kinds
@pytest.mark.parametrize("low", [0, 6, 12])
@pytest.mark.parametrize("lag", [1, 2, 64, COUNT // 2])  # the last: both halves of one hash
def test_numbers_of_a_key_are_independent_of_each_other(kind, low, lag):
    bits = noise.random_bits(np, KEYS[kind], (COUNT,)) >> low & 0xF
    assert deviations(bits[:, lag:], bits[:, :-lag], values_of_each=16).max() < 5


@kinds
@pytest.mark.parametrize("low", [0, 6, 12])
def test_keys_are_independent_of_each_other(kind, low):
    bits = noise.random_bits(np, KEYS[kind], (COUNT,)) >> low & 0xF
    for step in (1, 2, 5):
        assert deviations(bits[step:], bits[:-step], values_of_each=16).max() < 5


def test_keys_whose_first_words_are_alike_are_independent():
    """The hash with one round less after that word fails this in every second pair."""
    word = some_keys((33,), seed=2)
    key = np.array([int32(inverse_of_lowbias32(int(w)) - 1) for w in word], np.int32)
    assert [lowbias32(int(k) + 1) for k in key] == [int(w) & WORD for w in word]
    steps = [1 << i for i in range(32)] + [0x9E3779B9]
    near = np.array(
        [int32(inverse_of_lowbias32(int(w) + step) - 1) for w, step in zip(word, steps, strict=True)],
        np.int32,
    )
    one, other = (noise.random_bits(np, keys, (COUNT,)) for keys in (key, near))
    for low in (0, 6, 12):
        assert deviations(one >> low & 0xF, other >> low & 0xF, values_of_each=16).max() < 5
    assert deviations(one[:, 1:] >> 12, other[:, :-1] >> 12, values_of_each=16).max() < 5


@kinds
def test_no_key_continues_another(kind):
    """Correlations at all distances: a key that were only a place in one sequence would show."""
    u = np.sqrt(12) * (noise.uniform(np, KEYS[kind], (COUNT,), np.float64) - 0.5)
    spectra = np.fft.rfft(u, n=2 * COUNT, axis=1)
    for step in (1, 2):
        products = spectra[step:] * np.conj(spectra[:-step])
        correlations = np.fft.irfft(products, axis=1) / np.sqrt(COUNT)
        assert np.abs(correlations).max() < 6.5  # of a million numbers


def test_no_two_masks_are_equal():
    keys = np.concatenate([KEYS[kind] for kind in ("adjacent", "random")])
    masks = {(row < 2**15).tobytes() for row in noise.random_bits(np, keys, (200,))}
    assert len(masks) == len(keys)
    assert abs(np.mean([np.frombuffer(mask, bool).mean() for mask in masks]) - 0.5) < 0.02


def test_keys_that_are_folded_in_are_all_different():
    keys = np.arange(-500, 500, dtype=np.int32)
    folded = [keys, *(noise.fold_in(np, keys, number) for number in (*range(20), -1, 2**31 - 1, -(2**31)))]
    assert len(np.unique(folded)) > np.size(folded) - 3  # by chance 0.06 of 23,000 in 2^32 coincide
    bits = noise.random_bits(np, np.stack(folded[1:3]), (8000,)) >> 12
    assert deviations(bits[0], bits[1], values_of_each=16).max() < 5


@given(
    rows=st.integers(1, 12),
    units=st.integers(1, 5),
    begin=st.integers(0, 11),
    count=st.integers(1, 12),
    nets=st.sampled_from([(), (2,)]),
)
def test_a_share_of_the_rows_has_their_numbers(rows, units, begin, count, nets):
    begin = min(begin, rows - 1)
    end = min(begin + count, rows)
    share = Share(begin, end, rows, 1.0)
    keys = np.arange(7, 7 + math.prod(nets), dtype=np.int32).reshape(nets)
    whole = noise.random_bits(np, keys, (rows, units))
    part = noise.random_bits(np, keys, (end - begin, units), share)
    np.testing.assert_array_equal(part, whole[..., begin:end, :])
    whole = noise.uniform(np, keys, (rows, units), np.float64)
    part = noise.uniform(np, keys, (end - begin, units), np.float64, begin * units)
    np.testing.assert_array_equal(part, whole[..., begin:end, :])
