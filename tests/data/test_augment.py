"""Augmentation: each image by a plain NumPy oracle, the draws' statistics, stacks, views, refusals."""

import numpy as np
import pytest

from xpnet.data.augment import Augmentation, augment, check
from xpnet.data.views import check_views, views
from xpnet.errors import InputError
from xpnet.nn import noise

SHAPES = [(6, 5, 3), (4, 7, 1), (8, 8, 2)]
SETTINGS = {
    "flip": Augmentation(flip=True),
    "shift": Augmentation(shift=3),
    "flip and shift": Augmentation(flip=True, shift=2),
    "cutout": Augmentation(cutout=3),
    "even cutout": Augmentation(cutout=4),
    "flip, shift and cutout": Augmentation(flip=True, shift=1, cutout=2),
}
ROTATIONS = {
    "rotation": Augmentation(rotation=20.0),
    "any rotation": Augmentation(rotation=180.0),
    "everything": Augmentation(flip=True, shift=2, rotation=30.0, cutout=3),
}
BATCH = 20


def some_images(image_shape, *lead, dtype="uint8"):
    values = np.random.default_rng(0).integers(0, 256, (*lead, int(np.prod(image_shape))))
    return values.astype(dtype)


def some_keys(nets=()):
    return np.random.default_rng(1).integers(-(2**31), 2**31, nets, dtype=np.int32)


# The oracle: one image at a time


def draws(how, image_shape, key, batch, dtype="float32"):
    """What is drawn for each row: flip, down, right, angle, and the cutout's top and left."""
    height, width, _ = image_shape
    u = noise.uniform(np, key, (batch, 6), np.dtype(dtype)).astype(float)
    reach = 2 * how.shift + 1
    return [
        (
            how.flip and row[0] < 0.5,
            int(row[1] * reach) - how.shift,
            int(row[2] * reach) - how.shift,
            np.deg2rad((2 * row[3] - 1) * how.rotation),
            int(row[4] * height) - how.cutout // 2,
            int(row[5] * width) - how.cutout // 2,
        )
        for row in u
    ]


def shifted(image, down, right, reach):
    """The image read from ``down`` and ``right`` of its first pixel on, padded by NumPy."""
    height, width, _ = image.shape
    padded = np.pad(image, [(reach, reach), (reach, reach), (0, 0)], mode="reflect")
    return padded[reach + down : reach + down + height, reach + right : reach + right + width]


def rotated(image, flip, down, right, angle):
    """Bilinear, point by point, in an image padded so far that every point lies within."""
    height, width, channels = image.shape
    far = 2 * (height + width)
    padded = np.pad(image.astype(float), [(far, far), (far, far), (0, 0)], mode="reflect")
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    out = np.empty((height, width, channels))
    for y in range(height):
        for x in range(width):
            dy, dx = y - middle_y, x - middle_x
            if flip:
                dx = -dx
            at_y = middle_y + down + dy * np.cos(angle) - dx * np.sin(angle) + far
            at_x = middle_x + right + dy * np.sin(angle) + dx * np.cos(angle) + far
            y0, x0 = int(at_y), int(at_x)
            fy, fx = at_y - y0, at_x - x0
            out[y, x] = (1 - fy) * ((1 - fx) * padded[y0, x0] + fx * padded[y0, x0 + 1]) + fy * (
                (1 - fx) * padded[y0 + 1, x0] + fx * padded[y0 + 1, x0 + 1]
            )
    return out


def oracle(how, images, image_shape, key, fill=None):
    """What `augment` returns for one network; of uint8 images with a rotation, before rounding."""
    dtype = "float64" if images.dtype == "float64" else "float32"
    fill = np.zeros(images.shape[-1]) if fill is None else fill
    out = []
    for image, draw in zip(images, draws(how, image_shape, key, len(images), dtype), strict=True):
        flip, down, right, angle, top, left = draw
        pixels = image.reshape(image_shape)
        if how.rotation:
            pixels = rotated(pixels, flip, down, right, angle)
        else:
            pixels = shifted(pixels, down, right, how.shift)
            if flip:
                pixels = pixels[:, ::-1]
        if how.cutout:
            pixels = pixels.copy()
            square = (slice(max(top, 0), top + how.cutout), slice(max(left, 0), left + how.cutout))
            pixels[square] = fill.reshape(image_shape)[square]
        out.append(pixels.reshape(-1))
    return np.stack(out)


@pytest.mark.parametrize("image_shape", SHAPES)
@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_moved_and_cut_images(device, image_shape, name, kind):
    how, key = SETTINGS[name], some_keys()
    images = some_images(image_shape, BATCH, dtype=kind)
    fill = some_images(image_shape, dtype=kind)[::-1].copy()
    given = [device.put(a) for a in (images, key, fill)]

    out = augment(device.xp, how, given[0], image_shape, given[1], fill=given[2])

    assert out.dtype == given[0].dtype
    assert out.device == given[0].device
    np.testing.assert_array_equal(device.to_host(out), oracle(how, images, image_shape, key, fill))
    for array, value in zip(given, (images, key, fill), strict=True):
        np.testing.assert_array_equal(device.to_host(array), value)  # not written to


@pytest.mark.parametrize("image_shape", SHAPES)
@pytest.mark.parametrize("name", list(ROTATIONS))
def test_rotated_images(device, dtype, assert_close, image_shape, name):
    how, key = ROTATIONS[name], some_keys()
    images = some_images(image_shape, BATCH, dtype=dtype)
    fill = some_images(image_shape, dtype=dtype)
    out = augment(device.xp, how, device.put(images), image_shape, device.put(key), fill=device.put(fill))
    # Where a point is rounded by 1e-6 of the image's size, the value changes by as much of its range.
    assert_close(out, oracle(how, images, image_shape, key, fill), {"float32": 1e-5, "float64": 1e-12}[dtype])


@pytest.mark.parametrize("name", list(ROTATIONS))
def test_rotated_bytes_are_rounded(device, name):
    how, key, image_shape = ROTATIONS[name], some_keys(), SHAPES[0]
    images = some_images(image_shape, BATCH)
    images[:2] = [[0], [255]]
    out = augment(device.xp, how, device.put(images), image_shape, device.put(key))
    out = device.to_host(out)
    assert out.dtype == np.uint8
    exact = oracle(how, images, image_shape, key)
    assert np.abs(out - exact).max() <= 0.5 + 1e-3
    if not how.cutout:
        np.testing.assert_array_equal(out[:2], images[:2])  # neither below 0 nor above 255


def test_a_positive_angle_turns_clockwise():
    rng = np.random.default_rng(2)
    image = rng.standard_normal((4, 4, 1))
    images, key = np.stack([image.reshape(-1)] * 4000), some_keys()
    how = Augmentation(rotation=180.0)
    degrees = np.rad2deg([draw[3] for draw in draws(how, (4, 4, 1), key, 4000, "float64")])
    out = augment(np, how, images, (4, 4, 1), key)
    for turns in (-1, 0, 1):
        nearest = np.argmin(np.abs(degrees - 90 * turns))
        assert abs(degrees[nearest] - 90 * turns) < 0.2
        by_numpy = np.rot90(image, -turns)  # which turns the other way round
        np.testing.assert_allclose(out[nearest].reshape(4, 4, 1), by_numpy, rtol=0, atol=0.05)


@pytest.mark.parametrize("image_shape", [(1, 1, 3), (1, 6, 2), (6, 1, 1), (2, 9, 1)])
def test_narrow_images_are_mirrored_as_often_as_it_takes(image_shape):
    how, key = Augmentation(flip=True, rotation=180.0), some_keys()
    images = some_images(image_shape, BATCH, dtype="float64")
    out = augment(np, how, images, image_shape, key)
    np.testing.assert_allclose(out, oracle(how, images, image_shape, key), rtol=0, atol=1e-9)


def test_nothing_is_cut_to_zero_unless_said_so():
    images = some_images((6, 5, 3), BATCH) // 2 + 1
    how, key = Augmentation(cutout=3), some_keys()
    out = augment(np, how, images, (6, 5, 3), key)
    assert (out == 0).any()
    np.testing.assert_array_equal(out, oracle(how, images, (6, 5, 3), key))


def test_a_fill_of_floats_is_rounded_for_bytes():
    fill = np.full(90, 3.7)
    out = augment(np, Augmentation(cutout=3), some_images((6, 5, 3), 1) * 0, (6, 5, 3), some_keys(), fill)
    assert set(np.unique(out)) == {0, 4}


# The draws


def test_draws_are_uniform_and_independent():
    """Read off the images: each pixel of an image tells its place."""
    side, batch, reach = 9, 6000, 3
    y, x = np.mgrid[:side, :side]
    image = np.stack([y, x], axis=-1).astype(np.uint8).reshape(1, -1)
    how = Augmentation(flip=True, shift=reach)
    images = np.repeat(image, batch, axis=0)
    out = augment(np, how, images, (side, side, 2), some_keys()).reshape(batch, side, side, 2)
    middle, steps = out[:, side // 2, side // 2].astype(int) - side // 2, 2 * reach + 1
    flip = (out[:, 4, 5, 1] < out[:, 4, 3, 1]).astype(int)
    code = (flip * steps + middle[:, 0] + reach) * steps + middle[:, 1] + reach
    counts = np.bincount(code, minlength=2 * steps**2)
    assert len(counts) == 2 * steps**2
    expected = batch / len(counts)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi2 - (len(counts) - 1)) < 4 * np.sqrt(2 * (len(counts) - 1))


def test_angles_and_centres_are_uniform():
    how = Augmentation(rotation=15.0, cutout=3)
    drawn = draws(how, (8, 6, 1), some_keys(), 6000)
    angles = np.rad2deg([draw[3] for draw in drawn])
    assert np.abs(angles).max() <= 15
    assert abs(angles.mean()) < 4 * 15 / np.sqrt(3 * 6000)
    assert abs(angles.std() / (15 / np.sqrt(3)) - 1) < 0.03
    for i, n in ((4, 8), (5, 6)):
        counts = np.bincount([draw[i] + 1 for draw in drawn], minlength=n)
        assert len(counts) == n
        assert np.abs(counts / (6000 / n) - 1).max() < 0.15


def test_a_row_is_the_same_in_a_batch_of_any_size():
    images, key, how = some_images((6, 5, 3), 12), some_keys(), ROTATIONS["everything"]
    out = augment(np, how, images, (6, 5, 3), key)
    np.testing.assert_array_equal(augment(np, how, images[:5], (6, 5, 3), key), out[:5])


def test_one_technique_leaves_the_draws_of_another():
    images, key = some_images((6, 6, 1), BATCH), some_keys()
    plain = augment(np, Augmentation(shift=2), images, (6, 6, 1), key)
    cut = augment(np, Augmentation(shift=2, cutout=1), images, (6, 6, 1), key)
    assert ((plain != cut).sum(axis=1) <= 1).all()


# Stacks


@pytest.mark.parametrize("nets", [(), (3,), (2, 3)])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["flip, shift and cutout", "everything"])
def test_each_network_of_a_stack_is_as_alone(device, nets, shared, name):
    how, image_shape, keys = (SETTINGS | ROTATIONS)[name], (6, 5, 3), some_keys(nets)
    images = some_images(image_shape, *(() if shared else nets), 7)
    out = augment(device.xp, how, device.put(images), image_shape, device.put(keys))
    assert tuple(out.shape) == (*nets, 7, 90)
    for net in np.ndindex(nets):
        own = device.put(images if shared else images[net].copy())
        alone = augment(device.xp, how, own, image_shape, device.put(np.array(keys[net])))
        np.testing.assert_array_equal(device.to_host(out[(*net, ...)]), device.to_host(alone))


def test_one_key_changes_the_images_of_all_networks_alike():
    images, key = some_images((6, 5, 3), 3, 7), some_keys()
    out = augment(np, SETTINGS["flip and shift"], images, (6, 5, 3), key)
    for net in range(3):
        np.testing.assert_array_equal(
            out[net], augment(np, SETTINGS["flip and shift"], images[net], (6, 5, 3), key)
        )


def test_an_empty_batch(device):
    out = augment(
        device.xp,
        ROTATIONS["everything"],
        device.put(np.zeros((2, 0, 90), np.uint8)),
        (6, 5, 3),
        device.put(some_keys((2,))),
    )
    assert tuple(out.shape) == (2, 0, 90)


# Nothing to do, and what is refused


def test_no_strength_changes_nothing():
    images = some_images((6, 5, 3), BATCH)
    assert not Augmentation()
    assert augment(np, Augmentation(), images, (6, 5, 3), some_keys()) is images
    check(Augmentation(), None)  # suits all data
    for how in (*SETTINGS.values(), *ROTATIONS.values()):
        assert how


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shift": -1}, "shift of images is -1 pixels: give 0 or more"),
        ({"rotation": -1.0}, "rotation of images is -1.0 degrees: give 0 to 180"),
        ({"rotation": 181.0}, "rotation of images is 181.0 degrees: give 0 to 180"),
        ({"rotation": float("nan")}, "rotation of images is nan degrees: give 0 to 180"),
        ({"cutout": -2}, "cutout's side is -2 pixels: give 0 or more"),
    ],
)
def test_strengths_out_of_range_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**setting)


@pytest.mark.parametrize(
    ("how", "image_shape", "message"),
    [
        (Augmentation(flip=True), None, "augmentation needs images, but these data have no height"),
        (Augmentation(flip=True), (8, 8), "augmentation needs images"),
        (
            Augmentation(shift=5),
            (6, 5, 3),
            "shift of 5 pixels is too large for images of 6×5: give at most 4",
        ),
        (Augmentation(shift=1), (1, 9, 1), "give at most 0"),
        (Augmentation(cutout=6), (6, 5, 3), "cutout of side 6 covers images of 6×5: give at most 5"),
    ],
)
def test_what_the_images_cannot_have_is_refused(how, image_shape, message):
    with pytest.raises(InputError, match=message):
        check(how, image_shape)
    with pytest.raises(InputError, match=message):
        augment(np, how, np.zeros((2, 90), np.uint8), image_shape, some_keys())


def test_rows_of_another_length_are_refused():
    images = np.zeros((2, 64), np.uint8)
    with pytest.raises(InputError, match="rows of 64 features are not images of 6×5×3: give rows of 90"):
        augment(np, Augmentation(flip=True), images, (6, 5, 3), some_keys())
    with pytest.raises(InputError, match="rows of 64 features are not images of 6×5×3: give rows of 90"):
        views(np, "flip", images, (6, 5, 3))


# Views


@pytest.mark.parametrize("lead", [(4,), (2, 4)])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("shift", [1, 3])
def test_views(device, lead, kind, shift):
    image_shape = (6, 5, 3)
    images = some_images(image_shape, *lead, dtype=kind)
    given = device.put(images)
    steps = [(down, right) for down in (0, -shift, shift) for right in (0, -shift, shift)]
    expected = []
    for step in steps:
        each = [shifted(image.reshape(image_shape), *step, shift) for image in images.reshape(-1, 90)]
        expected += [np.reshape(each, images.shape), np.reshape(np.flip(each, axis=2), images.shape)]

    for kind_of_view, count in (("none", 1), ("flip", 2), ("flip-shift", 18)):
        found = list(views(device.xp, kind_of_view, given, image_shape, shift))
        assert len(found) == count
        assert found[0] is given
        for view, values in zip(found, expected, strict=False):
            assert view.dtype == given.dtype
            np.testing.assert_array_equal(device.to_host(view), values)
    np.testing.assert_array_equal(device.to_host(given), images)


def test_the_only_view_of_what_is_no_image_is_itself():
    rows = np.zeros((3, 7))
    assert [id(view) for view in views(np, "none", rows, None)] == [id(rows)]


@pytest.mark.parametrize(
    ("kind", "image_shape", "shift", "message"),
    [
        ("flip", None, 1, "averaging over views needs images"),
        ("flip-shift", (6, 5, 3), 5, "give at most 4"),
        ("flip-shift", (6, 5, 3), 0, "shifted by 0 pixels: give 1 or more"),
        ("mirror", (6, 5, 3), 1, "no views 'mirror' of an image: give none, flip or flip-shift"),
    ],
)
def test_views_that_cannot_be_are_refused_before_the_first(kind, image_shape, shift, message):
    with pytest.raises(InputError, match=message):
        check_views(kind, image_shape, shift)
    with pytest.raises(InputError, match=message):
        views(np, kind, np.zeros((2, 90)), image_shape, shift)


@pytest.mark.parametrize(
    ("image_shape", "by"), [((8, 8, 1), 1), ((28, 28, 1), 1), ((32, 40, 3), 2), ((224, 224, 3), 14)]
)
def test_views_are_shifted_by_a_sixteenth_of_the_image(image_shape, by):
    images = some_images(image_shape, 2)
    found = list(views(np, "flip-shift", images, image_shape))
    for view, same in zip(found, views(np, "flip-shift", images, image_shape, by), strict=True):
        np.testing.assert_array_equal(view, same)
