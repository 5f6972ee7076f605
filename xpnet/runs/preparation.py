"""From a data set on the host to prepared rows on the device; checks of settings against the data."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet import datasets
from xpnet.columns.tabular import listed
from xpnet.data import augment, transforms
from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.data.likeness import other_scale
from xpnet.data.preprocessing import Preprocessing
from xpnet.data.views import check_views
from xpnet.data.weights import by_class, likely_typo, relative, unit_of, weighted
from xpnet.datasets import Dataset
from xpnet.datasets.checks import first_row_not_finite
from xpnet.datasets.reading import Note, silent
from xpnet.datasets.stored import Stored, picked
from xpnet.device import Device
from xpnet.errors import InputError
from xpnet.nn.mlp import MLP
from xpnet.runs.config import LOSSES_OF, Config
from xpnet.runs.subset import count_of, subset_of
from xpnet.training import monitors
from xpnet.training.model import Model
from xpnet.training.scale import Scale, check_counts
from xpnet.typing import Array, Params
from xpnet.values import shown

__all__ = ["Prepared", "check", "load_data", "monitor_of", "prepare", "preprocessing_of", "suited"]

ENCODED = 2**26
"""Maximum number of inputs for which all rows of a table are encoded once (256 MB in float32); more are
encoded batch by batch."""


@dataclass(frozen=True)
class Prepared:
    """A data set on the device, ready to train on, with its fitted preprocessing.

    Attributes
    ----------
    data
        The data set, on the host.
    feed
        Training rows.
    validation
        Validation rows, ready for the network.
    how, fitted
        The preprocessing and its fitted arrays, on the host.
    apply
        The preprocessing on the device.
    target
        The standardisation of the targets of a regression; None for classes and labels.
    begin
        Initial parameters on the host, of one network (for all) or of each; empty if they are to be drawn.
    """

    data: Dataset
    feed: Feed = field(repr=False)
    validation: Feed = field(repr=False)
    how: Preprocessing
    fitted: dict[str, NDArray[np.float64]] = field(repr=False)
    apply: Callable[[Array], Array] = field(repr=False)
    target: Scale | None = None
    begin: tuple[Params, ...] = field(default=(), repr=False)

    def mlp(self, config: Config) -> MLP:
        """Return the network of some settings on these data."""
        return config.mlp(self.how.output_features(self.data.num_features), self.data.num_outputs)


def load_data(
    config: Config, note: Note, room: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Dataset:
    """Load the data set that the settings name.

    Parameters
    ----------
    config
        Settings; those that are not quiet show the progress of a download.
    note
        Called with a sentence about what was guessed or left out, or if the validation rows are scaled
        differently.
    room
        The context in which to show the bar of a download, for callers with a display of their own.
    """
    progress = False if config.quiet else room
    data = datasets.load(config.dataset, config.data_dir, progress, config.reading, note)
    if datasets.has_validation(config.dataset) and (unlike := other_scale(data.X_train, data.X_val)):
        note(unlike)
    return data


def preprocessing_of(config: Config, data: Dataset) -> Preprocessing:
    """Return the preprocessing of a data set, not fitted yet."""
    how = config.preprocessing
    if how.kind != "table" or data.columns is None:
        return how
    return replace(how, categories=tuple(len(column.categories) for column in data.columns.columns))


def suited(configs: Sequence[Config], data: Dataset, note: Note) -> list[Config]:
    """Return the settings with open values chosen by the data, and batches no larger than the data.

    Parameters
    ----------
    configs, data
        The settings, and the data to train on.
    note
        Called with a sentence about batches larger than the data, or weights of absent classes.
    """
    rows = [count_of(config, len(data.X_train)) for config in configs]
    if any(count == 1 and config.norm == "batch" for config, count in zip(configs, rows, strict=True)):
        raise InputError(
            "--norm batch needs batches of several rows, but there is only 1 training row: give more, or "
            "use --norm layer"
        )
    for count in dict.fromkeys(rows):
        most = max(config.batch_size for config, its in zip(configs, rows, strict=True) if its == count)
        if most > count:
            note(
                f"--batch-size {most} is more than the {count} training rows: every batch contains "
                f"all of them"
            )
    for weights in dict.fromkeys(config.class_weight for config in configs if config.class_weight):
        _tell_of_absent(replace(configs[0], class_weight=weights), data, note)
    return [
        config.for_data(count, data.num_features, data.task, data.target)
        for config, count in zip(configs, rows, strict=True)
    ]


def _tell_of_absent(config: Config, data: Dataset, note: Note) -> None:
    """Report weights of classes without rows, which may be absent in this fold, or misspelt."""
    weights = config.weight_by_class
    if isinstance(weights, str) or data.task != "classification":
        return
    absent = [name for name in weights if name not in data.class_names]
    if absent and len(absent) < len(weights):
        note(
            likely_typo(weights, data.class_names)
            or f"--class-weight names {listed(absent)}, but no training row has that class: it has no effect"
        )


def check(config: Config, data: Dataset, note: Note = silent) -> None:
    """Refuse settings that do not fit the data.

    Parameters
    ----------
    config, data
        The settings, and the data to train on.
    note
        Called with a sentence if the monitor is undefined on the validation rows and the loss replaces it.

    Raises
    ------
    InputError
        Bagging with a single network; more components than features; image settings without images; a loss, a
        monitor or weights that do not suit the task; or categories or gaps that the preprocessing does not
        support.
    """
    _check_columns(config, data)
    if config.bagging and config.ensemble == 1:
        raise InputError("--bagging needs several networks: give --ensemble 8, for example, or drop it")
    if config.weights_image and config.preprocess == "table":
        raise InputError("--preprocess table has no weights per pixel to draw: drop --weights-image")
    config.num_steps(len(data.X_train))
    if isinstance(data.X_train, Stored) and data.X_train.blocks is not None:
        _check_blocks(config)
    _check_targets(config, data)
    weight, weight_val = _weights(config, data)
    labels, names = _classes(data), data.class_names
    monitors.check(
        config.monitor,
        data.task,
        data.y_val,
        weight_val,
        outputs=data.num_outputs,
        labels=labels,
        class_names=names,
    )
    preprocessing_of(config, data).output_features(data.num_features)
    augment.check(config.augmentation, data.image_shape)
    check_views(config.averaging, data.image_shape)
    if weight is not None and config.mixup:
        raise InputError("--mixup cannot be combined with weights: give one of them")
    if undefined := monitors.undefined(config.monitor, data.task, data.y_val, data.weight_val):
        note(f"{undefined}: epochs are compared by val_loss instead; for R² hold out more rows")


def _check_blocks(config: Config) -> None:
    """Refuse random access to rows that are read in blocks."""
    for is_said, name in (
        (config.sampling == "replacement", "sampling replacement"),
        (config.bagging, "bagging"),
    ):
        if is_said:
            fix = "--sampling shuffle or all" if name.startswith("sampling") else "no --bagging"
            raise InputError(
                f"--{name} needs random access to rows, but Parquet files are read one row group at a time: "
                f"use {fix}, or --rows-in memory"
            )


def monitor_of(config: Config, data: Dataset) -> Any:
    """Return the monitor of the best epoch, as in `xpnet.training.regime.Regime`."""
    return monitors.resolved(config.monitor, data.task, _classes(data), class_names=data.class_names)


def _classes(data: Dataset) -> Sequence[Any]:
    """Return the labels of the classes, by default their numbers."""
    return range(data.num_outputs) if data.labels is None else data.labels


def _check_targets(config: Config, data: Dataset) -> None:
    """Refuse a loss that does not fit the task or the values of the targets."""
    loss = config.loss_of(data.task)
    usual = f"--loss {LOSSES_OF[data.task][0]}"
    check_counts(loss, data.y_train, data.weight_train, usual=usual, what="y_train")
    for what, y in (("y_val", data.y_val), ("y_test", data.y_test)):
        if y is not None:
            check_counts(loss, y, usual=usual, what=what, may_be_zero=True)


def _check_columns(config: Config, data: Dataset) -> None:
    """Refuse categories and gaps that the preprocessing would treat as numbers."""
    if data.columns is None or config.preprocess == "table":
        return
    fix = f"which --preprocess {config.preprocess} cannot take: use --preprocess table"
    columns = data.columns.columns
    for column in columns:
        if column.kind == "category":
            raise InputError(f"column {shown(column.name)} has categories, {fix}")
    for X in (data.X_train, data.X_val, data.X_test):
        row = None if X is None else first_row_not_finite(X)
        if X is not None and row is not None:
            name = columns[int(np.isnan(X[row]).argmax())].name
            raise InputError(f"column {shown(name)} has gaps, {fix}")


def prepare(config: Config, data: Dataset, device: Device, start: Model | None = None) -> Prepared:
    """Fit the preprocessing on the training rows and put the training and validation rows on the device.

    Only the training rows that the settings select are used to fit anything. Rows to augment stay raw and are
    preprocessed batch by batch. So are bytes on devices that prefer them (`Device.keeps_raw`), unless the
    preprocessing is a matrix product. All others are preprocessed once, here. The targets of a regression are
    standardised. A warm start keeps the preprocessing of the model.

    Raises
    ------
    InputError
        A value is too large for the dtype; see also `xpnet.data.transforms.fit`.
    """
    data = subset_of(config, data)
    how, dtype = preprocessing_of(config, data), config.dtype
    target = None
    if start is not None:
        how, target = start.preprocessing, start.target
    elif data.task == "regression" and config.standardize_target:
        target = Scale.of(data.y_train, data.weight_train, config.loss_of(data.task))
    weight, weight_val = _weights(config, data)
    weight = relative(weight)

    def put_targets(y: NDArray[Any]) -> Array:
        if target is not None:
            return device.put(target.apply(y), dtype)
        return device.put(y, None if data.task == "classification" else dtype)

    # Leave out rows of classes with weight 0, like rows with weight 0, which were left out earlier.
    counted = data.X_train if weight is None or weight.all() else picked(data.X_train, weight > 0)

    with device.active():
        if data.image_shape is None and start is None:
            how = transforms.suited(how, counted, dtype)
        if start is None:
            for X in (data.X_train, data.X_val):
                transforms.check_size(how, X)
        fitted = transforms.fit(how, counted, device, dtype) if start is None else start.fitted
        how = transforms.complete(how, fitted)
        on_device = {name: device.put(value, dtype) for name, value in fitted.items()}
        apply = partial(transforms.apply, device.xp, how, on_device)
        whole = data.X_train.dtype
        smaller = whole.kind in "iu" and whole.itemsize < np.dtype(dtype).itemsize
        raw = bool(config.augmentation) or (device.keeps_raw and smaller and "matrix" not in fitted)
        inputs = how.output_features(data.num_features)
        many = how.kind == "table" and len(data.X_train) * inputs > ENCODED
        many, many_val = many or isinstance(data.X_train, Stored), many or isinstance(data.X_val, Stored)

        def put_rows(X: Any, raw: bool) -> Array | HostRows:
            if isinstance(X, Stored):
                as_they_are = X.dtype.kind != "f" and not (how.kind == "table" or how.exact)
                convert = partial(transforms.for_device, how, fitted, dtype=dtype)
                return HostRows(X, device, None if as_they_are else dtype, convert)
            if raw:
                X = transforms.for_device(how, fitted, X, dtype)
                return device.put(X, dtype if X.dtype.kind == "f" else None)
            return transforms.apply_all(device, how, fitted, X, dtype)

        feed = Feed(
            put_rows(data.X_train, raw or many),
            put_targets(data.y_train),
            apply if raw or many else None,
            config.augmentation,
            data.image_shape if config.augmentation else None,
            device.put(_mean_image(data)) if config.cutout else None,
            None if weight is None else device.put(weight, dtype),
        )
        validation = Feed(
            put_rows(data.X_val, many_val),
            put_targets(data.y_val),
            apply if many_val else None,
            weight=None if weight_val is None else device.put(weight_val / unit_of(weight_val), dtype),
        )
    begin = () if start is None else networks_of(start)
    return Prepared(data, feed, validation, how, fitted, apply, target, begin)


def networks_of(model: Model) -> tuple[Params, ...]:
    """Return the parameters of each network of a model."""
    if model.networks is None:
        return (dict(model.params),)
    return tuple({name: value[k] for name, value in model.params.items()} for k in range(model.networks))


def _weights(config: Config, data: Dataset) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return the weights of the training and the validation rows, multiplied by their class weights.

    None if all are the same. Class weights apply to the validation rows, too: otherwise, the epoch that is
    kept would be the best one for another objective.
    """
    if config.class_weight is None:
        return data.weight_train, data.weight_val
    if data.task != "classification":
        raise InputError(f"--class-weight needs one class per row, not {data.task}: give rows weights")
    factors = by_class(config.weight_by_class, data.class_names, data.y_train, data.weight_train)
    return (
        weighted(factors, data.y_train, data.weight_train),
        weighted(factors, data.y_val, data.weight_val, "validation rows"),
    )


def _mean_image(data: Dataset) -> NDArray[Any]:
    """Return the mean of the training rows, in their dtype."""
    X = data.X_train
    if isinstance(X, Stored):
        mean = sum(rows.sum(axis=0, dtype=np.float64) for rows in X.parts()) / len(X)
    else:
        mean = X.mean(axis=0, dtype=np.float64)
    return np.asarray(mean.round() if data.X_train.dtype.kind in "iu" else mean, data.X_train.dtype)
