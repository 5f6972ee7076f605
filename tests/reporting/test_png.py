"""PNG files of pixels."""

import io

import numpy as np
import pytest

from xpnet.reporting.png import png_of


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 1), (4, 7, 3)])
def test_pixels_come_back(shape):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    with image.open(io.BytesIO(png_of(pixels))) as found:
        found.load()
        np.testing.assert_array_equal(np.asarray(found).reshape(shape), pixels)


@pytest.mark.parametrize("shape", [(5, 3, 1), (4, 7, 3)])
def test_pixels_come_back_to_matplotlib(shape):
    image = pytest.importorskip("matplotlib.image")
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    found = np.rint(255 * image.imread(io.BytesIO(png_of(pixels)), format="png"))
    np.testing.assert_array_equal(found.reshape(*shape[:2], -1)[..., : shape[2]], pixels)
