"""Exported models compute what the model does, whatever runs them."""

import contextlib
import io
import itertools
import json
import warnings
from dataclasses import replace

import models
import numpy as np
import pytest

from xpnet.data import transforms
from xpnet.data.preprocessing import Preprocessing
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.exporters import export, pytorch
from xpnet.exporters import onnx as to_onnx
from xpnet.exporters.first_layer import first_layer
from xpnet.nn.activations import ACTIVATIONS
from xpnet.nn.mlp import MLP

ACTIVE = itertools.cycle(ACTIVATIONS)
# Every activation meets every norm, every preprocessing and every way of averaging.
EVERY_KIND = [(next(ACTIVE), kind) for kind in models.EVERY_KIND]
every_kind = pytest.mark.parametrize(
    ("activation", "kind"),
    EVERY_KIND,
    ids=["-".join([a, *(str(getattr(v, "kind", v)) for v in kind.values())]) for a, kind in EVERY_KIND],
)


def make(activation, kind, dtype="float32"):
    model = models.make(**kind, dtype=dtype)
    return replace(model, mlp=replace(model.mlp, activation=activation))


def raw_rows(count):
    """Images of bytes, as float32; the first has nearly no contrast, the second none."""
    X = models.rows(count).astype(np.float32)
    X[0] = 250.0
    X[0, 3] = 251.0
    X[1] = 7.0
    return X


def assert_same(model, X, scores, P=None, label=None):
    expected = model.scores(X)
    # A logarithm of next to nothing depends on who rounds that to 0.
    tiny = expected < -70 if model.networks or model.averaging != "none" else np.zeros(expected.shape, bool)
    assert (scores[tiny] < -69).all()
    scale = np.abs(expected[~tiny]).max()
    np.testing.assert_allclose(scores[~tiny], expected[~tiny], rtol=0, atol=1e-5 * max(scale, 1))
    if P is not None:
        np.testing.assert_allclose(P, model.probabilities(X), rtol=0, atol=1e-5)
        clear = np.diff(np.sort(model.probabilities(X), axis=1)[:, -2:], axis=1)[:, 0] > 1e-4
        np.testing.assert_array_equal(label[clear], model.predict(X)[clear])
        assert (P.dtype, label.dtype) == (np.float32, np.int64)


@pytest.fixture(scope="module")
def reference():
    """Return what runs a model as the ONNX project defines its operators."""
    module = pytest.importorskip("onnx.reference")

    def run(proto, X):
        # The logarithm of a probability of 0; both branches of a logistic function.
        with np.errstate(all="ignore"):
            return module.ReferenceEvaluator(proto).run(None, {"X": X})

    return run


@pytest.fixture(scope="module")
def runtime():
    """Return what runs a model with onnxruntime."""
    pytest.importorskip("onnx")
    module = pytest.importorskip("onnxruntime")

    def run(proto, X):
        options = module.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = module.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, {"X": X})

    return run


@every_kind
def test_onnx_by_both_ways_to_run_it(activation, kind, reference, runtime):
    model = make(activation, kind)
    proto = to_onnx.graph_of(model)
    for count in (1, 9):
        X = raw_rows(9)[:count]
        for run in (reference, runtime):
            assert_same(model, X, *run(proto, X))


OLD_KINDS = [
    {"activation": "gelu", "kind": {"networks": 2, "averaging": "flip"}},
    {"activation": "relu", "kind": {"norm": "layer"}},
]


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("of", OLD_KINDS, ids=str)
def test_other_versions_of_the_operators(opset, of, reference, runtime):
    """What has changed since 13: the GELU came with 20, axes as an input with 18."""
    model, X = make(**of), raw_rows(9)
    proto = to_onnx.graph_of(model, opset)
    assert proto.opset_import[0].version == opset
    for run in (reference, runtime):
        assert_same(model, X, *run(proto, X))
    assert to_onnx.graph_of(model, 20) == to_onnx.graph_of(model)


@pytest.mark.parametrize("opset", [12, 10**6])
def test_versions_that_cannot_be(opset, tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(InputError, match=f"^--opset must be from 13 to [0-9]+, not {opset}$"):
        export(models.make(), tmp_path / "a.onnx", opset=opset)
    with pytest.raises(InputError, match=r"^--opset must be an integer, not 'new'$"):
        export(models.make(), tmp_path / "a.onnx", opset="new")
    with pytest.raises(InputError, match="--opset applies to ONNX only: leave it out"):
        export(models.make(), tmp_path / "a.safetensors", opset=20)
    assert not list(tmp_path.iterdir())


AVERAGED = [{}, {"networks": 2}, {"averaging": "flip"}, {"networks": 2, "averaging": "flip-shift"}]
every_task = pytest.mark.parametrize("of", models.OF)
every_average = pytest.mark.parametrize("averaged", AVERAGED, ids=str)


def assert_close(found, expected):
    """To 1e-5, and where it is numbers in units of a target, to 1e-5 of the deviation around the mean."""
    assert (found.shape, found.dtype.kind) == (expected.shape, expected.dtype.kind)
    middle = np.float64(expected).mean(axis=0)
    scale = np.maximum(np.abs(expected - middle).max(axis=0), 1e-3)
    np.testing.assert_allclose((found - middle) / scale, (expected - middle) / scale, rtol=0, atol=1e-5)


@every_task
@every_average
def test_onnx_of_every_task(of, averaged, reference, runtime):
    model, X = models.make(of=of, **averaged), raw_rows(9)
    model.params["b3"][:] -= 0.5  # or all labels are 1
    proto = to_onnx.graph_of(model)
    for run in (reference, runtime):
        found = dict(zip([output.name for output in proto.graph.output], run(proto, X), strict=True))
        if model.task == "regression":
            assert list(found) == ["numbers"]
            assert found["numbers"].dtype == (np.float32 if model.target is None else np.float64)
            assert_close(found["numbers"], model.predict(X).reshape(9, -1))
            continue
        clear = np.abs(model.scores(X)) < 8
        np.testing.assert_allclose(found["scores"][clear], model.scores(X)[clear], rtol=1e-4, atol=1e-4)
        assert found["scores"].shape == clear.shape
        assert_close(found["probabilities"], model.probabilities(X))
        np.testing.assert_array_equal(found["label"], model.predict(X))
        assert found["label"].dtype == np.int64


@every_task
@every_average
def test_torch_of_every_task(of, averaged, tmp_path):
    model, X = models.make(of=of, **averaged), raw_rows(9)
    namespace = run_source(pytorch.export(model, tmp_path / "model"))
    with namespace["torch"].no_grad():
        found = namespace["model"](namespace["torch"].from_numpy(X)).numpy()
    if model.task == "regression":
        assert_close(found, model.scores(X))
    else:
        clear = np.abs(model.scores(X)) < 8
        np.testing.assert_allclose(found[clear], model.scores(X)[clear], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("labels", [(np.int8(1), np.int8(2)), (np.str_("a"), "b"), (False, np.True_)])
def test_labels_of_the_file(labels):
    pytest.importorskip("onnx")
    proto = to_onnx.graph_of(replace(models.make(of="one of two"), labels=labels))
    assert {p.key: json.loads(p.value) for p in proto.metadata_props}["labels"] == list(labels)


def of_large_mean(dtype="float32", how=models.PREPROCESSINGS[2]):
    """A model of data whose mean is thousands of times its deviation."""
    rng = np.random.default_rng(0)
    X = (60_000 + rng.integers(-20, 20, (200, 12))).astype(np.uint16)
    model = models.make(how, dtype=dtype)
    return replace(model, fitted=transforms.fit(how, X, Device(), dtype)), X.astype(np.float32)


@pytest.mark.parametrize("how", [Preprocessing("mean"), Preprocessing("standardize"), Preprocessing("zca")])
def test_a_mean_that_is_large_against_the_deviation_costs_no_digits(how, reference, runtime):
    model, X = of_large_mean(how=how)
    proto = to_onnx.graph_of(model)
    for run in (reference, runtime):
        assert_same(model, X, *run(proto, X))


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_a_float64_model_becomes_one_of_float32(norm, reference):
    model = models.make(norm=norm, networks=2, dtype="float64")
    assert_same(model, raw_rows(9), *reference(to_onnx.graph_of(model), raw_rows(9)))


@every_task
def test_no_rows_of_every_task(of, runtime):
    model = models.make(of=of)
    for found in runtime(to_onnx.graph_of(model), np.empty((0, 12), np.float32)):
        assert len(found) == 0


def test_no_rows_at_all(runtime):
    model = models.make(networks=2, averaging="flip")
    scores, P, label = runtime(to_onnx.graph_of(model), np.empty((0, 12), np.float32))
    assert (scores.shape, P.shape, label.shape) == ((0, 3), (0, 3), (0,))


def test_what_the_file_says_of_itself():
    onnx = pytest.importorskip("onnx")
    proto = to_onnx.graph_of(models.make())
    assert {p.key: json.loads(p.value) for p in proto.metadata_props} == {
        "task": "classification",
        "class_names": list(models.NAMES),
        "labels": None,
        "image_shape": list(models.IMAGES),
    }
    assert (proto.producer_name, proto.ir_version, proto.opset_import[0].version) == ("xpnet", 9, 20)
    (x,) = proto.graph.input
    assert [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] == ["rows", 12]
    assert [o.name for o in proto.graph.output] == ["scores", "probabilities", "label"]
    assert {t.data_type for t in proto.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_the_file_is_the_same_each_time(tmp_path):
    pytest.importorskip("onnx")
    for name in ("a.onnx", "b.onnx"):
        to_onnx.export(models.make(networks=2), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_too_large_for_the_format(monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setattr(to_onnx, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="use --format torch"):
        to_onnx.graph_of(models.make())


def run_source(source):
    """Execute the printed source, as a user would who has saved it."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # those of torch itself
        pytest.importorskip("torch")
        namespace = {}
        exec(compile(source, "printed", "exec"), namespace)
    return namespace


@every_kind
def test_the_printed_module_of_torch(activation, kind, tmp_path):
    model = make(activation, kind)
    namespace = run_source(pytorch.export(model, tmp_path / "it's.safetensors"))
    X = raw_rows(9)
    with namespace["torch"].no_grad():
        assert_same(model, X, namespace["model"](namespace["torch"].from_numpy(X)).numpy())


def test_torch_and_a_large_mean(tmp_path):
    model, X = of_large_mean()
    namespace = run_source(pytorch.export(model, tmp_path / "model"))
    with namespace["torch"].no_grad():
        assert_same(model, X, namespace["model"](namespace["torch"].from_numpy(X)).numpy())


def test_the_source_of_a_plain_network():
    model = replace(models.make(Preprocessing("none")), mlp=MLP((12, 5, 5, 3)))
    assert pytorch.source_of(model, "a\ud800b") == (
        "import torch\n"
        "from safetensors.torch import load_file\n"
        "from torch import nn\n"
        "\n"
        "# 12 raw float32 features in, scores of 3 classes out\n"
        "model = nn.Sequential(\n"
        "    nn.Linear(12, 5),\n"
        "    nn.ReLU(),\n"
        "    nn.Linear(5, 5),\n"
        "    nn.ReLU(),\n"
        "    nn.Linear(5, 3),\n"
        ")\n"
        "model.load_state_dict(load_file('a\\ud800b'))\n"
        "model.eval()\n"
    )
    assert list(pytorch.state_of(model)) == [f"{k}.{name}" for k in (0, 2, 4) for name in ("weight", "bias")]


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ("one of two", "scores of the second of 2 classes (sigmoid turns them into probabilities)"),
        ("labels", "scores of 3 labels (sigmoid turns them into probabilities)"),
        ("numbers", "3 numbers"),
    ],
)
def test_the_source_says_what_comes_out(of, says):
    source = pytorch.source_of(models.make(of=of), "a")
    assert f"\n# 12 raw float32 features in, {says} out\n" in source
    assert ("InUnits(3)" in source) == (of == "numbers")


@pytest.mark.parametrize("how", models.PREPROCESSINGS, ids=lambda how: how.kind)
def test_the_first_layer_is_that_of_the_folded_model_but_for_the_mean(how):
    model = models.make(how, networks=2, dtype="float64")
    first, folded = first_layer(model), model.fold()
    np.testing.assert_allclose(first.W, folded.params["W1"])
    mean = np.zeros(12) if first.mean is None else first.mean
    np.testing.assert_allclose(first.b - np.matmul(mean, first.W), folded.params["b1"])


# Numbers that float32 cannot hold apart


def exact_model(kind, contrast=False):
    X = np.random.default_rng(5).standard_normal((50, 12)) * np.resize([1e-140, 1e140, 1.0], 12)
    X += np.resize([0, 0, 1.7e9], 12)
    how = transforms.suited(Preprocessing(kind, contrast=contrast), X, "float32")
    model = models.make(Preprocessing("none"))
    fitted = transforms.fit(how, X, Device())
    return replace(model, preprocessing=how, fitted=fitted, image_shape=None), X


@pytest.mark.parametrize("kind", ["standardize", "pca", "zca"])
def test_rows_that_are_prepared_in_float64(kind, reference, runtime):
    model, X = exact_model(kind)
    for run in (reference, runtime):
        assert_same(model, X, *run(to_onnx.graph_of(model), X))


def test_rows_that_are_prepared_in_float64_by_torch(tmp_path):
    torch = pytest.importorskip("torch")
    model, X = exact_model("pca")
    source = pytorch.export(model, tmp_path / "a.safetensors")
    assert "raw float64 features in" in source
    names = {}
    exec(source, names)
    with torch.no_grad():
        assert_same(model, X, names["model"](torch.from_numpy(X)).numpy())


def test_contrast_in_float64_is_in_no_export():
    pytest.importorskip("onnx")
    model, _ = exact_model("standardize", contrast=True)
    for exports in (to_onnx.graph_of, pytorch.state_of):
        with pytest.raises(InputError, match="have no layer for contrast normalisation in float64"):
            exports(model)
