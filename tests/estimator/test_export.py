"""Fitted estimators as files for other libraries, run there."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from estimators import classes, fitted, numbers
from sklearn.exceptions import NotFittedError

from xpnet import InputError, MLPClassifier, MLPRegressor, TableClassifier, TableRegressor

HOW = {"hidden_layer_sizes": 6, "max_iter": 20, "random_state": 0}


def run(path, X):
    """Return what onnxruntime makes of rows, and what the file says of itself."""
    module = pytest.importorskip("onnxruntime")
    session = module.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64}
    given = session.get_inputs()
    columns = [X] if len(given) == 1 else np.split(X, len(given), axis=1)
    named = {of.name: part.astype(types[of.type]) for of, part in zip(given, columns, strict=True)}
    found = dict(zip([of.name for of in session.get_outputs()], session.run(None, named), strict=True))
    about = session.get_modelmeta().custom_metadata_map
    return found, {name: json.loads(text) for name, text in about.items()}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("opset", [None, 15])
def test_classifier(kind, opset, tmp_path):
    pytest.importorskip("onnx")
    X, y = classes(kind)
    y = y if kind == "multilabel" else np.array(["ant", "bee", "cow"])[y]
    how = {"preprocess": "standardize", "ensemble": 2} if opset else {}
    model = fitted(MLPClassifier(**HOW, **how), X, y)
    path = model.export(tmp_path / "m.onnx", opset=opset)
    found, about = run(path, X)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    labels = found["label"] if kind == "multilabel" else np.array(about["labels"])[found["label"]]
    np.testing.assert_array_equal(labels, model.predict(X))
    assert about["class_names"] == [str(name) for name in model.classes_]


@pytest.mark.parametrize("outputs", [1, 2])
def test_regressor(outputs, tmp_path):
    pytest.importorskip("onnx")
    X, y = numbers(outputs)
    model = fitted(MLPRegressor(**HOW), X, y)
    found, _ = run(model.export(tmp_path / "m.onnx"), X)
    np.testing.assert_allclose(found["numbers"], model.predict(X).reshape(len(X), -1), atol=1e-4)


@pytest.mark.parametrize("kind", [TableClassifier, TableRegressor])
def test_tables(kind, tmp_path):
    pytest.importorskip("onnx")
    X, y = classes("binary") if kind is TableClassifier else numbers()
    model = kind("table-fast", epochs=3, random_state=0).fit(X, y)
    found, _ = run(model.export(tmp_path / "m.onnx", opset=18), X)
    if kind is TableClassifier:
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)
    else:
        np.testing.assert_allclose(found["numbers"][:, 0], model.predict(X), atol=1e-4)


def test_what_cannot_be_exported(tmp_path):
    X, y = classes("binary")
    model = fitted(MLPClassifier(**HOW), X, y)
    assert model.export(tmp_path / "m.safetensors").is_file()
    with pytest.raises(InputError, match="there is no format"):
        model.export(tmp_path / "m.pickle")
    with pytest.raises(InputError, match="there is no folder"):
        model.export(tmp_path / "no" / "m.onnx")
    with pytest.raises(InputError, match="one class"):
        fitted(MLPClassifier(**HOW), X, np.ones(len(X))).export(tmp_path / "m.onnx")
    for estimator in (MLPClassifier(), TableClassifier()):
        with pytest.raises(NotFittedError):
            estimator.export(tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
