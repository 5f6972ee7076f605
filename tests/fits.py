"""What the tests of steps and of training share: small networks and data, and calls with short runs."""

import dataclasses
import zlib

import numpy as np

from xpnet import recipes
from xpnet.data.augment import Augmentation
from xpnet.data.feed import Feed
from xpnet.device import Device, of_step
from xpnet.nn.mlp import MLP
from xpnet.runs.config import Config
from xpnet.runs.settings import read_file
from xpnet.training.draws import draw_epoch
from xpnet.training.loop import fit
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import initial_state
from xpnet.training.stopping import Patience

NETS = [(), (3,), (2, 3)]
MLP_543 = MLP((5, 4, 3))
REGIME = Regime(num_steps=17, batch_size=6)

IMAGES = (3, 2, 1)
"""Shape of the images of `some_images`."""

PLAIN = {
    name: getattr(Config(), name)
    for recipe in ("table", "images")
    for name in read_file(recipes.path(recipe), Config)
    if name not in ("epochs", "batch_size")
}
"""Settings of a run: the plain defaults, in place of the recipes that data of one's own get."""

EVERYTHING = {
    "mlp": MLP((6, 4, 4, 3), "gelu", "batch", residual=True),
    "hyper": Hyper(
        learning_rate=0.05,
        learning_rate_decay=0.9,
        reg=1e-2,
        weight_decay=1e-2,
        clip_norm=0.5,
        dropout=0.3,
        input_dropout=0.1,
        label_smoothing=0.1,
        ema=0.9,
    ),
    "regime": Regime(17, 6, "shuffle", "adam", "cosine", warmup_steps=3, mixup=0.4),
    "augmentation": Augmentation(flip=True, shift=1, rotation=20.0, cutout=1),
}
"""Every technique switched on."""


def random_params(rng, nets=(), mlp=MLP_543, std=0.5):
    """Draw parameters, biases and gains too; variances stay positive."""
    return {
        name: np.exp(value) if name[0] == "v" else value
        for name, shape in mlp.shapes.items()
        for value in [std * rng.standard_normal((*nets, *shape))]
    }


def of_net(params, net):
    """The parameters of one network of a stack."""
    net = net if isinstance(net, tuple) else (net,)
    return {name: value[(*net, ...)] for name, value in params.items()}


def copies(params):
    return {name: np.array(value) for name, value in params.items()}


def learnable():
    """30 training and 11 validation rows of 5 features in 3 classes, with something to learn."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((41, 5))
    y = np.argmax(X @ rng.standard_normal((5, 3)), axis=1)
    return X[:30], y[:30], X[30:], y[30:]


def some_images(rows=30):
    """Raw images and labels in 3 classes."""
    rng = np.random.default_rng(30)
    return rng.integers(0, 256, (rows, 6), dtype=np.uint8), rng.integers(3, size=rows)


def image_feed(device, dtype, augmentation):
    """A feed of raw images that are prepared batch by batch."""
    X, y = some_images()
    mean = device.put(np.full(6, 128.0), dtype)

    def prepare(rows):
        return (device.xp.astype(rows, mean.dtype) - mean) / 64.0

    fill = device.put(np.full(6, 100, np.uint8))
    return Feed(device.put(X), device.put(y), prepare, augmentation, IMAGES, fill)


def sources(seed):
    """Return sources made from stream and epoch, one for all networks."""
    return lambda stream, epoch: np.random.default_rng([seed, zlib.crc32(stream.encode()), epoch])


def own_sources(*seeds):
    """Return sources of each network's own."""
    return lambda stream, epoch: [sources(seed)(stream, epoch) for seed in seeds]


def begin(device, params, dtype, regime, hyper):
    """Put a copy of parameters on the device; return the state to begin with."""
    put = {k: device.xp.asarray(device.put(p, dtype), copy=True) for k, p in params.items()}
    return initial_state(device, put, regime, hyper)


def draw_step(device, feed, regime, hyper, params, source, number=0):
    """Draw what step ``number`` of an epoch of 5 takes."""
    nets = tuple(params["W1"].shape[:-2])
    rates = regime.learning_rates(hyper, nets, range(5), 0)
    (draws,) = draw_epoch(device, feed, regime, hyper, params, source, 0, 0, {"rate": rates})
    return of_step(draws, number)


def train(device, params, data, dtype="float64", mlp=MLP_543, **changes):
    """Call `fit` with all arrays put on the device, and with defaults for a short run.

    ``changes`` are fields of the regime or arguments of `fit`; ``seed`` makes one source of all batches,
    one call after the other; ``state`` takes the place of the parameters.
    """
    X, y, X_val, y_val = data
    of_regime = {f.name: changes.pop(f.name) for f in dataclasses.fields(Regime) if f.name in changes}
    regime = dataclasses.replace(changes.pop("regime", REGIME), **of_regime)
    if (patience := changes.pop("patience", None)) is not None:
        regime = dataclasses.replace(regime, restores_best=True)
        changes["stopping"] = Patience(patience)
    hyper = changes.pop("hyper", Hyper(0.3, 0.9, 0.01))
    rng = np.random.default_rng(changes.pop("seed", 1))
    feed = changes.pop("feed", None)
    return fit(
        mlp,
        changes.pop("state", None) or begin(device, params, dtype, regime, hyper),
        feed or Feed(device.put(X, dtype), device.put(y)),
        None if X_val is None else Feed(device.put(X_val, dtype), device.put(y_val)),
        device=device,
        regime=regime,
        hyper=hyper,
        **{"sources": lambda _stream, _epoch: rng} | changes,
    )


def assert_same(actual, expected):
    """The same parameters to the bit."""
    assert sorted(actual) == sorted(expected)
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


def on_host(device, params):
    return {name: device.to_host(value) for name, value in params.items()}


HERE = Device()
