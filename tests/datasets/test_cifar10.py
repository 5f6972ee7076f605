"""CIFAR-10 in its four official forms: read, split, found, and refused when damaged."""

import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cifar_files import CLASS_NAMES, FOLDERS, batches, pickle_batch, write_cifar, write_tar
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import memory_of

from xpnet.datasets import cifar, cifar10, cifar_files
from xpnet.errors import InputError

LAYOUTS = ["python", "binary", "python.tar.gz", "binary.tar.gz"]
REAL = os.environ.get("XPNET_DATA_DIR")  # before `alone` hides it


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Keep the user's files out of the tests, and the tests off the network."""

    def no_download(url, *_):
        raise InputError(f"{url} cannot be downloaded: this is a test")

    monkeypatch.delenv("XPNET_DATA_DIR", raising=False)
    monkeypatch.setattr(cifar, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(cifar, "fetch", no_download)


def rows(planes):
    """Put the pixels of planes, shape (n, 3072), in height, width, channel order."""
    return planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).reshape(-1, 3072)


def refusal(function, *args):
    """Return the one line with which a call is refused."""
    with pytest.raises(InputError) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_form_gives_the_same_images_in_the_order_of_the_files(tmp_path, layout):
    write_cifar(tmp_path, layout, images_per_batch=40, seed=3)
    data = cifar10(tmp_path)
    expected = batches(40, seed=3)
    X_test, y_test = expected.pop("test_batch")
    X = rows(np.concatenate([planes for planes, _ in expected.values()]))
    y = np.concatenate([labels for _, labels in expected.values()])
    np.testing.assert_array_equal(data.X_train, X[:180])
    np.testing.assert_array_equal(data.y_train, y[:180])
    np.testing.assert_array_equal(data.X_val, X[180:])
    np.testing.assert_array_equal(data.y_val, y[180:])
    np.testing.assert_array_equal(data.X_test, rows(X_test))
    np.testing.assert_array_equal(data.y_test, y_test)
    assert data.X_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert data.class_names == tuple(CLASS_NAMES)
    assert data.image_shape == (32, 32, 3)


def test_a_red_first_pixel(tmp_path):
    # The channel order once more, without the helper that could be wrong in the same way.
    folder = tmp_path / FOLDERS["binary"]
    folder.mkdir()
    record = np.zeros(3073, np.uint8)
    record[[1, 1 + 1024 + 1, 1 + 2048 + 32]] = 1, 2, 3  # red (0, 0), green (0, 1), blue (1, 0)
    for name in cifar_files.BINARY.train_files + cifar_files.BINARY.test_files:
        (folder / name).write_bytes(record.tobytes())
    image = cifar10(tmp_path).X_test.reshape(32, 32, 3)
    assert image[0, 0].tolist() == [1, 0, 0]
    assert image[0, 1].tolist() == [0, 2, 0]
    assert image[1, 0].tolist() == [0, 0, 3]


@pytest.mark.parametrize(("images_per_batch", "num_val"), [(1, 1), (40, 20), (2100, 1000)])
def test_validation_is_the_last_tenth_but_at_most_1000(tmp_path, images_per_batch, num_val):
    write_cifar(tmp_path, "binary", images_per_batch)
    data = cifar10(tmp_path)
    assert len(data.X_val) == num_val
    assert len(data.X_train) == 5 * images_per_batch - num_val


def test_splits_are_views_of_one_array(tmp_path):
    write_cifar(tmp_path)
    data = cifar10(tmp_path)
    assert data.X_train.base is data.X_val.base
    assert data.X_train.base.size == data.X_train.size + data.X_val.size


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_never_exist_twice(tmp_path, layout):
    write_cifar(tmp_path, layout, images_per_batch=400)
    images = 6 * 400 * 3072
    peak = memory_of(lambda: cifar10(tmp_path)).peak
    assert images < peak < images + 3 * 400 * 3072 + 5e5  # three batches; all images would be six


# Where it is looked for


def test_a_layout_folder_may_be_named_itself(tmp_path):
    for form in ("python", "binary"):
        assert cifar10(write_cifar(tmp_path / form, form)).num_features == 3072


def test_unpacked_files_come_before_archives(tmp_path):
    write_cifar(tmp_path, "python.tar.gz", 20)
    write_cifar(tmp_path, "binary", 40)
    assert len(cifar10(tmp_path).X_test) == 40


def test_places_are_searched_in_order(tmp_path, monkeypatch):
    named, environment, cache = tmp_path / "named", tmp_path / "environment", tmp_path / "cache"
    for number, folder in enumerate([named, environment, cache], 1):
        write_cifar(folder, images_per_batch=10 * number)
    monkeypatch.setenv("XPNET_DATA_DIR", str(environment))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert len(cifar10(named).X_test) == 10
    assert len(cifar10(empty).X_test) == 20
    assert len(cifar10().X_test) == 20
    monkeypatch.setenv("XPNET_DATA_DIR", "")
    assert len(cifar10(empty).X_test) == 30
    assert len(cifar10(str(named)).X_test) == 10


def test_only_a_verified_python_archive_is_used_from_the_cache(tmp_path, monkeypatch):
    archive = write_cifar(tmp_path / "elsewhere", "python.tar.gz", 10)
    write_cifar(tmp_path / "cache", "python.tar.gz", 20)
    calls = []

    def fetch(*args):
        calls.append(args)
        return archive

    monkeypatch.setattr(cifar, "fetch", fetch)
    assert len(cifar10(progress=True).X_test) == 10
    assert calls == [(cifar.URL, cifar.SHA256, True)]


def test_nothing_found_names_all_places_and_the_fix(tmp_path, monkeypatch):
    named, environment = tmp_path / "named", tmp_path / "environment"
    named.mkdir()
    environment.mkdir()
    monkeypatch.setenv("XPNET_DATA_DIR", str(environment))
    message = refusal(cifar10, named)
    assert f"(looked in {named}, {environment}, {tmp_path / 'cache'})" in message
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz cannot be downloaded" in message
    assert "cifar-10-python.tar.gz with --data-dir" in message


def test_a_folder_that_is_none_is_an_error_at_once(tmp_path, monkeypatch):
    write_cifar(tmp_path / "cache")
    missing = tmp_path / "missing"
    file = tmp_path / "file"
    file.touch()
    assert f"data_dir is not a folder: {missing}" in refusal(cifar10, missing)
    assert f"data_dir is not a folder: {file}" in refusal(cifar10, file)
    monkeypatch.setenv("XPNET_DATA_DIR", str(missing))
    assert f"$XPNET_DATA_DIR is not a folder: {missing}" in refusal(cifar10)
    assert len(cifar10(write_cifar(tmp_path / "named")).X_test) == 40  # it was not needed


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def is_file(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", is_file)  # chmod would not keep root out
    assert "cannot be searched (Permission denied): allow" in refusal(cifar10, tmp_path)


# Damage


def write_batch(folder, name="data_batch_2", protocol=None, **changes):
    """Replace a batch of the python layout by one with some fields changed."""
    planes, labels = batches(40)["data_batch_2"]
    fields = {"labels": labels.tolist(), "data": planes} | changes
    fields = {key.encode(): value for key, value in fields.items() if value is not None}
    (folder / name).write_bytes(pickle_batch(fields, protocol))


PLANES, LABELS = batches(40)["data_batch_2"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": PLANES[:, 1:].copy()}, "has no matrix 'data' of 3072 columns"),
        ({"data": PLANES.tobytes()}, "has no matrix 'data'"),
        ({"data": None}, "has no matrix 'data'"),
        ({"labels": None, "fine_labels": [1]}, "has no list 'labels'"),
        ({"labels": LABELS.tolist()[1:]}, "holds 40 images and 39 labels"),
        ({"labels": [*LABELS.tolist()[:-1], 10]}, "has no label from 0 to 9 for image 39"),
        ({"labels": [-1, *LABELS.tolist()[1:]]}, "has no label from 0 to 9 for image 0"),
        ({"labels": [b"1", *LABELS.tolist()[1:]]}, "has no label from 0 to 9 for image 0"),
        ({"labels": [10**5000] * 40}, "has no label from 0 to 9 for image 0"),
        (
            {"data": PLANES[:30].copy(), "labels": LABELS.tolist()[:30]},
            "holds 30 images and another batch 40",
        ),
        ({"data": PLANES.astype(np.float32)}, "is not a batch file of CIFAR-10"),
    ],
)
def test_a_wrong_python_batch_is_named(tmp_path, changes, words):
    folder = write_cifar(tmp_path)
    write_batch(folder, **changes)
    message = refusal(cifar10, tmp_path)
    assert message.startswith(f"{folder / 'data_batch_2'} {words}")
    assert "fresh copy" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(3073 * 40 - 1), "is truncated (122919 bytes, not a multiple of 3073)"),
        (bytes(3073 * 39), "holds 39 images and another batch 40"),
        (bytes(3073 * 4) + b"\x0a" + bytes(3073 * 36 - 1), "has no label from 0 to 9 for image 4"),
        (b"", "holds 0 images"),
    ],
)
def test_a_wrong_binary_batch_is_named(tmp_path, content, words):
    file = write_cifar(tmp_path, "binary") / "data_batch_3.bin"
    file.write_bytes(content)
    message = refusal(cifar10, tmp_path)
    assert message.startswith(f"{file} {words}")
    assert "fresh copy" in message


def test_an_empty_first_batch_is_named(tmp_path):
    file = write_cifar(tmp_path, "binary") / "data_batch_1.bin"
    file.write_bytes(b"")
    assert refusal(cifar10, tmp_path).startswith(f"{file} holds 0 images")


def test_a_truncated_python_batch_is_named(tmp_path):
    file = write_cifar(tmp_path) / "test_batch"
    file.write_bytes(file.read_bytes()[:-100])
    assert refusal(cifar10, tmp_path).startswith(f"{file} is not a batch file of CIFAR-10")


def test_a_batch_that_names_os_system_is_named_and_not_obeyed(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'proof'}",)

    for layout in ("python", "python.tar.gz"):
        path = write_cifar(tmp_path / layout, layout)
        evil = pickle.dumps({b"labels": Evil()})
        if path.is_dir():
            (path / "data_batch_4").write_bytes(evil)
        else:
            write_tar(path, {"cifar-10-batches-py/data_batch_4": evil})
        message = refusal(cifar10, tmp_path / layout)
        assert message.startswith(f"{path / 'data_batch_4'} names ")
        assert "system', which no CIFAR-10 file does: do not trust it" in message
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("form", ["python", "binary"])
def test_missing_batches_are_named(tmp_path, form):
    folder = write_cifar(tmp_path, form)
    names = sorted(path.name for path in folder.glob("*_batch*"))
    assert len(names) == 6
    for name in names[1], names[5]:
        (folder / name).unlink()
    assert refusal(cifar10, tmp_path).startswith(f"{folder} holds no {names[1]}, {names[5]}: ")


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    write_cifar(tmp_path)

    def refuse(path, _mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert "data_batch_1" in refusal(cifar10, tmp_path)


def test_a_file_too_large_for_a_batch_is_not_read_whole(tmp_path, monkeypatch):
    # A few megabytes of gzip can be many gigabytes of zeros.
    archive = write_cifar(tmp_path, "binary.tar.gz")
    monkeypatch.setattr(cifar_files, "_MAX_FILE_SIZE", 3073 * 40 - 1)
    message = refusal(cifar10, tmp_path)
    assert message.startswith(f"{archive / 'test_batch.bin'} is larger than any batch")


def test_a_damaged_archive_is_named(tmp_path):
    archive = write_cifar(tmp_path, "python.tar.gz")
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # in the checksum, which comes last
    for content in (whole[: len(whole) // 2], bytes(flipped), b"", b"no gzip", whole[:-9]):
        archive.write_bytes(content)
        assert refusal(cifar10, tmp_path).startswith(f"{archive} ")


def test_other_members_of_an_archive_are_ignored(tmp_path):
    folder = FOLDERS["binary"]
    contents = {
        f"./some/{folder}/{path.name}": path.read_bytes()
        for path in write_cifar(tmp_path / "unpacked", "binary").iterdir()
    }
    expected = cifar10(tmp_path / "unpacked").X_train
    contents["../../escaped"] = contents[f"other/{folder}-old/test_batch.bin"] = b"not wanted"
    write_tar(tmp_path / "cifar-10-binary.tar.gz", contents)
    np.testing.assert_array_equal(cifar10(tmp_path).X_train, expected)
    assert not list(tmp_path.parent.parent.glob("escaped"))


def test_a_link_in_an_archive_is_no_batch(tmp_path):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for name in ("data_batch_1.bin", "test_batch.bin"):
            link = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            file.addfile(link)
    assert "holds no data_batch_1.bin, data_batch_2.bin" in refusal(cifar10, tmp_path)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), layout=st.sampled_from(LAYOUTS))
def test_a_damaged_copy_loads_or_is_refused(tmp_path_factory, data, layout):
    folder = tmp_path_factory.mktemp("cifar")
    path = write_cifar(folder, layout, images_per_batch=1)
    if path.is_dir():
        path = path / sorted(file.name for file in path.iterdir())[data.draw(st.integers(0, 6))]
    content = bytearray(path.read_bytes())
    # A pickle has all that is not pixels in the first and the last few hundred bytes.
    places = st.integers(0, len(content) - 1) | st.integers(0, 300) | st.integers(-300, -1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        if place < len(content):
            content[max(place, -len(content))] = value
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        loaded = cifar.cifar10(folder)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017  # any other exception fails the test
    else:
        assert loaded.X_train.shape == (4, 3072)


# The real data


def test_the_real_data_set():
    if not REAL or cifar_files.find(Path(REAL)) is None:
        pytest.skip("needs CIFAR-10 in $XPNET_DATA_DIR")
    data = cifar10(REAL)
    assert data.X_train.shape == (49_000, 3072)
    assert data.X_val.shape == (1_000, 3072)
    assert data.X_test.shape == (10_000, 3072)
    assert np.bincount(np.concatenate([data.y_train, data.y_val])).tolist() == [5_000] * 10
    assert np.bincount(data.y_test).tolist() == [1_000] * 10
    # Pixels in the right place differ from their neighbours by 16, in a wrong one by 29.
    images = data.X_test.reshape(-1, 32, 32, 3).astype(np.int16)
    for axis in (1, 2):
        assert np.abs(np.diff(images, axis=axis)).mean() < 20
