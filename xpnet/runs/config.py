"""The settings of a run: one frozen dataclass, the source of flags, help, files and checks."""

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
    """Settings of one training run; each is a flag, a key of a TOML file and of ``config.json``.

    Values are checked and brought to their types however they come: NumPy's numbers become Python's,
    ``hidden=64`` becomes ``(64,)``. `Config.of` begins with the defaults of the data set.

    A field marked ``stackable`` may differ between the networks of a stack trained at once; one with
    ``recorded=False`` says what to do with a run, not what it is, and stays out of ``config.json``:
    repeating a run from there must not write over it.

    Raises
    ------
    InputError
        A name that is no setting, a value of the wrong type or out of its range, or settings that
        contradict each other.
    """

    dataset: str = _data(
        "digits",
        "digits, cifar10, or the path of a table (.csv, .tsv, .parquet, .arrow), of an .npz file with X and "
        "y, of a folder with X.npy and y.npy or with Parquet files, or of images with a subfolder a class",
        common=True,
        path=True,
    )
    target: tuple[str, ...] = _data((), "the column of a table to predict, or several", common=True)
    data_dir: str | None = _data(
        None,
        "folder with the files of cifar10; else $XPNET_DATA_DIR, the cache, a download",
        common=True,
        path=True,
    )
    task: Task | None = _data(None, "what is predicted, where the targets leave it open")
    categorical: tuple[str, ...] = _data((), "columns of a table to take for categories")
    numeric: tuple[str, ...] = _data((), "columns of a table to take for numbers")
    ignore: tuple[str, ...] = _data((), "columns of a table to leave out")
    header: bool | None = _data(None, "whether the first line of a CSV has names; by default found out")
    validation_fraction: float = _data(0.1, "part of the rows of your own that is held out to validate on")
    group: str | None = _data(None, "column of a table: no value of it on both sides of the split")
    time: str | None = _data(None, "column of a table: the latest rows are held out")
    train_rows: int | None = _data(
        None, "train on so many of the training rows, drawn by --seed, each class its share; else on all"
    )
    rows_in: RowsIn = _data(
        "auto",
        "keep the rows of a folder of .npy or Parquet files, of a Parquet file or a CSV in memory, or read "
        "them from the disk as they are needed; auto: from the disk if they are large for the memory",
    )
    size: int | None = _data(None, "height and width that images are brought to; else small ones stay")
    preprocess: Kind = _data("mean", "what is done to the rows, fitted on those of training", common=True)
    bins: int | None = _data(
        None,
        "most bins of a column of numbers, of the preprocessing table, 0 for none; else as suits the columns",
    )
    components: int | None = _data(
        None, "principal components that pca and pca-whiten keep, 0 for as many as suit the rows; else all"
    )
    ridge: float = _data(1e-3, "added to each variance before whitening, the average being 1")
    contrast: bool = _data(False, "first subtract each row's mean and divide by its deviation")
    fit_rows: int | None = _data(None, "fit the preprocessing on so many of the rows; else on all")

    hidden: tuple[int, ...] = _network((300,), "units of each hidden layer", common=True)
    activation: Activation = _network("relu", "activation of the hidden layers", common=True)
    norm: Norm = _network(
        "none",
        "normalisation of the hidden layers, over the batch or the layer",
        common=True,
        yields_to={"batch_size": (1,)},
    )
    residual: bool = _network(False, "make every hidden layer after the first a residual block")
    init: Init = _network(
        "normal",
        "deviation of the initial weights: --init-std, or by their shape",
        yields_to={"init_std": ()},
    )
    init_std: float = _network(5e-2, "standard deviation of the initial weights", stackable=True)
    init_from: str | None = _network(
        None,
        "run, sweep (its best) or model file whose network and preprocessing to begin with, in a new run",
        path=True,
    )
    ensemble: int = _network(
        1, "networks trained at once whose probabilities are averaged; 0 for what suits the rows"
    )
    bagging: bool = _network(
        False,
        "each network of --ensemble trains on as many rows as there are, drawn with replacement by its seed",
        yields_to={"ensemble": (1,)},
    )

    iterations: int | None = _training(None, "number of updates", unless_given=1000, common=True)
    epochs: int | None = _training(
        None,
        "passes over the training rows, instead of --iterations; 0 for as many as suit their number",
        instead_of="iterations",
        common=True,
    )
    batch_size: int = _training(50, "rows in a batch; 0 for what suits their number", common=True)
    sampling: Sampling = _training(
        "replacement",
        "batches drawn with replacement; from a new shuffle each epoch; or of all rows, the last one smaller "
        "(filled with others for --norm batch)",
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
        "what is minimised: by default cross-entropy of classes, logistic of several labels a row, "
        "squared-error of numbers",
    )
    standardize_target: bool = _training(
        True, "train on numbers less their mean and over their deviation, and undo it in predictions"
    )
    solver: Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lion"] = _training(
        "sgd", "how gradients change parameters", common=True
    )
    learning_rate: float = _training(
        2e-2, "learning rate, the highest of the schedule", stackable=True, common=True
    )
    schedule: Literal["constant", "exponential", "step", "cosine", "one-cycle"] = _training(
        "exponential", "how the learning rate changes", common=True, yields_to={"learning_rate_decay": ()}
    )
    learning_rate_decay: float = _training(
        0.99, "factor on the learning rate: each epoch (exponential) or --step-epochs (step)", stackable=True
    )
    step_epochs: int = _training(30, "epochs from one fall of the step schedule to the next")
    peak: float = _training(0.3, "part of the steps in which the rate of one-cycle rises")
    warmup: float = _training(0.0, "part of the steps in which the rate of any schedule is raised from 0")
    momentum: float = _training(0.9, "factor on past gradients; beta1 of adam and lion", stackable=True)
    beta2: float = _training(0.999, "factor on past squares of adam and rmsprop; of lion", stackable=True)
    epsilon: float = _training(1e-8, "added to the root of the squares", stackable=True)
    clip_norm: float | None = _training(
        None, "longest gradient of the loss, its penalty apart", stackable=True
    )
    ema: float = _training(
        0.0, "evaluate a moving average of the parameters, of this decay a step; 0 for none", stackable=True
    )
    seed: int = _training(0, "seed of the initial weights and of the batches", stackable=True, common=True)
    batch_seed: int | None = _training(
        None, "seed of the batches, where it is to differ from --seed", stackable=True
    )
    monitor: Monitor | str = _training(
        "val_score",
        "what the best parameters are chosen by: accuracy, or R² of numbers; the loss; another measure; or "
        "the name of a scorer of scikit-learn, such as f1_macro, or recall:CLASS",
    )
    patience: int | None = _training(
        None,
        "stop after so many epochs without a better --monitor, and keep the best parameters",
        common=True,
        yields_to={"halving": (True,)},  # of a sweep
    )
    min_delta: float = _training(0.0, "by how much --monitor must change to be better")
    max_time: float | None = _training(None, "seconds after which training stops")
    class_weight: tuple[str, ...] | None = _training(
        None, "balanced: all classes weigh the same; or NAME=WEIGHT for some of them"
    )

    reg: float = _regularisation(
        1e-2, "strength of the L2 penalty on the weights, in the loss", stackable=True, common=True
    )
    weight_decay: float = _regularisation(0.0, "decay of the weights apart from the gradient", stackable=True)
    dropout: float = _regularisation(
        0.0, "part of the hidden units dropped in each step", stackable=True, common=True
    )
    input_dropout: float = _regularisation(0.0, "part of the inputs dropped in each step", stackable=True)
    label_smoothing: float = _regularisation(
        0.0,
        "part of each target that is spread over all classes",
        stackable=True,
        yields_to={"loss": ("hinge",)},
    )

    flip: bool = _augmentation(False, "mirror half of the images of each batch")
    shift: int = _augmentation(0, "shift images by up to so many pixels each way")
    rotation: float = _augmentation(0.0, "turn images by up to so many degrees each way")
    cutout: int = _augmentation(0, "grey out a square of so many pixels a side in each image")
    mixup: float = _augmentation(0.0, "mix rows with others, in shares from Beta(X, X); 0 for none")
    averaging: Views = _augmentation(
        "none",
        "average the probabilities of an image's mirror image, and of shifts, at evaluation",
        yields_to={"flip": (False,)},
    )

    device: str = _device(
        "cpu",
        "cpu, cuda, cuda:N, mps (the GPU of a Mac), or auto: cuda if a library here can use it, else cpu; or "
        "several, cuda:all or cuda:0,cuda:1: a sweep shares out its networks, train the rows of each batch",
        common=True,
    )
    backend: Backend = _device(
        "auto", "library that computes: numpy on the CPU, cupy on a CUDA GPU, torch and jax on either"
    )
    precision: Precision = _device(
        "fp32",
        "of the factors of products of float32 matrices, on a CUDA GPU; bf16 by torch on some CPUs, too",
    )
    compile: bool = _device(
        False, "cupy: capture a step as a CUDA graph (not yet run on a GPU); torch: torch.compile"
    )
    dtype: Literal["float32", "float64"] = _device("float32", "precision of the computation")
    threads: int | None = _device(
        None,
        "CPU threads for matrix products (NumPy's BLAS, PyTorch), and the most stacks that a sweep trains at "
        "a time; by default what the environment says, such as OMP_NUM_THREADS",
        recorded=False,
    )
    alone: bool = _device(
        False,
        "train a network of its own in each process that mpiexec or srun has started, instead of one by all",
        recorded=False,
    )

    out: str | None = _output(
        None,
        "folder to write, by default runs/<dataset>-<date>-<time>",
        recorded=False,
        common=True,
        path=True,
    )
    force: bool = _output(
        False,
        "remove the run that is in --out, instead of moving it to previous-1 there; or the other sweep",
        recorded=False,
    )
    json: bool = _output(
        False, "print the summary as JSON in the last line of standard output", recorded=False, common=True
    )
    quiet: bool = _output(False, "print nothing but errors and that JSON", recorded=False, common=True)
    checkpoint_every: int | None = _output(
        None, "write a checkpoint after every so many epochs, to --resume from"
    )
    resume: str | None = _output(
        None,
        "folder of a run that was cut off, or is to have more --epochs: go on from its last checkpoint",
        recorded=False,
        path=True,
    )
    tensorboard: bool = _output(False, "write events for TensorBoard into the run folder")
    weights_image: bool = _output(False, "write the first layer's weights as images: weights.png")

    def __new__(cls, *_values: Any, **given: Any) -> Self:
        """Make an instance; names are checked here, where Python's own error has no fix in it."""
        refuse_unknown(given, cls)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        weights: Any = self.class_weight
        if isinstance(weights, Mapping):  # as scikit-learn has it
            by_name = tuple(f"{name}={weight}" for name, weight in weights.items())
            object.__setattr__(self, "class_weight", by_name)
        normalise(self)
        ranges.check(self)
        # These check themselves; the numbers of features and classes come with the data.
        _ = self.preprocessing, self.augmentation
        MLP((1, *self.hidden, 1), self.activation, self.norm, self.residual)

    @classmethod
    def of(cls, *layers: "Mapping[str, Any] | Config | str | os.PathLike[str]", **given: Any) -> Self:
        """Return the defaults of the data set, with each layer over those before, and ``given`` over all.

        Of ``iterations`` and ``epochs`` the later layer's takes the place of the other.

        Parameters
        ----------
        *layers
            Settings by name, such as those of a recipe; all of another `Config`; or a TOML file or
            ``config.json`` of them.
        **given
            Settings by name.

        Raises
        ------
        InputError
            As for `Config`, or a file that cannot be read.

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
        """Return what differs from the defaults of the data set: a call that makes the same settings."""
        cls = type(self)
        usual, plain = defaults_for(cls, self.dataset), defaults_for(cls)
        shown = differing(self, usual | {"dataset": plain["dataset"]})
        of_data_set = differing(self, plain).keys() - shown.keys()
        return call(f"{cls.__name__}.of" if of_data_set else cls.__name__, shown)

    def find_device(self) -> Device:
        """Return the device that the settings name.

        Raises
        ------
        DeviceError
            It cannot be used here.
        """
        return get_device(self.device, self.backend, self.precision, self.compile)

    @property
    def reading(self) -> Reading:
        """How a user's own data are read."""
        return Reading(**{name: getattr(self, name) for name in SETTINGS})

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to the rows."""
        # Other kinds have none: so a sweep can vary the kind, and a recipe's be changed.
        components = self.components or None if self.preprocess in ("pca", "pca-whiten") else None
        return Preprocessing(self.preprocess, components, self.ridge, self.contrast, self.fit_rows, self.bins)

    @property
    def augmentation(self) -> Augmentation:
        """What is done to the images of each batch."""
        return Augmentation(self.flip, self.shift, self.rotation, self.cutout)

    @property
    def weight_by_class(self) -> dict[str, float] | str:
        """What ``class_weight`` says: ``"balanced"``, or a weight by name."""
        if self.class_weight is None or self.class_weight == ("balanced",):
            return "balanced" if self.class_weight else {}
        named = (item.rpartition("=") for item in self.class_weight)
        return {name: float(weight) for name, _, weight in named}

    def loss_of(self, task: Task) -> str:
        """Return the loss that a task is trained by.

        Raises
        ------
        InputError
            The settings name another one's.
        """
        usual, *others = LOSSES_OF[task]
        if self.loss == "auto":
            return usual
        if self.loss not in (usual, *others):
            raise InputError(f"--loss {self.loss} is not for {task}: use {', '.join((usual, *others))}")
        return self.loss

    def recorded(self) -> dict[str, Any]:
        """Return the settings that make a run what it is, those of ``config.json``."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("recorded", True)}

    def mlp(self, num_inputs: int, num_outputs: int) -> MLP:
        """Return the network of so many inputs, as the preprocessing makes them, and classes or outputs."""
        return MLP((num_inputs, *self.hidden, num_outputs), self.activation, self.norm, self.residual)

    def regime(self, num_rows: int, task: Task = "classification") -> Regime:
        """Return how networks are trained on ``num_rows`` training rows.

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
        """Return the settings with what suits the training rows, where they leave it open by a 0.

        A batch is no larger than these. Numbers that are predicted have no classes over which label smoothing
        could spread them. The columns that are predicted are those that were found where none was named.
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
"""The losses that each task may be trained by, the usual one first."""
