"""Models of tables as ONNX: inputs by name, gaps and unknown categories, all as the model itself has it."""

import datetime
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from command_lines import call, refused, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

import xpnet
from xpnet import exporters
from xpnet.columns import words
from xpnet.columns.column import Column
from xpnet.columns.columns import Columns, numbers
from xpnet.commands import export
from xpnet.data import transforms
from xpnet.data.preprocessing import Preprocessing
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.exporters import onnx as to_onnx
from xpnet.exporters import onnx_table, pytorch
from xpnet.nn.backprop import stack
from xpnet.nn.mlp import MLP, init
from xpnet.training.model import Model
from xpnet.training.scale import Scale

onnx = pytest.importorskip("onnx")

OF = {
    "two": (2, 2, {}),
    "three": (3, 3, {"labels": ("a", "b", "c")}),
    "one of two": (1, 2, {"labels": (-1, 1)}),
    "labels": (3, 3, {"task": "multilabel"}),
    "numbers": (2, 2, {"task": "regression", "target": Scale(np.array([1e6, 0.1]), np.array([1.0, 2e-3]))}),
    "raw numbers": (1, 1, {"task": "regression"}),
}
"""Outputs, names and the rest of a model, by what it predicts."""

every_task = pytest.mark.parametrize("of", OF)
BOTH = pytest.mark.parametrize("dtype", ["float32", "float64"])


def mixed(rows=60, seed=0):
    """A column of every kind, with gaps, in an order that says nothing."""
    rng = np.random.default_rng(seed)

    def with_gaps(values, gap=None):
        return [gap if rng.random() < 0.2 else value for value in values]

    start = datetime.datetime(2021, 3, 4, 5)
    steps = rng.integers(0, 20_000, rows).tolist()
    return {
        "price of it": with_gaps(rng.lognormal(2, 2, rows).astype(np.float32).tolist()),
        "city": with_gaps(rng.choice(["Ulm", "Köln", "a\nb"], rows).tolist(), ""),
        "size": with_gaps(rng.choice([1, 2, 30], rows).tolist()),
        "year": rng.integers(1900, 2026, rows).tolist(),
        "id": (rng.integers(0, 500, rows) + 40_000_000).tolist(),
        "when": with_gaps([start + datetime.timedelta(hours=hours) for hours in steps]),
        "new": with_gaps((rng.random(rows) < 0.4).tolist()),
        "took": [datetime.timedelta(seconds=second) for second in steps],
        "answer": rng.choice(["yes", "no"], rows).tolist(),
    }


def unseen():
    """Rows unlike those of training: other categories, wild numbers, gaps where there was none, all gaps."""
    wild = {name: [None, None, values[0]] for name, values in mixed().items()}
    return wild | {
        "price of it": [1e30, None, -1e30],
        "city": ["Bonn", "nan", None],
        "size": [4, None, 2],
        "year": [3, None, 9999],
        "answer": ["maybe", None, "yes"],
    }


def make(frame, of="three", networks=None, dtype="float32", how=None):
    """Return a model of a table, with everything random."""
    columns = Columns.infer(frame, categorical=["size"] if "size" in frame else [], note=lambda _: None)
    X = columns.matrix(frame)
    sizes = tuple(len(column.categories) for column in columns.columns)
    return of_matrix(X, how or Preprocessing("table", categories=sizes), of, networks, dtype, columns=columns)


def of_matrix(X, how, of="three", networks=None, dtype="float32", **about):
    """Return the same of a matrix."""
    outputs, names, more = OF[of]
    fitted = transforms.fit(how, X, Device(), dtype)
    how = transforms.complete(how, fitted)
    mlp = MLP((how.output_features(X.shape[1]), 6, outputs), "tanh")
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(networks or 1):
        params = init(mlp, rng, 0.3)
        params = {k: v if k.startswith("W") else rng.uniform(-0.4, 0.4, v.shape) for k, v in params.items()}
        drawn.append({name: value.astype(dtype) for name, value in params.items()})
    params = drawn[0] if networks is None else stack(np, drawn)
    class_names = tuple(f"name {k}" for k in range(names))
    return Model(mlp, params, how, fitted, class_names, **more, **about)


def as_text(value):
    """Return a category as a user writes it down: `str`, and nothing for a gap."""
    return "" if value is None else str(value)


def feeds(model, proto, frame):
    """Return what the graph is given: found in the file, not in the code that wrote it."""
    X = model.columns.matrix(frame)
    described = json.loads({p.key: p.value for p in proto.metadata_props}["inputs"])
    given = {}
    for place, of in enumerate(described):
        if of["kind"] == "category":
            given[of["input"]] = np.array([[as_text(value)] for value in frame[of["column"]]], object)
        else:
            given[of["input"]] = X[:, place : place + 1]
    return given


def by_reference(proto):
    """Return what runs a graph as the ONNX project defines its operators."""
    session = pytest.importorskip("onnx.reference").ReferenceEvaluator(proto)

    def run(given):
        with np.errstate(all="ignore"):  # the logarithm of a probability of 0
            return session.run(None, given)

    return run


def by_runtime(proto):
    """Return what runs a graph with onnxruntime."""
    module = pytest.importorskip("onnxruntime")
    options = module.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = module.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, given)


every_way = pytest.mark.parametrize("way", [by_reference, by_runtime])


def assert_same(model, X, found):
    """Compare with the model to 1e-5; numbers to 1e-5 of the scale of their target."""
    if model.task == "regression":
        (numbers,) = found
        scale = 1.0 if model.target is None else model.target.scale
        assert numbers.dtype == (np.float32 if model.target is None else np.float64)
        np.testing.assert_allclose(numbers / scale, model.scores(X) / scale, rtol=0, atol=1e-5)
        return
    scores, P, label = found
    np.testing.assert_allclose(scores, model.scores(X), rtol=0, atol=1e-5)
    np.testing.assert_allclose(P, model.probabilities(X), rtol=0, atol=1e-5)
    assert (scores.dtype, P.dtype, label.dtype) == (np.float32, np.float32, np.int64)
    expected = model.scores(X)
    margin = np.diff(np.sort(expected, axis=1)[:, -2:], axis=1) if model.output == "softmax" else expected
    if (np.abs(margin) > 1e-4).all():  # else rounding may decide
        np.testing.assert_array_equal(label, model.predict(X))


@every_way
@every_task
@pytest.mark.parametrize("networks", [None, 3])
@BOTH
def test_every_task(way, of, networks, dtype):
    train = mixed()
    model = make(train, of, networks, dtype)
    assert {"city", "when (hour)", "new"} <= {column.name for column in model.columns.columns}
    proto = to_onnx.graph_of(model)
    run = way(proto)
    for frame in (train, unseen(), mixed(1, seed=5)):
        given = feeds(model, proto, frame)
        # The graph's numbers are float32, which is what a float32 model makes of them anyway.
        X = model.columns.matrix(frame)
        assert_same(model, X, run(given))


SIGNS = st.characters(codec="utf-8", exclude_characters="\0")
CITIES = ["Ulm", "Köln", "a\nb", "Bonn", "ulm", "", "nan", "NA", "?"]
VALUES = {
    "price of it": st.floats(-(2.0**60), 2.0**60, width=32),
    "city": st.sampled_from(CITIES) | st.text(SIGNS, max_size=3),
    "size": st.sampled_from([1, 2, 30, 4, -1]),
    "year": st.integers(1900, 2100),
    "id": st.integers(40_000_000, 40_000_500),
    "when": st.datetimes(datetime.datetime(1800, 1, 1), datetime.datetime(2300, 1, 1)),
    "new": st.booleans(),
    "took": st.timedeltas(datetime.timedelta(0), datetime.timedelta(9)),
    "answer": st.sampled_from(["yes", "no", "YES", "maybe"]),
}
ROW = st.fixed_dictionaries({name: st.none() | of for name, of in VALUES.items()})


@pytest.fixture(scope="module")
def of_each_dtype():
    """Return a model, its graph and what runs it, by its dtype."""
    found = {}
    for dtype in ("float32", "float64"):
        model = make(mixed(), networks=2, dtype=dtype)
        proto = to_onnx.graph_of(model)
        found[dtype] = model, proto, by_runtime(proto)
    return found


@pytest.mark.filterwarnings("ignore::xpnet.errors.UnseenWarning")
@BOTH
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_any_rows(of_each_dtype, dtype, rows):
    model, proto, run = of_each_dtype[dtype]
    frame = {name: [row[name] for row in rows] for name in VALUES}
    # Text is compared sign by sign: what stands beside it, Columns.matrix does not mind.
    frame["city"] = [None if city is None else city.strip() for city in frame["city"]]
    assert_same(model, model.columns.matrix(frame), run(feeds(model, proto, frame)))


@given(
    st.lists(st.none() | st.floats(-1e9, 1e9, width=32) | st.integers(0, 3), min_size=2, max_size=30),
    st.integers(0, 5),
)
@settings(max_examples=20)
def test_any_training_rows(values, bins):
    X = np.array([[np.nan if value is None else value, place % 2] for place, value in enumerate(values)])
    how = Preprocessing("table", bins=bins, categories=(0, 2))
    model = of_matrix(X, how)
    (y, *others) = by_runtime(to_onnx.graph_of(model))({"X": X.astype(np.float32)})
    assert_same(model, X, [y, *others])


def test_columns_in_any_order():
    train = mixed()
    model = make(train)
    proto = to_onnx.graph_of(model)
    names = list(train)
    random.Random(0).shuffle(names)
    shuffled = {name: train[name] for name in names}
    given = feeds(model, proto, train)
    inputs = list(given)
    random.Random(1).shuffle(inputs)
    found = by_runtime(proto)({name: given[name] for name in inputs})
    np.testing.assert_allclose(found[1], model.probabilities(shuffled), rtol=0, atol=1e-5)


def test_what_the_graph_takes():
    proto = to_onnx.graph_of(make(mixed()))
    onnx.checker.check_model(proto, full_check=True)
    types = {value.name: value.type.tensor_type for value in proto.graph.input}
    assert list(types) == [
        *("price of it", "city", "size", "year", "id"),
        *("when", "when (month)", "when (weekday)", "when (hour)", "new", "took", "answer"),
    ]
    strings = {name for name, of in types.items() if of.elem_type == onnx.TensorProto.STRING}
    assert strings == {"city", "size", "answer"}
    others = {of.elem_type for name, of in types.items() if name not in strings}
    assert others == {onnx.TensorProto.DOUBLE}
    shapes = {tuple(d.dim_param or d.dim_value for d in of.shape.dim) for of in types.values()}
    assert shapes == {("rows", 1)}
    assert {of.domain: of.version for of in proto.opset_import} == {"": 20, "ai.onnx.ml": 3}
    told = {p.key: json.loads(p.value) for p in proto.metadata_props}
    assert told["labels"] == ["a", "b", "c"]
    hour = {"input": "when (hour)", "column": "when", "kind": "number", "part": "hour", "held": "dates"}
    assert told["inputs"][8] == hour


def test_names_that_are_taken_or_cannot_be():
    names = [
        *("label", "label_", "scores", "numbers", "X", "rows", "", "column 6", "\ud800", "a\0b", "'", "ünï"),
        *("sub_0", "sub_1", "sub_1_", "columns_mean", "W1", "b1", "ramps_source", "concat_0", "last_axis"),
    ]
    rng = np.random.default_rng(0)
    frame = {name: rng.normal(size=30).tolist() for name in names}
    frame["label"] = rng.choice(["a", "b"], 30).tolist()
    model = make(frame)
    proto = to_onnx.graph_of(model)
    assert_same(model, frame, by_runtime(proto)(feeds(model, proto, frame)))
    inputs = [value.name for value in proto.graph.input]
    changed = {name: found for name, found in zip(names, inputs, strict=True) if name != found}
    assert changed == {
        "label": "label__",
        "scores": "scores_",
        "": "column 6_",
        "\ud800": "\\ud800",
        "a\0b": "a\\x00b",
    }
    assert len(set(inputs)) == len(names)
    proto = to_onnx.graph_of(make(frame, of="numbers"))  # whose outputs are not called so
    assert [value.name for value in proto.graph.input][:4] == ["label", "label_", "scores", "numbers_"]


@every_way
def test_categories_as_they_are_written(way):
    train = {
        "int": [1, 2, 30] * 4,
        "code": ["007", "7", "8"] * 4,
        "bool": ["true", "False", "maybe"] * 4,
        "float": ["0.5", "1e-05", "x"] * 4,
    }
    columns = Columns.infer(train, categorical=list(train))
    how = Preprocessing("table", categories=(3, 3, 3, 3))
    model = of_matrix(columns.matrix(train), how, columns=columns)
    new = {
        "int": ["1", "1.0", " 2.0", "30 ", "4"],
        "code": [" 007", "7", "7.0 ", "8.0", "9"],
        "bool": ["True", "TRUE", "false", "FALSE", "MAYBE"],
        "float": ["0.5", "0.00001", "1e-05", "X", "nan"],
    }
    found = way(to_onnx.graph_of(model))({name: np.array(v, object)[:, None] for name, v in new.items()})
    assert_same(model, new, found)
    # Of the values themselves, as of the text that stands for them.
    same = new | {"int": [1, 1.0, 2.0, 30, 4]}
    assert_same(model, same, found)


TEXTS = st.text("017.e+-tTrueRUEaNnl ", max_size=5) | st.sampled_from(words.GAPS)


@given(st.lists(TEXTS, min_size=1, unique=True))
def test_what_is_listed_is_what_the_matrix_says(texts):
    column = Column("it", "category", tuple(dict.fromkeys(text.strip() for text in texts)))
    known = onnx_table.spellings(column)
    columns = Columns((column,), ("it",))
    everything = [*known, *column.categories]
    codes = columns.matrix({"it": everything})[:, 0]
    np.testing.assert_array_equal(codes, [known[text] for text in everything])
    assert np.isnan([known[gap] for gap in words.GAPS]).all()


def test_true_and_1_are_one_where_there_are_no_others():
    known = onnx_table.spellings(Column("it", "category", ("False", "True")))
    assert [known[text] for text in (" True", "True ", " True ")] == [1, 1, 1]
    assert [known[text] for text in ("True", "TRUE", "1", "1.0", "false", "0")] == [1, 1, 1, 1, 0, 0]
    assert "true" not in onnx_table.spellings(Column("it", "category", ("0", "1", "2")))


def test_a_category_that_no_text_can_be():
    known = onnx_table.spellings(Column("it", "category", ("a\ud800", "b")))
    assert {text.strip() for text in known} == {*words.GAPS, "b"}


def plain(rows=40):
    rng = np.random.default_rng(3)
    X = (rng.normal(size=(rows, 4)) * [1, 100, 0.01, 5] + [0, 2000, 0, -3]).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = np.nan
    return X


@every_way
@pytest.mark.parametrize("columns", [None, numbers(4)], ids=["without", "unnamed"])
def test_an_array_of_numbers_with_gaps(way, columns):
    X = plain()
    model = of_matrix(X, Preprocessing("table"), columns=columns)
    proto = to_onnx.graph_of(model)
    (x,) = proto.graph.input
    assert (x.name, [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]) == ("X", ["rows", 4])
    assert [of.domain for of in proto.opset_import] == [""]
    assert "inputs" not in {p.key for p in proto.metadata_props}
    assert_same(model, X, way(proto)({"X": X}))


def test_rows_without_names_that_are_not_all_numbers():
    rows = [[k % 7, "ab"[k % 2], k / 3] for k in range(30)]
    model = make(rows)
    proto = to_onnx.graph_of(model)
    assert [value.name for value in proto.graph.input] == ["0", "1", "2"]
    frame = {str(k): [row[k] for row in rows] for k in range(3)}
    assert_same(model, model.columns.matrix(rows), by_runtime(proto)(feeds(model, proto, frame)))


@pytest.mark.parametrize("kind", ["standardize", "pca"])
def test_named_numbers_of_another_preprocessing(kind):
    frame = {name: np.random.default_rng(k).normal(k, 2, 30) for k, name in enumerate("abc")}
    model = make(frame, how=Preprocessing(kind))
    proto = to_onnx.graph_of(model)
    assert [value.name for value in proto.graph.input] == ["a", "b", "c"]
    assert_same(model, frame, by_runtime(proto)(feeds(model, proto, frame)))


@every_way
@pytest.mark.parametrize("names", ["city", "answer", "year", "city answer", "year new"])
def test_inputs_of_some_kinds_only(way, names):
    frame = {name: mixed()[name] for name in names.split()}
    model = make(frame)
    proto = to_onnx.graph_of(model)
    assert_same(model, frame, way(proto)(feeds(model, proto, frame)))


@every_way
@BOTH
def test_numbers_large_against_their_deviation(way, dtype):
    rng = np.random.default_rng(0)
    frame = {"id": 2.0**30 + 1024 * rng.integers(0, 50, 80), "year": rng.integers(2019, 2022, 80)}
    model = make(frame, dtype=dtype)
    proto = to_onnx.graph_of(model)
    assert_same(model, frame, way(proto)(feeds(model, proto, frame)))


@every_task
def test_no_rows(of):
    model = make(mixed(), of)
    proto = to_onnx.graph_of(model)
    given = {name: value[:0] for name, value in feeds(model, proto, mixed()).items()}
    assert [len(found) for found in by_runtime(proto)(given)] == [0] * len(proto.graph.output)


def test_the_file_is_the_same_each_time():
    first, second = (to_onnx.graph_of(make(mixed())).SerializeToString() for _ in range(2))
    assert first == second


def test_by_the_command_and_by_a_run(tmp_path, capsys):
    model = make(mixed())
    folder = write_run(tmp_path / "run", model)
    assert call(export.main, capsys, folder)[0] == 0
    xpnet.load(folder).export(tmp_path / "again.onnx")
    assert (folder / "model.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
    proto = onnx.load(folder / "model.onnx")
    assert_same(model, mixed(), by_runtime(proto)(feeds(model, proto, mixed())))


def test_no_table_for_pytorch(tmp_path, capsys):
    model = make(mixed())
    with pytest.raises(InputError, match="use --format onnx"):
        exporters.export(model, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="use --format onnx"):
        pytorch.source_of(replace(model, columns=None), tmp_path / "a")
    folder = write_run(tmp_path / "run", model)
    before = sorted(tmp_path.rglob("*"))
    assert "use --format onnx" in refused(export.main, capsys, folder, "--format", "torch")
    assert sorted(tmp_path.rglob("*")) == before
