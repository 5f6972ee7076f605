"""Folders of images: each picture as a viewer shows it, each class in its place, each defect in one line."""

import os
import struct
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from xpnet.datasets import image_files, image_folders
from xpnet.datasets.images import _parts, from_folder, is_image_folder, read_images
from xpnet.errors import InputError

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (4, 5, 3)).astype(np.uint8)
GREYS = COLOURS[:, :, 0]


def save(path, pixels=COLOURS, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)
    return path


def folder_of(path, counts, size=(3, 2, 3)):
    """Write a folder for each class, with so many images that are all different."""
    rng = np.random.default_rng(1)
    for name, count in counts.items():
        for k in range(count):
            save(path / name / f"{k:03}.png", rng.integers(0, 256, size).astype(np.uint8))
    return path


def read(path, **options):
    """Read a folder; return what came of it and the notes."""
    notes = []
    data = from_folder(path, note=notes.append, **options)
    assert not any("\n" in note for note in notes)
    return data, notes


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


def one(path, shape=(4, 5, 3)):
    """Read one file."""
    (row,) = read_images([path], shape)
    return row.reshape(shape)


# Pictures


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ""])
def test_a_picture_is_read_whatever_its_name(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", format="PNG")
    np.testing.assert_array_equal(one(tmp_path / f"a{suffix}"), COLOURS)
    assert image_folders.is_image(tmp_path / f"a{suffix}")


def turned(image, number):
    """What a viewer shows, by the standard, which says which sides row 0 and column 0 are."""
    if number in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if number in (3, 4, 7, 8):
        image = image[::-1]
    if number in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exif_orientation(tmp_path, number, kind):
    exif = Image.Exif()
    exif[0x0112] = number
    path = save(tmp_path / "a.jpg", format=kind, exif=exif)
    with Image.open(path) as stored:
        plain = np.asarray(stored)  # a JPEG has other colours than were saved
    expected = turned(plain, number)
    assert image_files.look_at([path]) == [(*expected.shape[:2], False)]
    np.testing.assert_array_equal(one(path, expected.shape), expected)


def test_damaged_exif_is_no_reason_to_refuse_a_picture(tmp_path):
    path = save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(path).shape == (4, 5, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode(tmp_path, mode):
    picture = Image.fromarray(COLOURS).convert(mode)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(one(tmp_path / "a.png"), np.asarray(picture.convert("RGB")))
    np.testing.assert_array_equal(
        one(tmp_path / "a.png", (4, 5, 4)), np.asarray(picture.convert("RGBA"))
    )  # of a model with four channels
    assert image_files.look_at([tmp_path / "a.png"])[0].is_grey == (mode in ("1", "L", "LA"))


def test_transparent_pixels_are_white(tmp_path):
    alpha = RNG.integers(0, 256, (4, 5)).astype(np.uint8)
    alpha[0] = 0, 255, 128, 1, 254
    part = alpha[:, :, None] / 255
    for pixels, name in ((COLOURS, "rgba"), (GREYS[:, :, None], "la")):
        path = save(tmp_path / f"{name}.png", np.concatenate([pixels, alpha[:, :, None]], 2))
        np.testing.assert_allclose(one(path), pixels * part + 255 * (1 - part) + np.zeros(3), atol=1.01)
    palette = Image.fromarray(COLOURS).convert("P")
    indices = np.asarray(palette)
    for gone in (int(indices[1, 1]), bytes([0 if k == indices[1, 1] else 255 for k in range(256)])):
        palette.save(tmp_path / "p.png", transparency=gone)
        expected = np.where((indices == indices[1, 1])[:, :, None], 255, np.asarray(palette.convert("RGB")))
        np.testing.assert_array_equal(one(tmp_path / "p.png"), expected)


@pytest.mark.parametrize("ink", [0, 100, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_strokes_on_a_transparent_ground_are_seen(tmp_path, ink, mode):
    """White ones too, which every viewer shows on something else than white."""
    strokes = np.zeros((4, 5), bool)
    strokes[1, 1:4] = True
    pixels = np.dstack([np.full((4, 5, 3), ink), np.where(strokes, 255, 0)]).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
    expected = np.where(strokes, ink, 0 if ink == 255 else 255)
    for channels in (1, 3):
        found = one(tmp_path / "a.png", (4, 5, channels))
        np.testing.assert_array_equal(found, np.repeat(expected[:, :, None], channels, axis=2))


def test_a_picture_that_is_all_white_or_all_transparent_is_white(tmp_path):
    for alpha in (255, 0):
        Image.new("RGBA", (5, 4), (255, 255, 255, alpha)).save(tmp_path / "a.png")
        assert (one(tmp_path / "a.png") == 255).all()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, bits, colours, rows, *chunks):
    """Write a PNG by hand: Pillow writes not all that there are."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("bits", "row", "key", "expected"),
    [
        (1, b"\x50", 1, [0, 255, 0, 255]),
        (2, b"\x1b", 2, [0, 85, 255, 255]),
        (4, b"\x0f\x80", 8, [0, 255, 255, 0]),
        (8, b"\0\xff\x80\x01", 128, [0, 255, 255, 1]),
        (16, b"\0\xff\x12\x34\xff\xff\x12\x35", 0x1234, [0, 255, 255, 18]),
    ],
)
def test_grey_of_any_depth_with_and_without_a_transparent_one(tmp_path, bits, row, key, expected):
    path = tmp_path / "a.png"
    path.write_bytes(png(4, 1, bits, 0, [row], chunk(b"tRNS", struct.pack(">H", key))))
    assert one(path, (1, 4, 1)).ravel().tolist() == expected
    assert one(path, (1, 4, 3))[:, :, 2].ravel().tolist() == expected
    assert one(path, (1, 4, 4))[0, :, 3].tolist().count(0) == [2, 1, 1, 1, 1][bits.bit_length() - 1]
    path.write_bytes(png(4, 1, bits, 0, [row]))
    unmasked = {1: 255, 2: 170, 4: 136, 8: 128, 16: 0x12}[bits]
    assert unmasked in one(path, (1, 4, 1))


def test_sixteen_bits_become_eight(tmp_path):
    values = np.array([[0, 255, 256, 0x7FFF, 0x8000, 0xFFFF]], np.uint16)
    path = save(tmp_path / "grey.png", values)
    assert one(path, (1, 6, 1)).ravel().tolist() == [0, 0, 1, 127, 128, 255]
    rgb = np.repeat(values[0], 3).astype(">u2").tobytes()
    path.write_bytes(png(6, 1, 16, 2, [rgb]))
    assert one(path, (1, 6, 3))[0, :, 1].tolist() == [0, 0, 1, 127, 128, 255]
    grey_alpha = np.stack([values[0], np.full(6, 0xFFFF)], 1).astype(">u2").tobytes()
    path.write_bytes(png(6, 1, 16, 4, [grey_alpha]))
    assert one(path, (1, 6, 1)).ravel().tolist() == [0, 0, 1, 127, 128, 255]
    path.write_bytes(png(6, 1, 16, 2, [rgb], chunk(b"tRNS", struct.pack(">HHH", 256, 256, 256))))
    assert one(path, (1, 6, 3))[0, :, 1].tolist() == [0, 0, 255, 127, 128, 255]


def test_jpeg_in_grey_and_in_cmyk(tmp_path):
    even = np.full((4, 5), 100, np.uint8)
    assert np.ptp(one(save(tmp_path / "grey.jpg", even, quality=95)) - 98) <= 4
    red = Image.new("RGB", (5, 4), (250, 10, 10)).convert("CMYK")
    red.save(tmp_path / "red.jpg", quality=95)
    np.testing.assert_allclose(one(tmp_path / "red.jpg"), np.full((4, 5, 3), [250, 10, 10]), atol=5)


def test_the_first_picture_of_an_animation(tmp_path):
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(one(tmp_path / "a.png"), COLOURS)
    frames[0].save(tmp_path / "b.jpg", format="MPO", save_all=True, append_images=frames[1:], quality=95)
    assert np.abs(one(tmp_path / "b.jpg").astype(int) - COLOURS).mean() < 60


def test_a_picture_is_resized_whole(tmp_path):
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, 40:] = 200
    for name in ("a.png", "a.jpg"):
        found = one(save(tmp_path / name, halves, quality=95), (4, 4, 3)).astype(int)
        assert found[:, 0].max() < 15
        assert abs(found[:, 3] - 200).max() < 15
        np.testing.assert_allclose(found[:, 1] + found[:, 2], 200, atol=6)
    # A large JPEG, which is decoded at an eighth, as the mean of its blocks
    smooth = np.linspace(0, 255, 1024).astype(np.uint8)[None, :, None] + np.zeros((512, 1, 3), np.uint8)
    found = one(save(tmp_path / "b.jpg", smooth, quality=95), (4, 8, 3))
    np.testing.assert_allclose(found[0, 1:-1, 0], np.linspace(0, 255, 17)[3:-2:2], atol=4)


# Folders


def test_a_folder_for_each_class(tmp_path):
    folder_of(tmp_path, {"dog": 20, "cat": 10, "Ant": 5})
    data, notes = read(tmp_path)
    assert notes == []
    assert data.class_names == data.labels == ("Ant", "cat", "dog")
    assert data.image_shape == (3, 2, 3)
    assert data.name == str(tmp_path)
    assert (len(data.X_train), len(data.X_val), data.X_test) == (32, 3, None)
    assert sorted(data.y_val) == [0, 1, 2]
    X, y = np.concatenate([data.X_train, data.X_val]), np.concatenate([data.y_train, data.y_val])
    for k, name in enumerate(data.class_names):
        expected = read_images(sorted((tmp_path / name).iterdir()), (3, 2, 3))
        assert set(map(bytes, X[y == k])) == set(map(bytes, expected))
        np.testing.assert_array_equal(
            data.X_train[data.y_train == k],
            [row for row in expected if row.tobytes() not in set(map(bytes, data.X_val))],
        )
    again, other = read(tmp_path)[0], read(tmp_path, seed=1)[0]
    assert data.checksum() == again.checksum() != other.checksum()
    with pytest.warns(UserWarning, match="give --size"):
        from_folder(folder_of(tmp_path, {"cat": 1}, (7, 7)))


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "validation", "TEST"), ("train", "valid", None)]
)
def test_splits(tmp_path, names):
    train, val, test = names
    folder_of(tmp_path / train, {"a": 3, "b": 2})
    folder_of(tmp_path / val, {"b": 2})
    if test:
        folder_of(tmp_path / test, {"a": 1, "b": 1})
    (tmp_path / "docs").mkdir()
    data, notes = read(tmp_path)
    assert data.y_train.tolist() == [0, 0, 0, 1, 1]
    assert data.y_val.tolist() == [1, 1]
    assert (data.y_test is None) if test is None else (data.y_test.tolist() == [0, 1])
    np.testing.assert_array_equal(
        data.X_train[3:], read_images(sorted((tmp_path / train / "b").iterdir()), (3, 2, 3))
    )
    assert len(notes) == 1
    assert "left out 'docs'" in notes[0]


def test_a_test_set_and_no_validation_set(tmp_path):
    folder_of(tmp_path / "train", {"a": 20, "b": 20})
    folder_of(tmp_path / "test", {"a": 3})
    data, _ = read(tmp_path, validation_fraction=0.25)
    assert (np.bincount(data.y_train).tolist(), np.bincount(data.y_val).tolist()) == ([15, 15], [5, 5])
    assert data.y_test.tolist() == [0, 0, 0]


def test_images_are_found_in_folders_of_a_class_and_other_files_are_not(tmp_path):
    folder_of(
        tmp_path, {"cat": 3, "cat/more/still": 2, "dog": 3, ".git": 4, "dog/.thumbnails": 2, "__MACOSX": 1}
    )
    save(tmp_path / "cat" / ".hidden.png")
    (tmp_path / "cat" / "labels.txt").write_text("no image")
    (tmp_path / "readme").write_text("no image")
    (tmp_path / "empty" / "in it").mkdir(parents=True)
    save(tmp_path / "loose.png")
    (tmp_path / "dog" / "folder.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "dog" / "pipe.png")
    data, notes = read(tmp_path)
    assert len(data.X_train) + len(data.X_val) == 8
    assert data.class_names == ("cat", "dog")
    assert [note.partition(": ")[2] for note in notes] == [
        (
            "left out images outside the class folders (1): "
            "put the images of each class into a separate folder"
        ),
        "left out 'empty', without a PNG or JPEG image",
        "left out 2 files that are not PNG or JPEG, the first readme",
    ]


def test_files_of_any_kind_are_read_alike_to_train_and_to_predict(tmp_path):
    from xpnet.datasets.readers import open_rows

    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(folder / "1.jpg", exif=exif, quality=95)
        Image.fromarray(upright).convert("CMYK").save(folder / "2.jpg", quality=95)
        Image.fromarray(upright).convert("P").save(folder / "3.png")
        Image.fromarray(upright[:, :, 0].astype(np.uint16) << 8).save(folder / "4.png")
        clear = np.dstack([np.zeros_like(upright), 255 - upright[:, :, :1]])
        Image.fromarray(clear.astype(np.uint8)).save(folder / "5.png")
    data = from_folder(tmp_path, validation_fraction=0.2)
    rows = np.concatenate([data.X_train, data.X_val])
    predicted = np.concatenate(list(open_rows(tmp_path, 64, data.image_shape).parts(3)))
    assert data.image_shape == (8, 8, 1)
    for X in (rows, predicted):
        assert (X[:, :32] > 230).all()
        assert (X[:, 32:] < 25).all()
    assert sorted(map(bytes, rows)) == sorted(map(bytes, predicted))


@pytest.mark.skipif(os.name != "posix", reason="on Windows not everyone may make links")
def test_links_are_followed(tmp_path):
    folder_of(tmp_path / "elsewhere", {"cat": 3, "dog": 2})
    (tmp_path / "data" / "dog").mkdir(parents=True)
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    for path in (tmp_path / "elsewhere" / "dog").iterdir():
        (tmp_path / "data" / "dog" / path.name).symlink_to(path)
    data, _ = read(tmp_path / "data")
    assert len(data.X_train) + len(data.X_val) == 5
    (tmp_path / "elsewhere" / "cat" / "loop").symlink_to(tmp_path / "elsewhere" / "cat")
    assert "loop is a link to a parent folder" in refused(tmp_path / "data")
    (tmp_path / "elsewhere" / "cat" / "loop").unlink()
    for target in ("itself.png", "nothing"):
        (tmp_path / "data" / "dog" / "itself.png").symlink_to(target)
        assert "itself.png is a broken link: remove it" in refused(tmp_path / "data")
        (tmp_path / "data" / "dog" / "itself.png").unlink()


def test_names_that_are_no_text(tmp_path):
    names = [b"\xff\xfe", "Käfer\n\u202e".encode()]
    try:
        for name in names:
            folder_of(tmp_path, {os.fsdecode(name): 3})
    except OSError:
        pytest.skip("a file system that refuses such names")
    data, _ = read(tmp_path)
    assert data.class_names == ("Käfer\n\u202e", "\\udcff\\udcfe")
    assert all(name.encode() for name in data.class_names)
    (tmp_path / os.fsdecode(names[0]) / "x.png").write_bytes(b"none")
    assert "\\udcff\\udcfe" in refused(tmp_path)
    folder_of(tmp_path, {"\\udcff\\udcfe": 3})
    (tmp_path / os.fsdecode(names[0]) / "x.png").unlink()
    assert "two folders called" in refused(tmp_path)


def test_a_class_of_trains(tmp_path):
    data, _ = read(folder_of(tmp_path, {"plane": 3, "train": 3, "car": 3}))
    assert data.class_names == ("car", "plane", "train")


def test_a_class_may_have_a_folder_of_that_name(tmp_path):
    data, notes = read(folder_of(tmp_path, {"cat/train": 3, "dog/train": 3, "dog/more": 1}))
    assert (data.class_names, notes) == (("cat", "dog"), [])


def test_splits_by_other_names_are_noted(tmp_path):
    folder_of(tmp_path, {"one/cat": 2, "one/dog": 2, "two/cat": 2, "two/dog": 2})
    data, notes = read(tmp_path)
    assert data.class_names == ("one", "two")
    assert [note.partition(":")[0] for note in notes] == ["'one' and 'two' are read as classes"]


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        ({}, "there is no PNG or JPEG image in"),
        ({"cat": 3}, "one class with images, 'cat', and training needs two: add another"),
        ({"data/cat": 3, "data/dog": 3}, "data if the classes are the folders in it"),
        ({".": 3}, "has images but no folders: put the images of each class into a separate folder"),
        ({"train": 3, "test": 3}, "train has images but no folders: put the images of each class"),
        ({"train/a": 2, "train/b": 2, "val": 3}, "val has images but no folders"),
        ({"train/a": 2, "TRAIN/b": 2}, "are the same split: keep one"),
        ({"train/a": 2, "train/b": 2, "val/a": 1, "valid/a": 2}, "'val' and 'valid' are the same split"),
        ({"test/a": 2, "test/b": 2}, "has 'test' but no 'train'"),
        (
            {"train/a": 2, "train/b": 2, "c": 2},
            "has 'c' beside 'train': move all class folders into the latter",
        ),
        ({"cat": 2, "dog": 2, "test": 2}, "has 'test' but no 'train'"),
        ({"train/a": 2, "train/b": 2, "test/A": 1}, "has the class 'A', for which"),
        (
            {"a/train": 2, "a/test": 2, "b/train": 2, "b/test": 2},
            "rearrange the folders into test/a and",
        ),
        (
            {"a": 2, "b/Training": 2, "b/validation": 2},
            "has the class 'b' with Training and validation in",
        ),
        ({"a": 1, "b": 1}, "has one image per class, which leaves none for validation"),
    ],
)
def test_folders_that_are_none(tmp_path, folders, reason):
    assert reason in refused(folder_of(tmp_path, folders))


def test_a_test_set_without_classes_is_left_out(tmp_path):
    data, notes = read(folder_of(tmp_path, {"train/a": 3, "train/b": 3, "test": 3}))
    assert data.X_test is None
    assert "test is left out" in notes[0]


def test_what_is_no_folder_or_cannot_be_read(tmp_path, monkeypatch):
    assert "is not a folder" in refused(tmp_path / "missing")
    folder_of(tmp_path, {"a": 2, "b": 2})
    assert "is not a folder" in refused(tmp_path / "a" / "000.png")

    def denied(*_args, **_how):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        assert "000.png cannot be read (Permission denied)" in refused(tmp_path)
    monkeypatch.setattr(os, "scandir", denied)
    assert "cannot be read (Permission denied)" in refused(tmp_path)
    assert not is_image_folder(tmp_path)


def test_is_image_folder(tmp_path):
    folder_of(tmp_path, {"data/train/cat": 1, "flat": 1, "a/b/c/d/e": 1})
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").touch()
    yes = {"data", "data/train", "flat", "a/b"}
    for name in (*yes, "text", "a", "missing", "flat/000.png", "null\0"):
        assert is_image_folder(tmp_path / name) == (name in yes), name
    assert is_image_folder(str(tmp_path / "flat"))


# Sizes and channels


@pytest.mark.parametrize(
    ("had", "size", "shape", "note"),
    [
        ([(64, 64)], None, (64, 64), None),
        ([(10, 100)], None, (10, 100), None),
        ([(65, 64)], None, (32, 32), "images of 65 by 64 pixels (height by width) are resized to 32 by 32"),
        ([(96, 128)], None, (24, 32), "are resized to 24 by 32: give --size for another"),
        ([(5000, 2)], None, (32, 1), "resized to 32 by 1"),
        ([(3, 4), (4, 3), (9, 2)], None, (32, 32), "images of 3 sizes from 3 by 4 to 9 by 2 pixels"),
        ([(3, 4), (4, 3)], 5, (5, 5), None),
        ([(3, 4), (4, 3)], (5, 6), (5, 6), None),
        ([(3, 4)], [np.int64(5), 6], (5, 6), None),
    ],
)
def test_sizes(tmp_path, had, size, shape, note):
    for k, of in enumerate(had * 4):
        save(tmp_path / "ab"[k % 2] / f"{k}.png", RNG.integers(0, 256, (*of, 3)).astype(np.uint8))
        save(tmp_path / "ab"[1 - k % 2] / f"{k}.png", RNG.integers(0, 256, (*of, 3)).astype(np.uint8))
    data, notes = read(tmp_path, size=size)
    assert data.image_shape == (*shape, 3)
    assert [note in text for text in notes] == ([True] if note else [])
    files = sorted((tmp_path / "a").iterdir())
    rows = set(map(bytes, np.concatenate([data.X_train, data.X_val])))
    assert set(map(bytes, read_images(files, data.image_shape))) <= rows  # as prediction reads them


@pytest.mark.parametrize(
    "options",
    [{"size": size} for size in (0, -1, 1.5, True, "32", (1, 2, 3), (3, 0), (), 10**9)]
    + [{"channels": 2}, {"seed": -1}, {"validation_fraction": 1.0}, {"validation_fraction": float("nan")}],
)
def test_settings_that_are_none(tmp_path, options):
    (name,) = options
    assert f"{name} must be" in refused(folder_of(tmp_path, {"a": 2, "b": 2}), **options)


def test_grey_images_have_one_channel(tmp_path):
    folder_of(tmp_path, {"a": 2, "b": 2}, (3, 2))
    data, _ = read(tmp_path)
    assert data.image_shape == (3, 2, 1)
    grey = np.repeat(GREYS[:3, :2, None], 3, 2)
    save(tmp_path / "b" / "rgb.png", grey)  # as if it had colours
    mixed, _ = read(tmp_path)
    assert mixed.image_shape == (3, 2, 1)
    assert mixed.X_train.flags.c_contiguous
    np.testing.assert_array_equal(
        read_images([tmp_path / "b" / "rgb.png"], (3, 2, 1)), GREYS[:3, :2].reshape(1, 6)
    )
    assert read(tmp_path, channels=3)[0].image_shape == (3, 2, 3)
    grey[0, 0, 2] ^= 1
    save(tmp_path / "b" / "rgb.png", grey)
    assert read(tmp_path)[0].image_shape == (3, 2, 3)
    assert read(tmp_path, channels=1)[0].image_shape == (3, 2, 1)


# What is held out


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    "sizes", [[100, 100], [30] * 10, [1000, 5, 2, 1], [2] * 100, [1, 1, 2], [7, 1, 300, 2]]
)
def test_a_share_of_each_class_is_held_out(sizes, fraction):
    sizes = np.array(sizes)
    parts = _parts(sizes, fraction, np.random.RandomState(0))
    total = min(int((sizes - 1).sum()), max(1, int(sizes.sum() * fraction)))
    several = sizes > 1
    assert parts.sum() == total
    assert (parts >= 0).all()
    assert (parts < sizes).all()
    if total >= several.sum():
        assert (parts[several] >= 1).all()
    else:
        assert parts.max() == 1
    if (sizes == sizes[0]).all():
        assert np.ptp(parts) <= 1


def test_chance_says_which_of_equal_classes_have_none_held_out():
    found = {tuple(_parts(np.full(9, 2), 0.1, np.random.RandomState(seed))) for seed in range(40)}
    assert len(found) > 5


# Damage


def test_files_that_are_no_images(tmp_path):
    folder_of(tmp_path, {"a": 2, "b": 2})
    path = tmp_path / "b" / "bad.png"
    whole = (tmp_path / "b" / "000.png").read_bytes()
    for content, reason in (
        (b"", "it is not a PNG or JPEG"),
        (b"no image at all", "it is not a PNG or JPEG"),
        (b"GIF89a" + b"\0" * 40, "it is not a PNG or JPEG"),
        (whole[:60], "cannot be read ("),
        (png(60_000, 60_000, 8, 0, []), "cannot be read ("),
        (png(10_000, 10_000, 8, 0, []), "10000 by 10000 pixels are too many"),
        (png(2**31 - 1, 2**31 - 1, 8, 0, []), "cannot be read ("),
        (png(100, 100, 8, 0, []), "cannot be read ("),
    ):
        path.write_bytes(content)
        message = refused(tmp_path)
        assert f"{path} cannot be read" in message
        assert reason in message
        assert "save it again as PNG or JPEG, or remove it" in message
    path.unlink()
    read(tmp_path)


def test_the_first_of_many_bad_files_is_named_and_threads_read_what_one_reads(tmp_path, monkeypatch):
    paths = sorted((folder_of(tmp_path, {"a": 200}) / "a").iterdir())
    X = read_images(paths, (3, 2, 3))
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "_CHUNK", 1000)
        np.testing.assert_array_equal(read_images(paths, (3, 2, 3)), X)
    for k in (70, 150):
        paths[k].write_bytes(b"none")
    with pytest.raises(InputError, match=r"070\.png cannot be read"):
        read_images(paths, (3, 2, 3))
    assert read_images([], (3, 2, 3)).shape == (0, 18)


def test_pillow_is_named_where_it_is_missing(tmp_path, monkeypatch):
    folder_of(tmp_path, {"a": 2, "b": 2})
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert "images need pillow: pip install" in refused(tmp_path)


def mutated(rng, content):
    """Change, cut, double or insert bytes; of a PNG make the checksums right again half of the time."""
    raw = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(raw)))
        match int(rng.integers(5)):
            case 0:
                raw[at] = int(rng.integers(256))
            case 1:
                raw[at] ^= 1 << int(rng.integers(8))
            case 2:
                del raw[at : at + int(rng.integers(1, 20))]
            case 3:
                raw[at:at] = raw[at : at + int(rng.integers(1, 20))]
            case 4:
                raw[at:at] = rng.bytes(int(rng.integers(1, 9)))
        if not raw:
            break
    return checked(bytes(raw)) if rng.random() < 0.5 else bytes(raw)


def checked(raw):
    """Return a PNG with checksums that fit, so that what is in its chunks gets read."""
    done, at = raw[:8], 8
    while raw[:4] == b"\x89PNG" and at + 12 <= len(raw):
        (length,) = struct.unpack(">I", raw[at : at + 4])
        if at + 12 + length > len(raw):
            break
        done += chunk(raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length])
        at += 12 + length
    return done + raw[at:] if at > 8 else raw


def seeds(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.concatenate([COLOURS, GREYS[:, :, None]], 2)
    yield save(folder / "rgb.png", exif=exif)
    yield save(folder / "rgba.png", rgba)
    yield save(folder / "sixteen.png", GREYS.astype(np.uint16) * 257)
    Image.fromarray(COLOURS).convert("P").save(folder / "palette.png", transparency=3)
    yield folder / "palette.png"
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    frames[0].save(folder / "animated.png", save_all=True, append_images=frames[1:])
    yield folder / "animated.png"
    yield save(folder / "colours.jpg", exif=exif)
    yield save(folder / "progressive.jpg", GREYS, progressive=True)
    Image.fromarray(COLOURS).convert("CMYK").save(folder / "cmyk.jpg")
    yield folder / "cmyk.jpg"


def outcome(path, shape):
    """Read a file; return the one line of its refusal, or None."""
    try:
        image_files.look_at([path])
        read_images([path], shape)
    except InputError as error:
        return str(error)
    return None


def test_damaged_files_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(5)
    path, said = tmp_path / "damaged.png", []
    for seed in seeds(tmp_path):
        content = seed.read_bytes()
        for _ in range(80):
            path.write_bytes(mutated(rng, content))
            said.append(outcome(path, (3, 3, 3)))
    assert all(line.isprintable() for line in said if line)
    assert min(said.count(None), len(said) - said.count(None)) > 100


def test_no_flipped_bit_of_a_png_changes_pixels_unseen(tmp_path):
    noise = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    content = save(tmp_path / "a.png", noise).read_bytes()
    for at in range(len(content)):
        raw = bytearray(content)
        raw[at] ^= 1 << (at % 8)
        (tmp_path / "b.png").write_bytes(raw)
        if outcome(tmp_path / "b.png", (8, 8, 3)) is None:
            np.testing.assert_array_equal(one(tmp_path / "b.png", (8, 8, 3)), noise)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_large_files(tmp_path, suffix):
    """Which are not held as a whole, and of which a JPEG is decoded at an eighth."""
    noise = RNG.integers(0, 256, (300, 400, 3)).astype(np.uint8)
    path = save(tmp_path / f"a{suffix}", noise, **({"quality": 95} if suffix == ".jpg" else {}))
    content = path.read_bytes()
    assert len(content) > image_files._AT_ONCE
    with Image.open(path) as picture:
        expected = np.asarray(picture.resize((4, 3), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(one(path, (3, 4, 3)).astype(int), expected, atol=6)
    for part in (0.3, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * part)])
        assert "truncated" in outcome(path, (3, 4, 3))


def test_a_thousand_images_take_no_minute(tmp_path):
    for k in range(1000):
        path = tmp_path / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(32, 32, 8, 2, [bytes(96)] * 32))
    began = time.process_time()
    read(tmp_path)
    assert time.process_time() - began < 10  # half a second, in truth
