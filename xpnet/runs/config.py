"""The settings of a run: one frozen dataclass, from which flags, help, files and checks follow."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal, Self

from xpnet.data.augment import Augmentation
from xpnet.data.batches import Sampling, batches_per_epoch
from xpnet.data.preprocessing import Kind, Preprocessing
from xpnet.data.views import Views
from xpnet.datasets import Reading
from xpnet.datasets.reading import SETTINGS, RowsIn
from xpnet.device import Backend, Device, Precision, get_device
from xpnet.errors import InputError
from xpnet.nn.mlp import MLP, Activation, Init, Norm
from xpnet.runs import ranges
from xpnet.runs.defaults import (
    defaults_for,
    suitable_batch,
    suitable_components,
    suitable_epochs,
    suitable_networks,
)
from xpnet.runs.settings import (
    differing,
    layered,
    normalise,
    refuse_unknown,
    setting,
    settings_in,
)
from xpnet.text import call
from xpnet.training.regime import Monitor, Regime
from xpnet.typing import Task

__all__ = ["LOSSES_OF", "Config"]

_data = partial(setting, group="data")
_network = partial(setting, group="network")
_training = partial(setting, group="training")
_regularisation = partial(setting, group="regularisation")
_augmentation = partial(setting, group="augmentation")
_device = partial(setting, group="device")
_output = partial(setting, group="output")


@dataclass(frozen=True)
class Config:
    """Settings of one training run. Each is also a flag, and a key in TOML files and ``config.json``.

    Values are checked and converted: NumPy numbers become Python's, ``hidden=64`` becomes ``(64,)``.
    `Config.of` starts from the defaults of the data set.

    Fields marked ``stackable`` may differ between the networks of a stack. Fields with ``recorded=False`` say
    what to do with a run, not what it is, and are not written to ``config.json``: repeating a run from that
    file must not overwrite it.

    Raises
    ------
    InputError
        If a setting is unknown, of the wrong type or out of range, or if settings contradict each other.
    """

    dataset: str = _data(
        "digits",
        "digits, cifar10, or a path: a table (.csv, .tsv, .parquet, .arrow), an .npz file with X and y, a "
        "folder with X.npy and y.npy, a folder of Parquet files, or a folder with one subfolder of images "
        "per class",
        common=True,
        path=True,
    )
    target: tuple[str, ...] = _data((), "column(s) of the table to predict", common=True)
    data_dir: str | None = _data(
        None,
        "folder with the CIFAR-10 files; without it, $XPNET_DATA_DIR and the user's cache are "
        "searched, then they are downloaded",
        common=True,
        path=True,
    )
    task: Task | None = _data(None, "kind of target; inferred from the targets by default")
    categorical: tuple[str, ...] = _data((), "columns of the table to treat as categorical")
    numeric: tuple[str, ...] = _data((), "columns of the table to treat as numeric")
    ignore: tuple[str, ...] = _data((), "columns of the table to ignore")
    header: bool | None = _data(
        None, "whether the first line of a CSV file holds the column names; detected by default"
    )
    validation_fraction: float = _data(0.1, "fraction of your rows held out for validation")
    group: str | None = _data(
        None, "column of groups: rows of one group are never split between training and validation"
    )
    time: str | None = _data(None, "column of times: the latest rows are held out for validation")
    train_rows: int | None = _data(
        None, "train on a random, stratified subset of N training rows, drawn by --seed; all by default"
    )
    rows_in: RowsIn = _data(
        "auto",
        "where the rows of a CSV or Parquet file, or of a folder of .npy or Parquet files, stay: in "
        "memory, or on disk, read as training needs them; auto: on disk if they would fill much of the "
        "free memory",
    )
    size: int | None = _data(None, "resize images to N×N pixels; small images keep their size by default")
    preprocess: Kind = _data("mean", "preprocessing of the rows, fitted on the training rows", common=True)
    bins: int | None = _data(
        None,
        "maximum number of bins for each numeric column (--preprocess table); 0: no bins; chosen by "
        "the number of columns by default",
    )
    components: int | None = _data(
        None,
        "principal components to keep (--preprocess pca, pca-whiten); 0: chosen by the number of rows; "
        "all by default",
    )
    ridge: float = _data(1e-3, "added to each variance before whitening, relative to the average variance")
    contrast: bool = _data(False, "first subtract each row's own mean and divide by its standard deviation")
    fit_rows: int | None = _data(None, "fit the preprocessing on N of the training rows; all by default")

    hidden: tuple[int, ...] = _network((300,), "units in each hidden layer", common=True)
    activation: Activation = _network("relu", "activation function of the hidden layers", common=True)
    norm: Norm = _network(
        "none",
        "batch or layer normalisation in the hidden layers",
        common=True,
        yields_to={"batch_size": (1,)},
    )
    residual: bool = _network(False, "make each hidden layer after the first a residual block")
    init: Init = _network(
        "normal",
        "initial weights: normal, with standard deviation --init-std; he and glorot scale it by the "
        "layer's size",
        yields_to={"init_std": ()},
    )
    init_std: float = _network(
        5e-2, "standard deviation of the initial weights (--init normal)", stackable=True
    )
    init_from: str | None = _network(
        None,
        "start a new run from the network and preprocessing of this run, sweep (its best network) or "
        "model file",
        path=True,
    )
    ensemble: int = _network(
        1, "train N networks at once and average their predictions; 0: chosen by the number of rows"
    )
    bagging: bool = _network(
        False,
        "train each network of --ensemble on a bootstrap sample of the training rows",
        yields_to={"ensemble": (1,)},
    )

    iterations: int | None = _training(
        None, "number of updates (training steps)", unless_given=1000, common=True
    )
    epochs: int | None = _training(
        None,
        "passes over the training rows, instead of --iterations; 0: chosen by the number of rows",
        instead_of="iterations",
        common=True,
    )
    batch_size: int = _training(50, "rows per batch; 0: chosen by the number of rows", common=True)
    sampling: Sampling = _training(
        "replacement",
        "replacement: draw each batch with replacement; shuffle: reshuffle every epoch and skip an "
        "incomplete last batch; all: keep that batch, too (filled up with other rows for --norm batch)",
    )
    loss: Literal[
        "auto",
        "cross-entropy",
        "hinge",
        "logistic",
        "squared-error",
        "absolute-error",
        "huber",
        "poisson",
    ] = _training(
        "auto",
        "loss to minimise; auto: cross-entropy for classes, logistic for several labels per row, "
        "squared-error for regression",
    )
    standardize_target: bool = _training(
        True, "in regression, train on standardised targets; predictions are scaled back"
    )
    solver: Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lion"] = _training(
        "sgd", "optimiser", common=True
    )
    learning_rate: float = _training(
        2e-2, "learning rate; the highest value of the schedule", stackable=True, common=True
    )
    schedule: Literal["constant", "exponential", "step", "cosine", "one-cycle"] = _training(
        "exponential", "learning-rate schedule", common=True, yields_to={"learning_rate_decay": ()}
    )
    learning_rate_decay: float = _training(
        0.99,
        "factor on the learning rate after every epoch (--schedule exponential) or every --step-epochs "
        "(step)",
        stackable=True,
    )
    step_epochs: int = _training(30, "epochs between two drops of the learning rate (--schedule step)")
    peak: float = _training(
        0.3, "fraction of the steps in which the learning rate rises (--schedule one-cycle)"
    )
    warmup: float = _training(
        0.0, "fraction of the steps in which the learning rate first rises from 0 (any schedule)"
    )
    momentum: float = _training(0.9, "momentum; beta1 of adam, adamw and lion", stackable=True)
    beta2: float = _training(
        0.999,
        "decay of the average of squared gradients (adam, adamw, rmsprop); beta2 of lion",
        stackable=True,
    )
    epsilon: float = _training(
        1e-8, "added to the denominator of adaptive solvers, against division by zero", stackable=True
    )
    clip_norm: float | None = _training(
        None,
        "clip the gradient of the loss, without the L2 penalty, to this norm; off by default",
        stackable=True,
    )
    ema: float = _training(
        0.0,
        "evaluate an exponential moving average of the parameters with this decay per step; 0: off",
        stackable=True,
    )
    seed: int = _training(
        0, "random seed of the initial weights and the batches", stackable=True, common=True
    )
    batch_seed: int | None = _training(
        None, "random seed of the batches, if it should differ from --seed", stackable=True
    )
    monitor: Monitor | str = _training(
        "val_score",
        "validation measure that picks the best parameters; val_score is accuracy, or R² in regression. "
        "Also a scikit-learn scorer, such as f1_macro, or recall:CLASS",
    )
    patience: int | None = _training(
        None,
        "stop after N epochs without improvement of --monitor, and keep the best parameters",
        common=True,
        yields_to={"halving": (True,)},  # of a sweep
    )
    min_delta: float = _training(0.0, "smallest change of --monitor that counts as an improvement")
    max_time: float | None = _training(None, "stop training after X seconds")
    class_weight: tuple[str, ...] | None = _training(
        None, "weights of the classes: balanced (all classes weigh the same), or NAME=WEIGHT for some of them"
    )

    reg: float = _regularisation(
        1e-2, "strength of the L2 penalty on the weights, as part of the loss", stackable=True, common=True
    )
    weight_decay: float = _regularisation(0.0, "decoupled weight decay, as in AdamW", stackable=True)
    dropout: float = _regularisation(
        0.0, "fraction of the hidden units to drop in each step", stackable=True, common=True
    )
    input_dropout: float = _regularisation(0.0, "fraction of the inputs to drop in each step", stackable=True)
    label_smoothing: float = _regularisation(
        0.0,
        "fraction of each target that is spread evenly over all classes",
        stackable=True,
        yields_to={"loss": ("hinge",)},
    )

    flip: bool = _augmentation(False, "mirror a random half of the images in each batch")
    shift: int = _augmentation(0, "shift images by up to N pixels in each direction")
    rotation: float = _augmentation(0.0, "rotate images by up to X degrees in each direction")
    cutout: int = _augmentation(0, "grey out a random square of N×N pixels in each image")
    mixup: float = _augmentation(
        0.0, "mix each row with another one, in proportions drawn from Beta(X, X); 0: off"
    )
    averaging: Views = _augmentation(
        "none",
        "test-time augmentation: average the predictions for an image, its mirror image, and "
        "(flip-shift) shifts of both",
        yields_to={"flip": (False,)},
    )

    device: str = _device(
        "cpu",
        "cpu, cuda, cuda:N, mps (Apple GPU), or auto (cuda if it can be used, else cpu). Several GPUs: "
        "cuda:all or cuda:0,cuda:1 (train splits each batch between them, a sweep its networks)",
        common=True,
    )
    backend: Backend = _device(
        "auto", "array library: numpy on the CPU, cupy on a CUDA GPU, torch or jax on either"
    )
    precision: Precision = _device(
        "fp32",
        "precision of float32 matrix products on a CUDA GPU; bf16 also on some CPUs with torch",
    )
    compile: bool = _device(
        False,
        "compile the training step; cupy: as a CUDA graph (not yet run on a GPU); torch: by torch.compile",
    )
    dtype: Literal["float32", "float64"] = _device("float32", "data type of the computation")
    threads: int | None = _device(
        None,
        "CPU threads for matrix products (NumPy's BLAS, PyTorch), and the maximum number of stacks "
        "that a sweep trains at once, but not on Dask or MPI workers; by default as set in the environment, "
        "such as by OMP_NUM_THREADS",
        recorded=False,
    )
    alone: bool = _device(
        False,
        "under mpiexec or srun, train a separate network in each process, instead of one network in all",
        recorded=False,
    )

    out: str | None = _output(
        None,
        "output folder (default: runs/<dataset>-<date>-<time>)",
        recorded=False,
        common=True,
        path=True,
    )
    force: bool = _output(
        False,
        "delete the run or sweep that is in --out; by default a run is moved to previous-1 there, and "
        "a sweep stops",
        recorded=False,
    )
    json: bool = _output(
        False, "print the summary as JSON, as the last line of standard output", recorded=False, common=True
    )
    quiet: bool = _output(
        False, "print nothing but errors and the JSON of --json", recorded=False, common=True
    )
    checkpoint_every: int | None = _output(None, "write a checkpoint every N epochs, for --resume")
    resume: str | None = _output(
        None,
        "continue the run in this folder from its last checkpoint: an interrupted one, or with more --epochs",
        recorded=False,
        path=True,
    )
    tensorboard: bool = _output(False, "write TensorBoard events to the run folder")
    weights_image: bool = _output(False, "write the first layer's weights as images (weights.png)")

    def __new__(cls, *_values: Any, **given: Any) -> Self:
        """Check the names of settings before Python does, whose error would not suggest a fix."""
        refuse_unknown(given, cls)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        weights: Any = self.class_weight
        if isinstance(weights, Mapping):  # as in scikit-learn
            by_name = tuple(f"{name}={weight}" for name, weight in weights.items())
            object.__setattr__(self, "class_weight", by_name)
        normalise(self)
        ranges.check(self)
        # Building these checks them; the numbers of features and classes are not known yet.
        _ = self.preprocessing, self.augmentation
        MLP((1, *self.hidden, 1), self.activation, self.norm, self.residual)

    @classmethod
    def of(cls, *layers: "Mapping[str, Any] | Config | str | os.PathLike[str]", **given: Any) -> Self:
        """Return the defaults of the data set, overridden by each layer in turn and by ``given`` last.

        ``iterations`` and ``epochs`` exclude each other: the one in the later layer counts.

        Parameters
        ----------
        *layers
            Settings by name, such as those of a recipe; another `Config`; or the path of a TOML file or a
            ``config.json``.
        **given
            Settings by name.

        Raises
        ------
        InputError
            As for `Config`, or if a file cannot be read.

        Examples
        --------
        >>> Config.of(dataset="cifar10", hidden=512).iterations
        1600
        >>> Config.of(Config(iterations=100), epochs=5)
        Config(epochs=5)
        """
        read = [settings_in(layer, cls) for layer in layers]
        return cls(**layered(cls, [*read, given], lambda known: defaults_for(cls, known.get("dataset"))))

    def __repr__(self) -> str:
        """Return a call that makes these settings, with those that differ from the data set's defaults."""
        cls = type(self)
        usual, plain = defaults_for(cls, self.dataset), defaults_for(cls)
        shown = differing(self, usual | {"dataset": plain["dataset"]})
        of_data_set = differing(self, plain).keys() - shown.keys()
        return call(f"{cls.__name__}.of" if of_data_set else cls.__name__, shown)

    def find_device(self) -> Device:
        """Return the device named by the settings.

        Raises
        ------
        DeviceError
            If it cannot be used.
        """
        return get_device(self.device, self.backend, self.precision, self.compile)

    @property
    def reading(self) -> Reading:
        """How the user's data are read."""
        return Reading(**{name: getattr(self, name) for name in SETTINGS})

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of the rows."""
        # Other kinds ignore components, so that a sweep can vary the kind, and a recipe's kind can be
        # changed.
        components = self.components or None if self.preprocess in ("pca", "pca-whiten") else None
        return Preprocessing(self.preprocess, components, self.ridge, self.contrast, self.fit_rows, self.bins)

    @property
    def augmentation(self) -> Augmentation:
        """The augmentation of the images of each batch."""
        return Augmentation(self.flip, self.shift, self.rotation, self.cutout)

    @property
    def weight_by_class(self) -> dict[str, float] | str:
        """``class_weight`` as ``"balanced"`` or as weights by class name."""
        if self.class_weight is None or self.class_weight == ("balanced",):
            return "balanced" if self.class_weight else {}
        named = (item.rpartition("=") for item in self.class_weight)
        return {name: float(weight) for name, _, weight in named}

    def loss_of(self, task: Task) -> str:
        """Return the loss for a task.

        Raises
        ------
        InputError
            If the settings name a loss of another task.
        """
        usual, *others = LOSSES_OF[task]
        if self.loss == "auto":
            return usual
        if self.loss not in (usual, *others):
            raise InputError(f"--loss {self.loss} is not for {task}: use {', '.join((usual, *others))}")
        return self.loss

    def recorded(self) -> dict[str, Any]:
        """Return the settings that define a run, the content of ``config.json``."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("recorded", True)}

    def mlp(self, num_inputs: int, num_outputs: int) -> MLP:
        """Return the network for a number of preprocessed inputs and of classes or outputs."""
        return MLP((num_inputs, *self.hidden, num_outputs), self.activation, self.norm, self.residual)

    def regime(self, num_rows: int, task: Task = "classification") -> Regime:
        """Return the training regime for ``num_rows`` training rows.

        Raises
        ------
        InputError
            A batch is larger than the data.
        """
        num_steps = self.num_steps(num_rows)
        same = {f.name for f in fields(Regime)} & {f.name for f in fields(self)} - {"loss"}
        return Regime(
            num_steps=num_steps,
            warmup_steps=round(self.warmup * num_steps),
            loss=self.loss_of(task),
            restores_best=self.patience is not None,
            **{name: getattr(self, name) for name in same},
        )

    def for_data(self, num_rows: int, num_features: int, task: Task, target: tuple[str, ...] = ()) -> Self:
        """Return the settings with every 0 that means "chosen by the data" filled in.

        A batch is never larger than the training rows. Label smoothing is off in regression, which has no
        classes. If no target was named, ``target`` holds the columns that were found.
        """
        components = self.components
        if components == 0:
            seen = min(num_rows, self.fit_rows or num_rows)
            components = suitable_components(seen, num_features)
        return replace(
            self,
            batch_size=min(self.batch_size or suitable_batch(num_rows), num_rows),
            epochs=suitable_epochs(num_rows) if self.epochs == 0 else self.epochs,
            components=components,
            ensemble=self.ensemble or suitable_networks(num_rows),
            label_smoothing=0.0 if task == "regression" else self.label_smoothing,
            target=self.target or target,
        )

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
        return self.iterations or (self.epochs or 0) * batches_per_epoch(
            num_rows, self.batch_size, self.sampling
        )


LOSSES_OF: Mapping[Task, tuple[str, ...]] = {
    "classification": ("cross-entropy", "hinge"),
    "multilabel": ("logistic",),
    "regression": ("squared-error", "absolute-error", "huber", "poisson"),
}
"""The losses of each task, the default first."""
