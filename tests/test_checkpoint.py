"""Saved models come back as they were, or not at all."""

import json
import re

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from xpnet import network
from xpnet.checkpoint import Model, load_model, save_model
from xpnet.errors import InputError
from xpnet.network import MLP

SIZES = (12, 5, 3)
NAMES = ("cat", "dog", "ünïcode\n")


def model(dtype="float32", image_shape=(2, 2, 3)):
    mlp = MLP(SIZES)
    rng = np.random.default_rng(0)
    params = {k: v.astype(dtype) for k, v in network.init(mlp, rng, 1.0).items()}
    return Model(mlp, params, rng.uniform(0, 255, 12), NAMES, image_shape)


def save(path, m):
    save_model(path, m.mlp, m.params, m.mean, m.class_names, m.image_shape)
    return path


def contents(path):
    """Return metadata and arrays of a file, for a test to change and write with `save_file`."""
    with safe_open(path, framework="np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same(a, b):
    assert (a.mlp, a.class_names, a.image_shape) == (b.mlp, b.class_names, b.image_shape)
    for x, y in [(a.mean, b.mean), *((a.params[k], b.params[k]) for k in a.params | b.params)]:
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def message(path):
    with pytest.raises(InputError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith((str(path), f"there is no file {path}"))
    assert "\n" not in text
    return text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("image_shape", [(2, 2, 3), None])
def test_a_model_comes_back_bit_for_bit(tmp_path, dtype, image_shape):
    saved = model(dtype, image_shape)
    assert_same(load_model(save(tmp_path / "a", saved)), saved)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_the_same_model_is_the_same_file(tmp_path):
    files = [save(tmp_path / name, model()).read_bytes() for name in "abcd"]
    assert len(set(files)) == 1


def test_arrays_in_any_layout(tmp_path):
    saved = model()
    saved.params["W1"] = np.asfortranarray(saved.params["W1"])
    assert_same(load_model(save(tmp_path / "a", saved)), saved)


def test_predictions_from_raw_rows(device):
    m = model()
    X = np.random.default_rng(1).integers(0, 256, (2300, 12)).astype(np.uint8)
    centred = (X - m.mean).astype(np.float32)
    expected = network.scores(np, m.mlp, m.params, centred)
    scores = m.scores(X, device)
    assert type(scores) is np.ndarray
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(m.predict(X, device), scores.argmax(axis=1))


def test_no_rows_and_lists():
    m = model()
    assert m.scores(np.empty((0, 12))).shape == (0, 3)
    assert m.predict([[1] * 12]).shape == (1,)


@pytest.mark.parametrize("shape", [(12,), (4, 11), (4, 2, 2, 3)])
def test_rows_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match=re.escape(f"X has shape {shape}: give (rows, 12)")):
        model().scores(np.zeros(shape))


def test_no_file(tmp_path):
    assert "there is no file" in message(tmp_path / "none")
    assert "there is no file" in message(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64, b"{}" * 64])
def test_another_kind_of_file(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert "cannot be read (" in message(tmp_path / "a")


def test_a_file_cut_short_anywhere(tmp_path):
    path = save(tmp_path / "a", model())
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        message(path)


def test_safetensors_of_someone_else(tmp_path):
    save_file({"weight": np.zeros(3)}, tmp_path / "a")
    assert "was not written by xpnet" in message(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("W1", np.zeros((12, 6), np.float32), "W1 is F32 (12, 6) and should be F32 (12, 5)"),
        ("b2", np.zeros(3, np.float64), "b2 is F64 (3,) and should be F32 (3,)"),
        ("mean", np.zeros(12, np.float32), "mean is F32 (12,) and should be F64 (12,)"),
        ("W2", None, "W2 is no array and should be F32 (5, 3)"),
        ("W3", np.zeros(1, np.int8), "W3 is I8 (1,) and should be no array"),
    ],
)
def test_arrays_that_are_not_as_described(tmp_path, name, array, expected):
    metadata, arrays = contents(save(tmp_path / "a", model()))
    arrays.pop(name, None)
    save_file(arrays if array is None else arrays | {name: array}, tmp_path / "a", metadata)
    assert expected in message(tmp_path / "a")


def test_numbers_that_changed(tmp_path):
    metadata, arrays = contents(save(tmp_path / "a", model()))
    arrays["b1"][2] = 1
    save_file(arrays, tmp_path / "a", metadata)
    assert "checksum" in message(tmp_path / "a")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 2}, "has format 2 and this version of xpnet reads 1"),
        ({"sizes": None}, "makes no sense"),
        ({"sizes": [12]}, "makes no sense"),
        ({"dtype": "float16"}, "makes no sense"),
        ({"image_shape": [2, 6]}, "makes no sense"),
        ({"class_names": 3}, "makes no sense"),
        ({"class_names": ["other"]}, "checksum"),
        ({"crc32": None}, "checksum"),
    ],
)
def test_a_description_that_changed(tmp_path, changes, expected):
    metadata, arrays = contents(save(tmp_path / "a", model()))
    metadata["xpnet"] = json.dumps(json.loads(metadata["xpnet"]) | changes)
    save_file(arrays, tmp_path / "a", metadata)
    assert expected in message(tmp_path / "a")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_a_description_that_is_none(tmp_path, text):
    metadata, arrays = contents(save(tmp_path / "a", model()))
    save_file(arrays, tmp_path / "a", metadata | {"xpnet": text})
    assert "makes no sense" in message(tmp_path / "a")


def test_a_damaged_file_is_the_same_model_or_an_error(tmp_path):
    saved = model()
    path = save(tmp_path / "a", saved)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[position] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            loaded = load_model(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either is right
        else:
            assert_same(loaded, saved)
