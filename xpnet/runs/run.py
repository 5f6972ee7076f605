"""`Run`: a trained network with its settings, history and scores, and the methods that use it."""

import math
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet import exporters
from xpnet.columns.columns import take_target
from xpnet.columns.tabular import as_frame, is_frame
from xpnet.data.likeness import other_order
from xpnet.datasets.reading import Note
from xpnet.datasets.targets import encode_targets
from xpnet.device import Device, to_numpy
from xpnet.errors import InputError
from xpnet.files import output_file, output_path, path_of, replacing
from xpnet.reporting import plots
from xpnet.reporting.card import card
from xpnet.reporting.metrics import score_name, shown
from xpnet.runs import folder as run_folder
from xpnet.runs.experiment import Experiment
from xpnet.runs.keywords import in_python, naming_keywords
from xpnet.runs.labelled import is_file, labelled_rows
from xpnet.runs.model_file import save_model
from xpnet.runs.previous import make_room
from xpnet.runs.report import charts_of, report_of
from xpnet.runs.saved import SavedRun
from xpnet.runs.unlabelled import holds_images, predictions, unlabelled_rows
from xpnet.training.history import SCORE_OF
from xpnet.training.measures import measured
from xpnet.training.raw_rows import checked_targets
from xpnet.warn import warn

__all__ = ["Run", "as_run"]


@dataclass(frozen=True, eq=False, repr=False)
class Run(Experiment):
    """A trained network with its settings, history and scores, as `xpnet.fit` and `xpnet.load` return it.

    Attributes
    ----------
    config
        The settings, a `Config`.
    model
        The network with its preprocessing, a `Model`.
    history
        Losses and scores of each epoch, a `History`.
    summary
        Scores, seconds, steps, device and status: the content of ``summary.json``.
    best
        The model of the best epoch by ``monitor``, or None if it was not kept.
    best_rows
        For each network, the index of its best epoch in the rows of ``history``; empty if it is unknown.
    folder
        Folder of the run's files, or None.
    """

    folder: Path | None = None

    def predict(
        self,
        X: Any,
        device: str | Device = "cpu",
        members: bool = False,
        *,
        header: bool | None = None,
        shades: tuple[float, float] | None = None,
    ) -> NDArray[Any]:
        """Predict classes, labels or numbers.

        Parameters
        ----------
        X
            Rows ``(rows, features)`` of any real dtype, or rows in the shape used in training; a data frame
            with the columns of training; or the path of a table, an ``.npy`` or ``.npz`` file, an image or a
            folder of images, which is read a part at a time.
        device
            Where to compute.
        members
            Return the prediction of each network of an ensemble, with the networks as the first axis (of
            length 1 for a single network). Where they disagree, the prediction is uncertain.
        header
            Whether the first line of a text file holds the column names; by default as in training, else
            detected.
        shades
            For image files, the values of black and white pixels in the training rows; by default inferred
            from the range of these rows.

        Returns
        -------
        ndarray
            Class labels ``(rows,)`` as used in training; 0 and 1 ``(rows, labels)`` for several labels; or
            numbers ``(rows,)`` or ``(rows, outputs)``.

        Raises
        ------
        InputError
            If the rows have the wrong shape or hold values that are not finite, or a file cannot be used.
        """
        predict = partial(self.model.predict_labels, device=device, members=members)
        return self._predicted(X, predict, header, shades, axis=int(members))

    def predict_proba(
        self,
        X: Any,
        device: str | Device = "cpu",
        members: bool = False,
        *,
        header: bool | None = None,
        shades: tuple[float, float] | None = None,
    ) -> NDArray[Any]:
        """Predict the probability of each class or label, ``(rows, classes)``.

        Parameters
        ----------
        X, device, header, shades
            As for `predict`.
        members
            Return the probabilities of each network of an ensemble, ``(networks, rows, classes)``.

        Raises
        ------
        InputError
            As for `predict`, or if the network is a regression.
        """
        each = members and self.model.task != "regression"
        predict = partial(self.model.members if each else self.model.probabilities, device=device)
        return self._predicted(X, predict, header, shades, axis=int(each))

    def predict_interval(
        self,
        X: Any,
        coverage: float = 0.9,
        device: str | Device = "cpu",
        *,
        header: bool | None = None,
        shades: tuple[float, float] | None = None,
    ) -> NDArray[np.float64]:
        """Return a prediction interval for each number of a regression.

        The interval is ``mean ± q · √(spread² + s²)``. The spread is the standard deviation of the
        predictions over the networks of an ensemble (0 for a single network), ``s`` is the root mean squared
        error on the validation rows, and ``q`` is chosen so that the interval covers the fraction
        ``coverage`` of those rows.

        Parameters
        ----------
        X, device, header, shades
            As for `predict`.
        coverage
            Probability that an interval covers the true value, for each number separately.

        Returns
        -------
        ndarray
            Lower and upper ends: ``(rows, 2)``, or ``(rows, outputs, 2)`` for several numbers per row.

        Raises
        ------
        InputError
            As for `predict`. Also if the network is not a regression, if the model was saved without its
            errors on the validation rows, or if these are too few for the coverage.
        """
        predict = partial(self.model.predict_interval, coverage=coverage, device=device)
        return self._predicted(X, predict, header, shades)

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        device: str | Device = "cpu",
        *,
        split: str | None = None,
        target: str | Sequence[str] = (),
        header: bool | None = None,
        shades: tuple[float, float] | None = None,
    ) -> dict[str, float]:
        """Evaluate the network on given rows.

        Parameters
        ----------
        X, device
            As for `predict`; or the path of a table, an ``.npz`` file or a folder of images, which is
            evaluated as a whole by default; or ``"digits"`` or ``"cifar10"``.
        y
            True targets, as in training; the columns of a frame are matched by name. By default, the target
            columns of X.
        split
            Which split to evaluate, if X has several: ``"train"``, ``"val"`` or ``"test"``. For ``"digits"``
            and ``"cifar10"``, by default ``"test"``, or ``"val"`` if there is no test set.
        target
            Target columns of a table; by default as in training.
        header
            Whether the first line of a text file holds the column names; detected by default.
        shades
            For a folder of images, the values of black and white pixels in the training rows; by default
            inferred from the range of these rows.

        Returns
        -------
        dict
            For classes and labels ``accuracy`` (of whole rows), ``balanced_accuracy``, ``log_loss`` and
            ``roc_auc``; for numbers ``r2``, ``rmse`` and ``mae``. See `xpnet.training.measures` for
            definitions. An undefined measure is NaN, such as the ``roc_auc`` of rows of a single class.

        Raises
        ------
        InputError
            As for `predict`; also if a label is unknown, or the rows and targets differ in number.
        """
        model = self.model
        if isinstance(X, str | os.PathLike):
            if y is not None:
                raise InputError(f"{X} has its own targets: leave out y")
            notes: list[str] = []
            with naming_keywords():
                rows, found = self._of_name(X, split, target, header, shades, notes.append)
            for text in notes:
                warn(in_python(text))
        elif any((split is not None, bool(target), header is not None, shades is not None)):
            raise InputError(
                "split, target, header and shades apply to files only: give a path, or leave them out"
            )
        else:
            if unlike := other_order(X, {"y": y}):
                warn(unlike)
            X, found = self._with_targets(X, y)
            rows = self._rows(X)
        is_regression = model.task == "regression"
        P = model.predict(rows, device) if is_regression else model.probabilities(rows, device)
        if len(P) != len(found):
            raise InputError(f"y has {len(found)} rows, but X has {len(P)}: give one target for each row")
        y = checked_targets(found, model.task, len(model.class_names), len(P))
        return measured(model.task, y, np.reshape(P, y.shape) if is_regression else P)

    def _of_name(
        self,
        name: str | os.PathLike[str],
        split: str | None,
        target: str | Sequence[str],
        header: bool | None,
        shades: tuple[float, float] | None,
        note: Note,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the rows of a file or a built-in data set, as the model takes them, and their targets."""
        target = (target,) if isinstance(target, str) else tuple(target)
        path = path_of(name)
        if is_file(str(path)):
            found = labelled_rows(
                self.model,
                self.config,
                path,
                split,
                target=target,
                header=header,
                trained_on=self.summary.get("data"),
                shades=shades,
                note=note,
            )
        else:
            of_name = SavedRun(self.folder or Path(), Path(), self.model)
            found = of_name.rows(
                str(path), self.config.data_dir, split, target=target, header=header, note=note
            )
        return found.X, found.y

    def _with_targets(self, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
        """Return rows, and their targets encoded as in training."""
        model = self.model
        if y is None:
            if not self.config.target:
                raise InputError("the targets of the rows are missing: give y")
            X, y, _ = take_target(X, self.config.target, classes=model.labels or False)
        elif is_frame(y) and len(getattr(y, "shape", ())) != 1 and model.task != "classification":
            frame = as_frame(y)
            named = frame.is_named and set(model.class_names) <= set(frame.names)
            y = take_target(frame, model.class_names).y if named else y
        return X, encode_targets(y, model.task, model.labels, len(model.class_names))

    def save(self, path: str | Path, force: bool = False) -> Path:
        """Save the run as a folder, as ``xpnet train`` does, or the model as a single file.

        Parameters
        ----------
        path
            A folder, created if needed, or a file whose name ends in ``.safetensors``.
        force
            Delete a run that is already in the folder; by default it is moved to ``previous-1`` there.

        Returns
        -------
        Path
            The folder or file written.

        Raises
        ------
        InputError
            If the path is empty or cannot be written, or is the folder of a sweep.
        """
        path = output_path(path)
        if path.suffix == ".safetensors":
            save_model(output_file(path), self.model)
            return path
        if path == Path():
            raise InputError("the path to save to is empty: give a path")
        report = self._kept_report()
        with run_folder.claim(str(path), self.config.dataset) as folder:
            run_folder.refuse_sweep(folder)
            if self.folder is None or folder.resolve() != self.folder.resolve():
                make_room(folder, force, warn)
            run_folder.write(folder, self, pictures=plots.available(), report=report)
        return folder

    def export(self, path: str | Path, format: str | None = None, *, opset: int | None = None) -> Path:
        """Export the model for other libraries.

        Parameters
        ----------
        path
            The file to write.
        format
            ``"onnx"``, or ``"torch"`` for a PyTorch state dict in a safetensors file; by default chosen by
            the suffix of the file, ``.onnx`` or ``.safetensors``.
        opset
            ONNX opset version, at least 13; by default 20.

        Raises
        ------
        InputError
            If the format or opset is not supported, or the package onnx is missing.
        """
        path = output_file(path)
        exporters.export(self.model, path, format, opset)
        return path

    def report(self, path: str | Path | None = None) -> Path:
        """Write the HTML report, one self-contained page, and return its path.

        Parameters
        ----------
        path
            The file to write; by default ``report.html`` in the folder of the run.

        Raises
        ------
        InputError
            If there is no path and the run has no folder.
        """
        if path is not None:
            file = output_file(path)
        elif self.folder is not None:
            file = self.folder / "report.html"
        else:
            raise InputError('the run has no folder: give a path, such as "report.html"')
        report = self._kept_report()
        if report is None:
            report = report_of(self).as_html()
        with replacing(file) as temporary:
            temporary.write_bytes(report)
        return file

    def _kept_report(self) -> bytes | None:
        """Return the existing report of a loaded run: it shows more than the other files could reproduce."""
        file = None if self.folder is None else self.folder / "report.html"
        return file.read_bytes() if self.validated is None and file is not None and file.is_file() else None

    def __repr__(self) -> str:
        score = SCORE_OF[self.model.task]
        parts = [
            f"{part} {self.summary[f'{part}_{score}']:.4f}"
            for part in ("train", "val", "test")
            if self.summary.get(f"{part}_{score}") is not None
        ]
        summary = self.summary
        lines = ["Run (only the model is known)"]
        if summary:
            lines = [
                f"Run on {self.config.dataset}: {summary['status']}, {summary['steps']} steps",
                f"  {summary['seconds']:.2f} s on {summary['device']} with {summary['backend']}",
                f"  {score}: {', '.join(parts)}",
            ]
        lines.append(textwrap.indent(repr(self.model), "  "))
        if self.folder is not None:
            lines.append(f"  in {self.folder}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return a card with the scores and the curves, for a notebook."""
        score, summary = SCORE_OF[self.model.task], self.summary
        values = [
            (f"{of} {score_name(score)}", shown(summary[f"{part}_{score}"], score))
            for part, of in (("test", "test"), ("val", "validation"), ("train", "training"))
            if summary.get(f"{part}_{score}") is not None
        ]
        if summary:
            values += [
                ("steps", f"{summary['steps']:,}"),
                ("on " + summary["device"], f"{summary['seconds']:.2f} s"),
            ]
        title = f"Run on {Path(self.config.dataset).name}" if summary else "Run"
        charts = charts_of(self)
        return card(title, summary.get("status", ""), values, charts, repr(self))

    def _predicted(
        self,
        X: Any,
        predict: Callable[[Any], NDArray[Any]],
        header: bool | None,
        shades: tuple[float, float] | None,
        axis: int = 0,
    ) -> NDArray[Any]:
        """Return predictions for rows in memory or in a file; ``axis`` is their axis of rows."""
        if not isinstance(X, str | os.PathLike):
            if header is not None or shades is not None:
                raise InputError("header and shades apply to files only: give a path, or leave them out")
            return predict(self._rows(X))
        path, notes = path_of(X), list[str]()
        if shades is not None and not holds_images(path):
            raise InputError(f"{path} is not an image: leave out shades")
        with naming_keywords():
            rows = unlabelled_rows(
                self.model,
                path,
                header=header,
                of_run=self.config.header,
                shades=shades,
                note=notes.append,
            )
            parts = list(predictions(self.model, path, rows, predict))
        for text in notes:
            warn(in_python(text))
        if not parts:
            return predict(np.empty((0, self.model.num_features)))
        return np.concatenate(parts, axis=axis)

    def _rows(self, X: ArrayLike) -> Any:
        """Return rows in the form that the model takes: a table as a matrix, images flattened."""
        columns = self.model.columns
        if columns is not None:
            return columns.matrix(X)
        shape = getattr(X, "shape", None)
        if shape is None:
            try:
                X = np.asarray(X)
            except ValueError:  # rows of different lengths: the model's error message says more
                return X
            shape = X.shape
        features, image = self.model.num_features, self.model.image_shape
        fits = image is None or tuple(shape[1:]) in (image, image[:2] if image[2] == 1 else image)
        if len(shape) > 2 and fits and math.prod(shape[1:]) == features:
            return np.reshape(to_numpy(X), (shape[0], features))
        return X


def as_run(experiment: Experiment, folder: Path | None) -> Run:
    """Return the run of an experiment."""
    # Without `result`: users of a run do not need the solver's state.
    kept = [f.name for f in fields(Experiment) if f.name != "result"]
    return Run(**{name: getattr(experiment, name) for name in kept}, folder=folder)
