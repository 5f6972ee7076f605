"""The settings of a run: one frozen dataclass, the source of flags, help, files and checks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from xpnet.data.augment import Augmentation, Views
from xpnet.data.batches import Sampling
from xpnet.data.transforms import Kind, Preprocessing
from xpnet.device import Backend, Device, Precision, get_device
from xpnet.errors import InputError
from xpnet.nn.mlp import MLP, Activation, Init, Norm
from xpnet.runs.settings import flag, setting
from xpnet.training.regime import Monitor, Regime

__all__ = ["DATASET_DEFAULTS", "Config", "defaults_for"]

# What lies above has no use, and libraries fail on it in ways of their own.
_BOUNDS = (
    ("hidden", 1, 10**7),
    ("iterations", 1, 10**8),
    ("epochs", 1, 10**6),
    ("batch_size", 1, 10**9),
    ("step_epochs", 1, 10**6),
    ("patience", 1, 10**6),
    ("checkpoint_every", 1, 10**6),
    ("ensemble", 1, 10**4),
    ("seed", 0, 2**64 - 1),
    ("batch_seed", 0, 2**64 - 1),
)
_NOT_NEGATIVE = (
    "learning_rate",
    "learning_rate_decay",
    "reg",
    "weight_decay",
    "init_std",
    "mixup",
    "min_delta",
)
_BELOW_ONE = ("warmup", "dropout", "input_dropout", "label_smoothing", "momentum", "beta2", "ema")


@dataclass(frozen=True)
class Config:
    """Settings of one training run; each is a flag, a key of a TOML file and of ``config.json``.

    A field marked ``stackable`` may differ between the networks of a stack trained at once; one with
    ``recorded=False`` says what to do with a run, not what it is, and stays out of ``config.json``:
    repeating a run from there must not write over it.

    Raises
    ------
    InputError
        A value out of its range, or settings that contradict each other.
    """

    dataset: str = setting("digits", "digits, cifar10, or the path of an .npz file with X and y")
    data_dir: str | None = setting(
        None, "folder with the files of cifar10; else $XPNET_DATA_DIR, the cache, a download"
    )
    device: str = setting("cpu", "cpu, cuda, cuda:N, or mps, the GPU of a Mac")
    backend: Backend = setting(
        "auto", "library that computes: numpy on the CPU, cupy on a CUDA GPU, torch and jax on either"
    )
    precision: Precision = setting("fp32", "of the factors of products of float32 matrices, on a CUDA GPU")
    compile: bool = setting(
        False, "cupy: capture a step as a CUDA graph (not yet run on a GPU); torch: torch.compile"
    )
    dtype: Literal["float32", "float64"] = setting("float32", "precision of the computation")

    hidden: tuple[int, ...] = setting((300,), "units of each hidden layer")
    activation: Activation = setting("relu", "activation of the hidden layers")
    norm: Norm = setting("none", "normalisation of the hidden layers, over the batch or the layer")
    residual: bool = setting(False, "make every hidden layer after the first a residual block")
    init: Init = setting("normal", "deviation of the initial weights: --init-std, or by their shape")
    init_std: float = setting(5e-2, "standard deviation of the initial weights", stackable=True)

    preprocess: Kind = setting("mean", "what is done to the rows, fitted on those of training")
    components: int | None = setting(None, "principal components that pca and pca-whiten keep; else all")
    ridge: float = setting(1e-3, "added to each variance before whitening, the average being 1")
    contrast: bool = setting(False, "first subtract each row's mean and divide by its deviation")
    fit_rows: int | None = setting(None, "fit the preprocessing on so many of the rows; else on all")

    flip: bool = setting(False, "mirror half of the images of each batch")
    shift: int = setting(0, "shift images by up to so many pixels each way")
    rotation: float = setting(0.0, "turn images by up to so many degrees each way")
    cutout: int = setting(0, "grey out a square of so many pixels a side in each image")
    mixup: float = setting(0.0, "mix rows with others, in shares from Beta(X, X); 0 for none")

    iterations: int | None = setting(1000, "number of updates")
    epochs: int | None = setting(
        None, "passes over the training rows, instead of --iterations", instead_of="iterations"
    )
    batch_size: int = setting(50, "rows in a batch")
    sampling: Sampling = setting(
        "replacement", "batches drawn with replacement, or from a new shuffle each epoch"
    )
    loss: Literal["cross-entropy", "hinge"] = setting("cross-entropy", "what is minimised")
    label_smoothing: float = setting(
        0.0, "part of each target that is spread over all classes", stackable=True
    )
    solver: Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lion"] = setting(
        "sgd", "how gradients change parameters"
    )
    learning_rate: float = setting(2e-2, "learning rate, the highest of the schedule", stackable=True)
    schedule: Literal["constant", "exponential", "step", "cosine", "one-cycle"] = setting(
        "exponential", "how the learning rate changes"
    )
    learning_rate_decay: float = setting(
        0.99, "factor on the learning rate: each epoch (exponential) or --step-epochs (step)", stackable=True
    )
    step_epochs: int = setting(30, "epochs from one fall of the step schedule to the next")
    peak: float = setting(0.3, "part of the steps in which the rate of one-cycle rises")
    warmup: float = setting(0.0, "part of the steps in which the rate of any schedule is raised from 0")
    momentum: float = setting(0.9, "factor on past gradients; beta1 of adam and lion", stackable=True)
    beta2: float = setting(0.999, "factor on past squares of adam and rmsprop; of lion", stackable=True)
    epsilon: float = setting(1e-8, "added to the root of the squares", stackable=True)
    reg: float = setting(1e-2, "strength of the L2 penalty on the weights, in the loss", stackable=True)
    weight_decay: float = setting(0.0, "decay of the weights apart from the gradient", stackable=True)
    clip_norm: float | None = setting(None, "longest gradient of the loss, its penalty apart", stackable=True)
    dropout: float = setting(0.0, "part of the hidden units dropped in each step", stackable=True)
    input_dropout: float = setting(0.0, "part of the inputs dropped in each step", stackable=True)
    ema: float = setting(
        0.0, "evaluate a moving average of the parameters, of this decay a step; 0 for none", stackable=True
    )
    seed: int = setting(0, "seed of the initial weights and of the batches", stackable=True)
    batch_seed: int | None = setting(
        None, "seed of the batches, where it is to differ from --seed", stackable=True
    )

    monitor: Monitor = setting("val_score", "what the best parameters, best.safetensors, are chosen by")
    patience: int | None = setting(
        None, "stop after so many epochs without a better --monitor, and keep the best parameters"
    )
    min_delta: float = setting(0.0, "by how much --monitor must change to be better")
    checkpoint_every: int | None = setting(
        None, "write a checkpoint after every so many epochs, to --resume from"
    )

    ensemble: int = setting(1, "networks trained at once whose probabilities are averaged")
    averaging: Views = setting(
        "none", "average the probabilities of an image's mirror image, and of shifts, at evaluation"
    )
    tensorboard: bool = setting(False, "write events for TensorBoard into the run folder")
    weights_image: bool = setting(False, "write the first layer's weights as images: weights.png")
    resume: str | None = setting(
        None, "folder of a run that was cut off, to go on from its last checkpoint", recorded=False
    )
    out: str | None = setting(
        None, "folder to write, by default runs/<dataset>-<date>-<time>", recorded=False
    )
    json: bool = setting(
        False, "print the summary as JSON in the last line of standard output", recorded=False
    )
    quiet: bool = setting(False, "print nothing but errors and that JSON", recorded=False)

    def __post_init__(self) -> None:
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            for item in value if isinstance(value, tuple) else (value,):
                if item is not None and not least <= item <= most:
                    raise InputError(f"{flag(name)} must be from {least} to {most}, not {item}")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{flag(name)} must be a finite number, 0 or more, not {value}")
        for name in _BELOW_ONE:
            value = getattr(self, name)
            # In the precision of the computation: what rounds to 1 there would be divided by 0.
            if not (value >= 0 and np.dtype(self.dtype).type(value) < 1):
                raise InputError(f"{flag(name)} must be 0 or more and below 1 in {self.dtype}, not {value}")
        for name in ("epsilon", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{flag(name)} must be a finite number above 0, not {value}")
        if not 0 < self.peak < 1:
            raise InputError(f"--peak must be above 0 and below 1, not {self.peak}")
        if self.device == "mps" and self.dtype == "float64":
            raise InputError("--device mps knows no float64: use --dtype float32, or --device cpu")
        if self.init_std > 1e30:
            raise InputError(f"{flag('init_std')} must be at most 1e30, not {self.init_std}")
        if (self.iterations is None) == (self.epochs is None):
            raise InputError("give either --iterations or --epochs")
        if self.norm == "batch" and self.batch_size < 2:
            raise InputError("--norm batch needs the statistics of a batch: give a --batch-size of 2 or more")
        if self.loss == "hinge" and (self.mixup or self.label_smoothing):
            raise InputError("--loss hinge takes one class a row: drop --mixup and --label-smoothing")
        # These check themselves; the numbers of features and classes come with the data.
        _ = self.preprocessing, self.augmentation
        MLP((1, *self.hidden, 1), self.activation, self.norm, self.residual)

    def find_device(self) -> Device:
        """Return the device that the settings name.

        Raises
        ------
        DeviceError
            It cannot be used here.
        """
        return get_device(self.device, self.backend, self.precision, self.compile)

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to the rows."""
        # Other kinds have none: so a sweep can vary the kind, and a recipe's be changed.
        components = self.components if self.preprocess in ("pca", "pca-whiten") else None
        return Preprocessing(self.preprocess, components, self.ridge, self.contrast, self.fit_rows)

    @property
    def augmentation(self) -> Augmentation:
        """What is done to the images of each batch."""
        return Augmentation(self.flip, self.shift, self.rotation, self.cutout)

    def mlp(self, num_features: int, num_classes: int) -> MLP:
        """Return the network on data of so many raw features and classes."""
        inputs = self.preprocessing.output_features(num_features)
        return MLP((inputs, *self.hidden, num_classes), self.activation, self.norm, self.residual)

    def regime(self, num_rows: int) -> Regime:
        """Return how networks are trained on ``num_rows`` training rows.

        Raises
        ------
        InputError
            A batch is larger than the data.
        """
        num_steps = self.num_steps(num_rows)
        settings = {f.name for f in fields(self)}
        same = {f.name: getattr(self, f.name) for f in fields(Regime) if f.name in settings}
        return Regime(num_steps=num_steps, warmup_steps=round(self.warmup * num_steps), **same)

    def num_steps(self, num_rows: int) -> int:
        """Return the number of updates on ``num_rows`` training rows.

        Raises
        ------
        InputError
            A batch is larger than the data.
        """
        if self.batch_size > num_rows:
            raise InputError(
                f"--batch-size {self.batch_size} is larger than the {num_rows} training rows: "
                f"use {num_rows} or less"
            )
        return self.iterations or (self.epochs or 0) * (num_rows // self.batch_size)


DATASET_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # The best row of the original exercise: raw pixels want a smaller step than the digits' 0 to 16.
    "cifar10": {
        "iterations": 1600,
        "batch_size": 400,
        "learning_rate": 1.6e-3,
        "learning_rate_decay": 0.9,
        "init_std": 1e-4,
    }
}


def defaults_for(dataset: str) -> dict[str, Any]:
    """Return the default of every setting for a data set."""
    common = {f.name: f.default for f in fields(Config)}
    return common | {"dataset": dataset} | dict(DATASET_DEFAULTS.get(dataset, {}))
