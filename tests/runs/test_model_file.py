"""Saved models come back as they were, or not at all."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
from models import EVERY_KIND, OF, PREPROCESSINGS, make, make_table, rows, table
from safetensors import safe_open
from safetensors.numpy import save_file

from xpnet.columns.columns import numbers
from xpnet.errors import InputError
from xpnet.runs.model_file import load_model, save_model
from xpnet.training.row_range import RowRange


def save(path, model):
    save_model(path, model)
    return path


def contents(path):
    """Return metadata and arrays of a file, for a test to change and write with `save_file`."""
    with safe_open(path, framework="np") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same(a, b):
    for name in (
        *("mlp", "preprocessing", "class_names", "image_shape", "averaging", "networks"),
        *("task", "output", "labels", "columns"),
    ):
        assert getattr(a, name) == getattr(b, name), name
    targets = [{} if model.target is None else model.target._asdict() for model in (a, b)]
    ratios = [{} if model.calibration is None else model.calibration._asdict() for model in (a, b)]
    ranges = [
        {} if model.row_range is None else vars(model.row_range) | {"kind": np.array(model.row_range.kind)}
        for model in (a, b)
    ]
    for of_a, of_b in ((a.params, b.params), (a.fitted, b.fitted), targets, ratios, ranges):
        assert of_a.keys() == of_b.keys()
        for name, value in of_a.items():
            assert value.dtype == of_b[name].dtype, name
            np.testing.assert_array_equal(value, of_b[name], err_msg=name)


def message(path):
    with pytest.raises(InputError) as caught:
        load_model(path)
    text = str(caught.value)
    assert text.startswith((str(path), f"there is no file {path}"))
    assert "\n" not in text
    return text


# There and back


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_model_of_any_kind_comes_back_bit_for_bit(tmp_path, kind):
    saved, X = make(**kind), rows(9)
    loaded = load_model(save(tmp_path / "a", saved))
    assert_same(loaded, saved)
    np.testing.assert_array_equal(loaded.scores(X), saved.scores(X))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_dtypes_and_rows_that_are_no_images(tmp_path, dtype):
    saved = make(dtype=dtype, image_shape=None)
    assert_same(load_model(save(tmp_path / "a", saved)), saved)


@pytest.mark.parametrize("of", OF)
def test_every_task(tmp_path, of):
    saved, X = make(of=of, networks=2), rows(9)
    loaded = load_model(save(tmp_path / "a", saved))
    assert_same(loaded, saved)
    np.testing.assert_array_equal(loaded.predict_labels(X), saved.predict_labels(X))


@pytest.mark.parametrize("networks", [None, 2])
@pytest.mark.parametrize("of", OF)
def test_a_table_of_every_task(tmp_path, of, networks):
    saved = make_table(of, networks)
    loaded = load_model(save(tmp_path / "a", saved))
    assert_same(loaded, saved)
    assert loaded.preprocessing.sizes is not None
    new = table() | {"more": ["x"] * 30}
    np.testing.assert_array_equal(loaded.predict_labels(new), saved.predict_labels(new))
    if saved.task == "regression":
        np.testing.assert_array_equal(loaded.predict_interval(new, 0.5), saved.predict_interval(new, 0.5))


def test_columns_of_an_array(tmp_path):
    saved = replace(make(image_shape=None), columns=numbers(12))
    assert_same(load_model(save(tmp_path / "a", saved)), saved)


@pytest.mark.parametrize("X", [rows(9), np.where(rows(9) == rows(9)[:, :1], np.nan, -1.5), rows(9) > 200])
def test_the_range_of_the_rows(tmp_path, X):
    saved = replace(make(networks=2), row_range=RowRange.of(X))
    assert_same(load_model(save(tmp_path / "a", saved)), saved)


@pytest.mark.parametrize(
    "row_range", [{}, [], {"kind": "O", "gaps": []}, {"kind": "f", "gaps": [12]}, {"kind": "f", "gaps": None}]
)
def test_no_range_of_rows(tmp_path, row_range):
    metadata, arrays = contents(save(tmp_path / "a", replace(make(), row_range=RowRange.of(rows(9)))))
    metadata["xpnet"] = json.dumps(json.loads(metadata["xpnet"]) | {"row_range": row_range})
    save_file(arrays, tmp_path / "a", metadata)
    assert "makes no sense" in message(tmp_path / "a")


@pytest.mark.parametrize(
    ("labels", "loaded"),
    [
        ((3, -1, 2**70), (3, -1, 2**70)),
        (("a", "", "\ud800\n"), ("a", "", "\ud800\n")),
        ((0.5, 1e-300, -2.0), (0.5, 1e-300, -2.0)),
        (tuple(np.array([1, 2, 3], np.int8)), (1, 2, 3)),
        (tuple(np.array(["x", "y", "z"])), ("x", "y", "z")),
        ((np.True_, False, True), (True, False, True)),
    ],
)
def test_labels_keep_their_kind(tmp_path, labels, loaded):
    found = load_model(save(tmp_path / "a", replace(make(), labels=labels))).labels
    assert [(type(label), label) for label in found] == [(type(label), label) for label in loaded]


def test_labels_that_no_file_can_hold(tmp_path):
    with pytest.raises(InputError, match="a label is of type tuple: use ints, strings, bools or floats"):
        save(tmp_path / "a", replace(make(), labels=("a", ("b",), "c")))
    assert not list(tmp_path.iterdir())


FORMATS = {
    2: (
        *("mlp", "networks", "dtype", "num_features", "preprocessing"),
        *("averaging", "class_names", "image_shape"),
    ),
}
FORMATS[3] = (*FORMATS[2], "task", "labels", "has_target")
FORMATS[4] = (*FORMATS[3], "columns", "ratios")
"""What the description said in earlier versions."""


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        *[(version, {}) for version in FORMATS],
        *[(version, {"how": PREPROCESSINGS[3], "norm": "layer", "networks": 2}) for version in FORMATS],
        *[(3, {"of": "numbers"}), (3, {"of": "one of two"})],
    ],
)
def test_files_of_earlier_formats(tmp_path, version, kind):
    saved = make(**kind)
    metadata, arrays = contents(save(tmp_path / "a", saved))
    described = json.loads(metadata["xpnet"])
    described = {"format": version} | {name: described[name] for name in FORMATS[version]}
    for name in ("bins", "categories", "sizes") if version < 4 else ():
        del described["preprocessing"][name]
    crc = zlib.crc32(json.dumps(described | {"crc32": ""}).encode())
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].data, crc)
    save_file(arrays, tmp_path / "a", {"xpnet": json.dumps(described | {"crc32": f"{crc:08x}"})})
    assert_same(load_model(tmp_path / "a"), saved)
    arrays["b1"] += 1
    save_file(arrays, tmp_path / "a", {"xpnet": json.dumps(described | {"crc32": f"{crc:08x}"})})
    assert "checksum" in message(tmp_path / "a")


def test_a_folded_model(tmp_path):
    saved = make(PREPROCESSINGS[3], networks=2).fold()
    assert_same(load_model(save(tmp_path / "a", saved)), saved)


def test_the_same_model_is_the_same_file(tmp_path):
    kind = {"how": PREPROCESSINGS[3], "norm": "batch"}
    files = [save(tmp_path / name, make(**kind)).read_bytes() for name in "abcd"]
    assert len(set(files)) == 1


def test_arrays_in_any_layout(tmp_path):
    saved = make(PREPROCESSINGS[3])
    saved.params["W1"] = np.asfortranarray(saved.params["W1"])
    saved.fitted["matrix"] = np.asfortranarray(saved.fitted["matrix"])
    assert_same(load_model(save(tmp_path / "a", saved)), saved)


# Not a model


def test_no_file(tmp_path):
    assert "there is no file" in message(tmp_path / "none")
    assert "there is no file" in message(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64, b"{}" * 64])
def test_another_kind_of_file(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert "cannot be read (" in message(tmp_path / "a")


def test_a_file_cut_short_anywhere(tmp_path):
    path = save(tmp_path / "a", make())
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        message(path)


def test_safetensors_of_someone_else(tmp_path):
    save_file({"weight": np.zeros(3)}, tmp_path / "a")
    assert "was not written by xpnet" in message(tmp_path / "a")


# Not what it says it is


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("W1", np.zeros((7, 6), np.float32), "W1 is F32 (7, 6) and should be F32 (7, 5)"),
        ("b2", np.zeros(5, np.float64), "b2 is F64 (5,) and should be F32 (5,)"),
        ("v1", None, "v1 is no array and should be F32 (5,)"),
        ("W4", np.zeros(1, np.int8), "W4 is I8 (1,) and should be no array"),
        (
            "preprocessing.mean",
            np.zeros(12, np.float32),
            "preprocessing.mean is F32 (12,) and should be F64 (12,)",
        ),
        ("preprocessing.matrix", None, "preprocessing.matrix is no array and should be F64 (12, 7)"),
        ("preprocessing.contrast", np.zeros(1), "preprocessing.contrast is F64 (1,) and should be no array"),
    ],
)
def test_arrays_that_are_not_as_described(tmp_path, name, array, expected):
    metadata, arrays = contents(save(tmp_path / "a", make(PREPROCESSINGS[4], "batch")))
    arrays.pop(name, None)
    save_file(arrays if array is None else arrays | {name: array}, tmp_path / "a", metadata)
    assert expected in message(tmp_path / "a")


@pytest.mark.parametrize("name", ["b1", "m2", "preprocessing.mean", "preprocessing.matrix"])
def test_numbers_that_changed(tmp_path, name):
    metadata, arrays = contents(save(tmp_path / "a", make(PREPROCESSINGS[4], "batch")))
    arrays[name].reshape(-1)[2] += 1
    save_file(arrays, tmp_path / "a", metadata)
    assert "checksum" in message(tmp_path / "a")


def test_a_logistic_output_with_the_names_of_three_classes(tmp_path):
    metadata, arrays = contents(save(tmp_path / "a", make(of="one of two")))
    found = json.loads(metadata["xpnet"]) | {"class_names": ["a", "b", "c"], "labels": None}
    save_file(arrays, tmp_path / "a", {"xpnet": json.dumps(found)})
    assert "makes no sense" in message(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("target.mean", None, "target.mean is no array and should be F64 (3,)"),
        ("target.scale", np.ones(2), "target.scale is F64 (2,) and should be F64 (3,)"),
        ("target.scale", np.ones(3), "checksum"),
    ],
)
def test_another_scale_of_the_target(tmp_path, name, array, expected):
    metadata, arrays = contents(save(tmp_path / "a", make(of="numbers")))
    arrays.pop(name)
    save_file(arrays if array is None else arrays | {name: array}, tmp_path / "a", metadata)
    assert expected in message(tmp_path / "a")


def described(tmp_path, change):
    """Change the description of a saved ensemble and say what is said of it."""
    metadata, arrays = contents(save(tmp_path / "a", make(PREPROCESSINGS[4], "batch", networks=2)))
    metadata["xpnet"] = json.dumps(change(json.loads(metadata["xpnet"])))
    save_file(arrays, tmp_path / "a", metadata)
    return message(tmp_path / "a")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 1}, "has format 1, but this version of xpnet reads 2 to 5"),
        ({"format": 6}, "has format 6, but this version of xpnet reads 2 to 5"),
        ({"format": 4}, "checksum"),
        ({"format": 3}, "checksum"),
        ({"format": 2}, "checksum"),
        ({"format": None}, "has format None"),
        ({"mlp": None}, "makes no sense"),
        ({"networks": "x"}, "makes no sense"),
        ({"networks": None}, "should be F32 (7, 5)"),
        ({"networks": 3}, "should be F32 (3, 7, 5)"),
        ({"dtype": "float16"}, "makes no sense"),
        ({"num_features": 11}, "should be F64 (11,"),
        ({"num_features": 6}, "makes no sense"),  # fewer than the components
        ({"num_features": None}, "makes no sense"),
        ({"preprocessing": {}}, "makes no sense"),  # the mean alone would give 12 features
        ({"averaging": "shift"}, "makes no sense"),
        ({"averaging": None}, "makes no sense"),
        ({"averaging": "flip"}, "checksum"),
        ({"averaging": "flip", "image_shape": None}, "makes no sense"),
        ({"image_shape": [2, 6]}, "makes no sense"),
        ({"image_shape": None}, "checksum"),
        ({"class_names": 3}, "makes no sense"),
        ({"class_names": ["other"]}, "makes no sense"),
        ({"class_names": ["a", "b", "other"]}, "checksum"),
        ({"task": "ranking"}, "makes no sense"),
        ({"task": "multilabel"}, "checksum"),
        ({"task": None}, "makes no sense"),
        ({"labels": [1, 2]}, "makes no sense"),
        ({"labels": [1, 2, None]}, "makes no sense"),
        ({"labels": [1, 2, [3]]}, "makes no sense"),
        ({"labels": [1, 2, 3]}, "checksum"),
        ({"has_target": True}, "makes no sense"),
        ({"has_target": True, "task": "regression"}, "target.mean is no array and should be F64 (3,)"),
        ({"columns": {}}, "makes no sense"),
        ({"columns": numbers(11).as_json()}, "makes no sense"),
        ({"columns": numbers(12).as_json()}, "checksum"),
        ({"ratios": 3}, "calibration.noise is no array and should be F64 (3,)"),
        ({"ratios": -1}, "calibration.noise is no array"),
        ({"ratios": "x"}, "makes no sense"),
        ({"crc32": None}, "checksum"),
    ],
)
def test_a_description_that_changed(tmp_path, changes, expected):
    assert expected in described(tmp_path, lambda found: found | changes)


@pytest.mark.parametrize(
    ("part", "changes", "expected"),
    [
        ("mlp", {"sizes": None}, "makes no sense"),
        ("mlp", {"sizes": [7]}, "makes no sense"),
        ("mlp", {"sizes": [8, 5, 5, 3]}, "makes no sense"),  # seven components
        ("mlp", {"sizes": [7, 5, 6, 3]}, "should be"),
        ("mlp", {"activation": "sine"}, "makes no sense"),
        ("mlp", {"activation": "tanh"}, "checksum"),
        ("mlp", {"norm": "group"}, "makes no sense"),
        ("mlp", {"norm": "layer"}, "should be no array"),
        ("mlp", {"residual": True}, "should be"),
        ("mlp", {"colour": "red"}, "makes no sense"),
        ("preprocessing", {"kind": "pcb"}, "makes no sense"),
        ("preprocessing", {"kind": "pca"}, "checksum"),
        ("preprocessing", {"kind": "zca"}, "makes no sense"),
        ("preprocessing", {"components": 0}, "makes no sense"),
        ("preprocessing", {"ridge": "wide"}, "makes no sense"),
        ("preprocessing", {"contrast": True}, "preprocessing.contrast is no array"),
        ("preprocessing", {"kind": "table"}, "makes no sense"),
        ("preprocessing", {"sizes": [3, 3, 1]}, "makes no sense"),
        ("preprocessing", {"bins": -1}, "checksum"),
        ("preprocessing", {"bins": 9}, "checksum"),
        ("preprocessing", {"categories": [0] * 11}, "makes no sense"),
    ],
)
def test_a_part_of_the_description_that_changed(tmp_path, part, changes, expected):
    assert expected in described(tmp_path, lambda found: found | {part: found[part] | changes})


@pytest.mark.parametrize(
    ("part", "change", "expected"),
    [
        ("preprocessing", {"sizes": None}, "makes no sense"),
        ("preprocessing", {"sizes": [1, 2]}, "makes no sense"),
        ("preprocessing", {"sizes": "abc"}, "makes no sense"),
        ("preprocessing", {"kind": "mean"}, "makes no sense"),
        ("preprocessing", {"categories": None}, "checksum"),
        ("preprocessing", {"categories": [0]}, "makes no sense"),
        ("preprocessing", {"categories": ["a"] * 7}, "makes no sense"),
        ("columns", {"names": ["age"]}, "makes no sense"),
        ("columns", {"columns": []}, "makes no sense"),
        ("columns", {"is_named": None}, "makes no sense"),
        ("columns", {"is_named": False}, "checksum"),
    ],
)
def test_the_description_of_a_table_that_changed(tmp_path, part, change, expected):
    metadata, arrays = contents(save(tmp_path / "a", make_table()))
    found = json.loads(metadata["xpnet"])
    found[part] |= change
    save_file(arrays, tmp_path / "a", {"xpnet": json.dumps(found)})
    assert expected in message(tmp_path / "a")


def test_sizes_of_a_table_that_changed(tmp_path):
    metadata, arrays = contents(save(tmp_path / "a", make_table()))
    found = json.loads(metadata["xpnet"])
    ramps, steps, gaps = found["preprocessing"]["sizes"]
    for sizes in ([ramps + 1, steps - 1, gaps], [-1, steps + ramps + 1, gaps]):
        found["preprocessing"]["sizes"] = sizes
        save_file(arrays, tmp_path / "a", {"xpnet": json.dumps(found)})
        said = message(tmp_path / "a")
        assert ("makes no sense" if sizes[0] < 0 else "preprocessing.ramps is F64 (6, ") in said


@pytest.mark.parametrize("name", ["noise", "ratio"])
def test_errors_on_validation_rows_that_changed(tmp_path, name):
    metadata, arrays = contents(save(tmp_path / "a", make_table("numbers")))
    arrays[f"calibration.{name}"] = arrays[f"calibration.{name}"] + 1
    save_file(arrays, tmp_path / "a", metadata)
    assert "checksum" in message(tmp_path / "a")
    arrays[f"calibration.{name}"] = np.zeros(2)
    save_file(arrays, tmp_path / "a", metadata)
    assert f"calibration.{name} is F64 (2,) and should be F64 (" in message(tmp_path / "a")


def test_a_description_of_which_a_part_is_missing(tmp_path):
    for name in json.loads(contents(save(tmp_path / "a", make()))[0]["xpnet"]):
        without = described(tmp_path, lambda found, name=name: {k: v for k, v in found.items() if k != name})
        assert "makes no sense" in without, name


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_a_description_that_is_none(tmp_path, text):
    metadata, arrays = contents(save(tmp_path / "a", make()))
    save_file(arrays, tmp_path / "a", metadata | {"xpnet": text})
    assert "makes no sense" in message(tmp_path / "a")


@pytest.mark.parametrize(
    "kind", [{}, {"how": PREPROCESSINGS[3], "norm": "layer", "networks": 2}, {"of": "numbers"}, None]
)
def test_a_damaged_file_is_the_same_model_or_an_error(tmp_path, kind):
    saved = make_table() if kind is None else make(**kind)
    path = save(tmp_path / "a", saved)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(400):
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
