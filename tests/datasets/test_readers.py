"""Rows from users' files: read a part at a time, and refused in one line."""

import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.datasets.image_files import read_images
from xpnet.datasets.readers import open_rows
from xpnet.errors import InputError

SHAPE = (2, 3, 1)
X = np.arange(30).reshape(5, 6).astype(np.uint8)


def read(path, num_features=6, image_shape=SHAPE, count=2, **options):
    rows = open_rows(Path(path), num_features, image_shape, **{"note": lambda _: None} | options)
    parts = list(rows.parts(count))
    assert all(len(part) <= count for part in parts)
    return np.concatenate(parts) if parts else np.empty((0, num_features))


def refused(path, *args, **options):
    with pytest.raises(InputError) as caught:
        read(path, *args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", [np.uint8, ">f4", np.float64, bool, np.int16])
@pytest.mark.parametrize("shape", [(5, 6), (5, 2, 3), (5, 2, 3, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_and_npz(tmp_path, dtype, shape, order):
    saved = np.asarray(X.reshape(shape).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", saved)
    np.savez(tmp_path / "b.NPZ", X=saved, y=np.zeros(5))
    np.savez_compressed(tmp_path / "c.npz", anything=saved)
    for path in tmp_path.iterdir():
        found = read(path)
        np.testing.assert_array_equal(found, X.astype(dtype))
        assert found.dtype.isnative


def test_npy_is_mapped_not_read(tmp_path):
    path = tmp_path / "a.npy"
    big = np.lib.format.open_memmap(path, "w+", np.uint8, (2**20, 4096))  # 4 GiB, of holes
    big[-1] = 7
    del big
    rows = open_rows(path, 4096, None)
    assert sum(int(part.shape[0]) for part in rows.parts(2**20)) == 2**20
    path.unlink()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (
            np.zeros((5, 7)),
            r"has shape (5, 7) and the model takes (rows, 6) or (rows, 2, 3, 1) or (rows, 2, 3)",
        ),
        (np.zeros(6), "has shape (6,)"),
        (np.zeros((5, 3, 2)), "has shape (5, 3, 2)"),
        (np.array(1.0), "has shape ()"),
        (np.zeros((2, 6), complex), "has dtype complex128"),
        (np.array([["a"] * 6]), "has dtype <U1"),
    ],
)
def test_arrays_that_are_none(tmp_path, array, reason):
    np.save(tmp_path / "a.npy", array)
    assert reason in refused(tmp_path / "a.npy")


class Evil:
    def __reduce__(self):
        return (Path("was-run").touch, ())


def test_nothing_in_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array([Evil()], object), allow_pickle=True)
    np.savez("b.npz", X=np.array([Evil()], object))
    Path("c.npy").write_bytes(pickle.dumps(Evil()))
    Path("d.npz").write_bytes(pickle.dumps(Evil()))
    for name in ("a.npy", "b.npz", "c.npy", "d.npz"):
        assert "cannot be read" in refused(Path(name))
    assert not Path("was-run").exists()


def test_files_that_are_none(tmp_path):
    assert "there is no" in refused(tmp_path / "missing.npy")
    for name in ("a.npy", "a.npz", "a.png"):
        (tmp_path / name).write_bytes(b"nonsense")
        refused(tmp_path / name)
    (tmp_path / "a.doc").write_text("1,2")
    assert "give an .npy or .npz file, a table (.csv, .tsv" in refused(tmp_path / "a.doc")
    np.savez(tmp_path / "two.npz", a=X, b=X)
    assert "has no X, only 'a', 'b'" in refused(tmp_path / "two.npz")


@pytest.mark.parametrize("head", ["", "a,b,c,d,e,f\n", "\ufeffa,b,c,d,e,f\r\n", '"a","b","c","d","e","f"\n'])
@pytest.mark.parametrize("count", [1, 2, 100])
def test_csv(tmp_path, head, count):
    text = "\n".join(",".join(map(str, row)) for row in (X + 7).tolist())
    for end in ("", "\n", "\n\n"):
        (tmp_path / "a.csv").write_text(head + text + end, encoding="utf-8")
        np.testing.assert_array_equal(read(tmp_path / "a.csv", count=count), X + 7)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("0,1\n0.1,0.2\n", None),  # as pandas calls columns without names, or a row
        ("0,1,2,3\n9,9,9,9\n", None),
        ("1,2,3,4\n.1,.2,.3,.4\n", None),
        ("2019,2020,2021\n9,9,9\n", None),
        ("3,7\n.1,.2\n", None),  # all whole, and no other is
        ("0\n.5\n", None),
        (",NA\n.5,.5\n", None),
        ("0,1,2\n", None),
        ("3,7\n.1,2\n", 2),
        ("4,5\n6,9\n", 2),
        ("5,3,9\n4,8,1\n", 2),
        ("6,7,8\n7,8,9\n", 2),
        ("1,1\n.1,.2\n", 2),  # no two columns have one name
        ("0.0,1.0\n9,9\n", 2),
        ("7,8,9\n", 1),
        ("5\n.5\n", 2),
        ("p 0,p 1\n9,9\n", 1),
        (",".join(map(str, range(12))) + "\n" + ",".join("9" * 12) + "\n", 1),
        ("99999999999999999999999,1\n.5,.5\n", 2),
    ],
)
def test_a_first_line_is_what_it_must_be_or_the_user_says(tmp_path, text, rows):
    (tmp_path / "a.csv").write_text(text)
    width, notes = text.partition("\n")[0].count(",") + 1, []
    if rows is None:
        line = refused(tmp_path / "a.csv", width, None)
        assert "may hold column names or data" in line
        assert "give --header or --no-header" in line
    else:
        assert read(tmp_path / "a.csv", width, None, note=notes.append).shape == (rows, width)
        assert len(notes) == (not text.startswith("p"))
    for header in (True, False) if rows is None else ():
        found = read(tmp_path / "a.csv", width, None, header=header)
        assert found.shape == (text.count("\n") - header, width)


def test_a_csv_that_must_not_be_read(tmp_path, monkeypatch):
    def denied(*_args, **_how):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.csv").write_text("1,2\n")
    monkeypatch.setattr(Path, "open", denied)
    assert "a.csv cannot be read (Permission denied): give another file" in refused(tmp_path / "a.csv")


def test_csv_of_one_column_and_of_none(tmp_path):
    (tmp_path / "a.csv").write_text("1\n-2.5e3\n\n 3 \n")
    assert read(tmp_path / "a.csv", 1, None).tolist() == [[1], [-2500], [3]]
    (tmp_path / "a.csv").write_text("a,b,c,d,e,f\n")
    assert read(tmp_path / "a.csv").shape == (0, 6)
    for text in ("", "\n"):
        (tmp_path / "a.csv").write_text(text)
        assert "a.csv is empty" in refused(tmp_path / "a.csv")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_of_any_ending_and_delimiter(tmp_path, ending, delimiter):
    lines = [delimiter.join(map(str, row)) for row in (X / 2).tolist()]
    (tmp_path / "a.csv").write_text(ending.join([delimiter.join("abcdef"), *lines, ""]), newline="")
    np.testing.assert_array_equal(read(tmp_path / "a.csv"), X / 2)


def test_tables_of_other_kinds(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = {"fedcba"[k]: X[:, k] for k in range(6)}
    parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    np.testing.assert_array_equal(read(tmp_path / "a.parquet"), X)
    parquet.write_table(pa.table({str(k): X[:, k] for k in reversed(range(6))}), tmp_path / "a.parquet")
    np.testing.assert_array_equal(read(tmp_path / "a.parquet"), X)  # by the names that columns without have


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,2,3,4,5,0\n1,2,3,x,5,6\n", "column '3' holds 'x' in line 2, which is no number: correct it"),
        ("a,b,c,d,e,f\n\n1,2,3,4,5,6\n1,2,3,4,5\n", "line 4 has 5 fields and the first has 6"),
        (
            "1,2,3,4,5,6,8\n",
            "there are 7 columns, but the model takes 6: give the columns that it was trained on",
        ),
        (
            "a,b,c,d,e,f,g\n1,2,3,4,5,6,dog\n",
            "the model takes 6: give the columns that it was trained on, without g",
        ),
        (
            "a,b,c,d,e,f\n1,2,3,dog,5,6\n",
            "column 'd' holds text ('dog' in line 2), not numbers: give numbers",
        ),
        ("1,2,3,4,5,7\n1,2,3,4,5,inf\n", "column '5' holds an infinity in line 2"),
        ("1,2,3,4,5,7\n1,2,3,4,5,1e999\n", "column '5' holds an infinity in line 2"),
        ("1,2,3,4,5,0\n1,2,3,4,5,1_0\n", "'1_0' in line 2, which is no number"),
        ("1,2,3,4,5,0\n" + "x" * 200_000, "a.csv: CSV parse error: "),
    ],
)
def test_csv_that_is_none(tmp_path, text, reason):
    (tmp_path / "a.csv").write_text(text)
    assert reason in refused(tmp_path / "a.csv")


def test_gaps_are_passed_on_and_their_place_is_known(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n\n3,\nNA,4\n")
    rows = open_rows(tmp_path / "a.csv", 2, None)
    parts = rows.parts(2)
    np.testing.assert_array_equal(next(parts), [[1, 2], [3, np.nan]])
    assert (rows.where(1), list(rows.columns())) == ("line 4", ["a", "b"])
    np.testing.assert_array_equal(next(parts), [[np.nan, 4]])
    assert rows.where(2) == "line 5"
    np.save(tmp_path / "a.npy", np.array([[np.nan, 1.0]]))
    rows = open_rows(tmp_path / "a.npy", 2, None)
    assert np.isnan(next(rows.parts(1))[0, 0])
    assert (rows.where(0), list(rows.columns())) == ("row 0", [])


def test_csv_that_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1,2,3,4,5,6\n\0\xff\xfe\n")
    assert "is not text: give a table as CSV in UTF-8" in refused(tmp_path / "a.csv")


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.csv", "a.npy", "a.npz", "a.png"):
        (folder / name).write_bytes(content)
        try:
            width = read(folder / name).shape[1]
        except InputError as error:
            width, said = 6, str(error).splitlines()
            assert len(said) == 1
        assert width == 6


# Images


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image")


def save(image, path, pixels, mode=None):
    picture = image.fromarray(np.asarray(pixels, np.uint8))
    (picture.convert(mode) if mode else picture).save(path)


def test_images_of_other_kinds_are_left_out_with_a_note(tmp_path, image):
    save(image, tmp_path / "a.png", X[0].reshape(2, 3))
    for kind in ("gif", "bmp", "tiff"):
        save(image, tmp_path / f"b.{kind}", X[1].reshape(2, 3))
    notes = []
    assert len(read(tmp_path, note=notes.append)) == 1
    assert notes == [f"{tmp_path}: left out 3 files that are not PNG or JPEG, the first b.bmp"]


def test_a_folder_of_images_in_the_order_of_their_names(tmp_path, image):
    for k, name in enumerate(["b.png", "a.PNG", "c.png"]):
        save(image, tmp_path / name, X[k].reshape(2, 3))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    save(image, tmp_path / "folder.png" / "a.png", X[3].reshape(2, 3))
    notes = []
    rows = open_rows(tmp_path, 6, SHAPE, note=notes.append)
    assert notes == [f"{tmp_path}: left out 1 file that is not PNG or JPEG, the first notes.txt"]
    assert rows.names == ("a.PNG", "b.png", "c.png", "folder.png/a.png")
    np.testing.assert_array_equal(np.concatenate(list(rows.parts(2))), X[[1, 0, 2, 3]])
    np.testing.assert_array_equal(read(tmp_path / "c.png"), X[2:3])
    for black, white in ((0, 255), (0, 16), (-1, 1), (255, 0), (16, 0), (1, -1)):
        expected = black + X[2:3] * ((white - black) / 255)
        found = read(tmp_path / "c.png", shades=(black, white))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("saved_as", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_channels_become_those_of_the_model(tmp_path, image, channels, mode, saved_as):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3))
    save(image, tmp_path / "a.png", pixels, saved_as)
    found = read(tmp_path / "a.png", 20 * channels, (4, 5, channels))
    with image.open(tmp_path / "a.png") as picture:
        expected = picture.convert(mode)
        np.testing.assert_array_equal(found[0], np.asarray(expected).reshape(-1))


def test_images_become_those_of_the_model(tmp_path, image):
    """By the reader that reads them for training."""
    image.fromarray(np.array([[0, 256, 65535]] * 2, np.uint16)).save(tmp_path / "a.png")
    for name, shape in (("b.png", (6, 9)), ("c.jpg", (20, 10, 3))):
        save(image, tmp_path / name, np.random.default_rng(0).integers(0, 256, shape))
    notes = []
    found = read(tmp_path, note=notes.append)
    np.testing.assert_array_equal(found, read_images(sorted(tmp_path.iterdir()), SHAPE))
    assert found[0].tolist() == [0, 1, 255] * 2
    (note,) = notes
    assert note == (
        f"{tmp_path / 'b.png'} is 6 by 9 pixels (height by width) and the model takes 2 by 3: "
        "images of other sizes are resized"
    )
    with pytest.warns(UserWarning, match="the model takes 2 by 3"):
        next(open_rows(tmp_path / "b.png", 6, SHAPE).parts(1))


def test_jpeg(tmp_path, image):
    save(image, tmp_path / "a.jpg", np.full((2, 3), 100))
    np.testing.assert_allclose(read(tmp_path / "a.jpg"), 100, atol=2)


def test_images_that_are_none(tmp_path, image):
    path = tmp_path / "a.png"
    image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "b.gif")
    (tmp_path / "b.gif").rename(path)  # another format under that name
    assert "cannot be read" in refused(path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "there is no image in" in refused(empty)
    assert "give rows of 6 numbers" in refused(path, image_shape=None)
    assert "give rows of 6 numbers" in refused(path, image_shape=(1, 3, 2))


def png_of(width, height):
    """The head of a PNG of any size, and no pixels."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    data = b"IDAT" + zlib.compress(b"")
    chunks = [
        (len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in (head, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("side", [10_000, 60_000, 2**31 - 1])
def test_decompression_bombs(tmp_path, image, side):
    del image
    (tmp_path / "a.png").write_bytes(png_of(side, side))
    refused(tmp_path / "a.png")


def test_an_image_cut_short(tmp_path, image):
    save(image, tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (2, 3)))
    whole = (tmp_path / "a.png").read_bytes()
    for length in range(len(whole) - 32):  # the rest holds no pixels
        (tmp_path / "a.png").write_bytes(whole[:length])
        refused(tmp_path / "a.png")
