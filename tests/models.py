"""What the tests of saved and of used models share: a model of each kind, and rows for it."""

import itertools

import numpy as np

from xpnet.columns.columns import Columns
from xpnet.data import transforms
from xpnet.data.preprocessing import Preprocessing
from xpnet.device import Device
from xpnet.nn.backprop import stack
from xpnet.nn.mlp import MLP, init
from xpnet.training.intervals import Calibration
from xpnet.training.model import Model
from xpnet.training.scale import Scale

IMAGES = (4, 3, 1)
NAMES = ("cat", "dog", "ünïcode\n")

PREPROCESSINGS = (
    Preprocessing("none"),
    Preprocessing("mean"),
    Preprocessing("standardize"),
    Preprocessing("pca", 5),
    Preprocessing("pca-whiten", 7, ridge=0.1),
    Preprocessing("zca", ridge=0.1),
)
CONTRASTS = (Preprocessing("mean", contrast=True), Preprocessing("pca", 5, contrast=True))

EVERY_KIND = [
    {"how": how, "norm": norm, "residual": residual, "networks": networks, "averaging": averaging}
    for how, (norm, residual), (networks, averaging) in itertools.product(
        (*PREPROCESSINGS, *CONTRASTS),
        [("none", False), ("batch", False), ("layer", False), ("batch", True), ("layer", True)],
        [(None, "none"), (3, "flip"), (1, "flip-shift")],
    )
]

OF = {
    "classes": (3, {}),
    "one of two": (1, {"class_names": NAMES[:2], "labels": (-1, 1)}),
    "one class": (1, {"class_names": NAMES[:1], "labels": ("yes",)}),
    "labels": (3, {"task": "multilabel"}),
    "one label": (1, {"task": "multilabel", "class_names": NAMES[:1]}),
    "numbers": (
        3,
        {"task": "regression", "target": Scale(np.array([1e6, 0.1, -3.0]), np.array([1.0, 2.0, 1e-3]))},
    ),
    "one number": (
        1,
        {"task": "regression", "class_names": NAMES[:1], "target": Scale(np.array([1e6]), np.array([3.0]))},
    ),
    "raw numbers": (3, {"task": "regression"}),
    "counts": (
        3,
        {"task": "regression", "link": "log", "target": Scale(np.zeros(3), np.array([1e3, 0.1, 1.0]))},
    ),
    "raw counts": (1, {"task": "regression", "link": "log", "class_names": NAMES[:1]}),
}
"""Outputs and the rest of a model, by what it predicts."""


def rows(count, seed=1):
    """Raw rows, images of bytes."""
    return np.random.default_rng(seed).integers(0, 256, (count, 12)).astype(np.uint8)


def make(
    how=PREPROCESSINGS[1],
    norm="none",
    residual=False,
    networks=None,
    averaging="none",
    dtype="float32",
    image_shape=IMAGES,
    of="classes",
):
    """Return a model with everything random: biases, gains and statistics too."""
    outputs, about = OF[of]
    mlp = MLP((how.output_features(12), 5, 5, outputs), "gelu", norm, residual)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(networks or 1):
        params = init(mlp, rng, 0.3)
        for name, value in params.items():
            if not name.startswith("W"):
                params[name] = (value + rng.uniform(0.0, 0.5, value.shape)).astype(dtype)
        drawn.append({name: value.astype(dtype) for name, value in params.items()})
    if about.get("link") == "log":  # so that no exponential overflows
        for params in drawn:
            params[f"W{mlp.depth}"] *= np.array(0.05, dtype)
    images = {"image_shape": image_shape, "averaging": averaging}
    params = drawn[0] if networks is None else stack(np, drawn)
    fitted = transforms.fit(how, rows(50, seed=2), Device(), dtype)
    return Model(mlp, params, how, fitted, **{"class_names": NAMES} | about, **images)


def table():
    """A table of columns of every kind, with gaps."""
    rng = np.random.default_rng(4)
    days = np.array("2024-01-30", "M8[D]") + rng.integers(0, 400, 30)
    return {
        "age": np.where(rng.random(30) < 0.2, np.nan, rng.integers(18, 90, 30)),
        "çity": [None if rng.random() < 0.2 else str(name) for name in rng.choice(["Ulm", "Oslo"], 30)],
        "since": days.astype("M8[s]"),
        "member": rng.random(30) < 0.5,
    }


def make_table(of="one number", networks=2, dtype="float32"):
    """Return a model of `table` with everything random; of a regression with what intervals are made of."""
    outputs, about = OF[of]
    columns, rng = Columns.infer(table(), note=lambda _: None), np.random.default_rng(0)
    X = columns.matrix(table())
    how = Preprocessing("table", bins=3, categories=tuple(len(c.categories) for c in columns.columns))
    fitted = transforms.fit(how, X, Device(), dtype)
    how = transforms.complete(how, fitted)
    mlp = MLP((how.output_features(X.shape[1]), 5, outputs))
    drawn = [{name: v.astype(dtype) for name, v in init(mlp, rng, 0.3).items()} for _ in range(networks or 1)]
    params = drawn[0] if networks is None else stack(np, drawn)
    if about.get("task") == "regression":
        ratios = np.sort(rng.random((9, outputs)), axis=0)
        about = about | {"calibration": Calibration(rng.random(outputs), ratios)}
    return Model(mlp, params, how, fitted, **{"class_names": NAMES} | about, columns=columns)
