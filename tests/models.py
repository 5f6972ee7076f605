"""What the tests of saved and of used models share: a model of each kind, and rows for it."""

import itertools

import numpy as np

from xpnet.data import transforms
from xpnet.data.transforms import Preprocessing
from xpnet.device import Device
from xpnet.nn.backprop import stack
from xpnet.nn.mlp import MLP, init
from xpnet.runs.model import Model

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
):
    """Return a model with everything random: biases, gains and statistics too."""
    mlp = MLP((how.output_features(12), 5, 5, 3), "gelu", norm, residual)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(networks or 1):
        params = init(mlp, rng, 0.3)
        for name, value in params.items():
            if not name.startswith("W"):
                params[name] = (value + rng.uniform(0.0, 0.5, value.shape)).astype(dtype)
        drawn.append({name: value.astype(dtype) for name, value in params.items()})
    params = drawn[0] if networks is None else stack(np, drawn)
    fitted = transforms.fit(how, rows(50, seed=2), Device(), dtype)
    return Model(mlp, params, how, fitted, NAMES, image_shape, averaging)
