"""A run as people hold it in their hands: what was trained, what it predicts, and what it leaves."""

import math
import os
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
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
from xpnet.runs.labelled import is_file, labelled_rows
from xpnet.runs.model_file import save_model
from xpnet.runs.previous import make_room
from xpnet.runs.saved import SavedRun
from xpnet.training.history import SCORE_OF
from xpnet.training.measures import measured
from xpnet.training.raw_rows import checked_targets, refuse_path

__all__ = ["Run", "as_run"]


@dataclass(frozen=True, eq=False, repr=False)
class Run(Experiment):
    """A trained network with all that is known of it: what `xpnet.fit` and `xpnet.load` return.

    Attributes
    ----------
    config
        The settings, a `Config`.
    model
        The network with its preprocessing, a `Model`.
    history
        What each epoch measured, a `History`.
    summary
        Scores, seconds, steps, device and how the run ended: what ``summary.json`` holds.
    best
        The model of the best epoch by ``monitor``; None where the run kept none.
    best_rows
        The row of the history that is that epoch's, of each network; empty where it is not known.
    folder
        Where its files are; None if it has none.
    """

    folder: Path | None = None

    def predict(self, X: ArrayLike, device: str | Device = "cpu", members: bool = False) -> NDArray[Any]:
        """Return what the network predicts of rows.

        Parameters
        ----------
        X
            ``(rows, features)``, of any real dtype; or rows in the shape that they were trained on.
        device
            Where to compute.
        members
            Return what each network of an ensemble predicts by itself, with an axis over them first; one
            network is an ensemble of one. Where they differ, the data left it open.

        Returns
        -------
        ndarray
            Labels ``(rows,)`` as they were trained on; 0 or 1 for each of several labels; or numbers
            ``(rows,)`` or ``(rows, outputs)``.

        Raises
        ------
        InputError
            Rows of another shape, or of no finite numbers.
        """
        return self.model.predict_labels(self._rows(X), device, members)

    def predict_proba(
        self, X: ArrayLike, device: str | Device = "cpu", members: bool = False
    ) -> NDArray[Any]:
        """Return the probability ``(rows, classes)`` of each class or label.

        Parameters
        ----------
        X, device
            As for `predict`.
        members
            Return those of each network of an ensemble by itself: ``(networks, rows, classes)``.

        Raises
        ------
        InputError
            As `predict`; or the network predicts numbers.
        """
        rows = self._rows(X)
        if members and self.model.task != "regression":
            return self.model.members(rows, device)
        return self.model.probabilities(rows, device)

    def predict_interval(
        self, X: ArrayLike, coverage: float = 0.9, device: str | Device = "cpu"
    ) -> NDArray[np.float64]:
        """Return the interval about each predicted number that holds the true one with some probability.

        It is ``mean ± q · √(spread² + s²)``: the spread is the standard deviation of what the networks of an
        ensemble predict, ``s`` the root mean squared error on the validation rows, and ``q`` such that the
        part ``coverage`` of those rows lies within. Of one network the spread is 0.

        Parameters
        ----------
        X, device
            As for `predict`.
        coverage
            The probability, of each number by itself.

        Returns
        -------
        ndarray
            Lower and upper end: ``(rows, 2)``, or ``(rows, outputs, 2)`` of several numbers a row.

        Raises
        ------
        InputError
            As `predict`; it is no regression; the model was saved without its errors on the validation rows;
            or they are too few for the coverage.
        """
        return self.model.predict_interval(self._rows(X), coverage, device)

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
        """Return what the network is worth on rows that it may never have seen.

        Parameters
        ----------
        X, device
            As for `predict`; or the path of a table, an ``.npz`` file or a folder of images, which is
            measured whole; or ``"digits"`` or ``"cifar10"``.
        y
            What it should predict, as it was trained on; of several columns those of a frame are found by
            their names. By default it is taken from the columns of X that were the target in training.
        split
            Of a file that has several, the one to measure: ``"train"``, ``"val"`` or ``"test"``; of a known
            data set by default ``"test"``, or ``"val"`` where there is none.
        target
            Of a table, the column that holds what is predicted, or several; by default as in training.
        header
            Whether the first line of a text file has names; by default found out.
        shades
            Of a folder of images, what black and white are in the rows of the model; by default what the
            range of the training rows tells.

        Returns
        -------
        dict
            Of classes and labels ``accuracy`` (of whole rows), ``balanced_accuracy``, ``log_loss`` and
            ``roc_auc``; of numbers ``r2``, ``rmse`` and ``mae``. `xpnet.training.measures` says what they
            are; one that is undefined, as the last of rows that are all of one class, is NaN.

        Raises
        ------
        InputError
            As `predict`; labels that the network doesn't know, or not as many as rows.
        """
        model = self.model
        if isinstance(X, str | os.PathLike):
            if y is not None:
                raise InputError(f"{X} has what it should give with it: leave out y")
            notes: list[str] = []
            rows, found = self._of_name(X, split, target, header, shades, notes.append)
            for text in notes:
                warnings.warn(text, stacklevel=2)
        elif any((split is not None, bool(target), header is not None, shades is not None)):
            raise InputError(
                "split, target, header and shades are of a file: give its path, or leave them out"
            )
        else:
            if unlike := other_order(X, {"y": y}):
                warnings.warn(unlike, stacklevel=2)
            X, found = self._with_targets(X, y)
            rows = self._rows(X)
        is_regression = model.task == "regression"
        P = model.predict(rows, device) if is_regression else model.probabilities(rows, device)
        if len(P) != len(found):
            raise InputError(f"y has {len(found)} rows and X {len(P)}: give one for each row")
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
        """Return the rows of a file or a known data set, as the model takes them, and their targets."""
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
        """Return rows, and what they should give as a data set of the model's has it."""
        model = self.model
        if y is None:
            if not self.config.target:
                raise InputError("what the rows should give is missing: give y")
            X, y, _ = take_target(X, self.config.target, classes=model.labels or False)
        elif is_frame(y) and len(getattr(y, "shape", ())) != 1 and model.task != "classification":
            frame = as_frame(y)
            named = frame.is_named and set(model.class_names) <= set(frame.names)
            y = take_target(frame, model.class_names).y if named else y
        return X, encode_targets(y, model.task, model.labels, len(model.class_names))

    def save(self, path: str | Path, force: bool = False) -> Path:
        """Write the run, as the command does: a folder, or the model alone.

        Parameters
        ----------
        path
            A folder, made if need be; or a file whose name ends in ``.safetensors``.
        force
            Remove another run that is in the folder; by default it is moved to ``previous-1`` there.

        Returns
        -------
        Path
            What was written.

        Raises
        ------
        InputError
            No path, a place that cannot be written, or the folder of a sweep.
        """
        path = output_path(path)
        if path.suffix == ".safetensors":
            save_model(output_file(path), self.model)
            return path
        if path == Path():
            raise InputError("an empty name is no folder to write to: give a path")
        report = self._kept_report()
        with run_folder.claim(str(path), self.config.dataset) as folder:
            run_folder.refuse_sweep(folder)
            if self.folder is None or folder.resolve() != self.folder.resolve():
                make_room(folder, force, warnings.warn)
            run_folder.write(folder, self, pictures=plots.available(), report=report)
        return folder

    def export(self, path: str | Path, format: str | None = None, *, opset: int | None = None) -> Path:
        """Write the model for other libraries.

        Parameters
        ----------
        path
            The file to write.
        format
            ``"onnx"``, or ``"torch"``, a state dict of PyTorch in a safetensors file; by default what the
            file's name ends in, ``.onnx`` or ``.safetensors``.
        opset
            Version of ONNX's operators, 20 by default: 13 or more.

        Raises
        ------
        InputError
            No such format or opset; or the package onnx is missing.
        """
        path = output_file(path)
        exporters.export(self.model, path, format, opset)
        return path

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, a page that opens without a network, and return where it is.

        Parameters
        ----------
        path
            The file; by default ``report.html`` in the folder of the run.

        Raises
        ------
        InputError
            No path, and the run has no folder.
        """
        if path is not None:
            file = output_file(path)
        elif self.folder is not None:
            file = self.folder / "report.html"
        else:
            raise InputError('the run has no folder: give report a path, such as "report.html"')
        report = self._kept_report()
        if report is None:
            report = run_folder.report_of(self).as_html()
        with replacing(file) as temporary:
            temporary.write_bytes(report)
        return file

    def _kept_report(self) -> bytes | None:
        """Return the report in the folder of a run that was loaded: it knows more than what is left."""
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
        lines = ["Run, of which only the model is known"]
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
        charts = run_folder.charts_of(self)
        return card(title, summary.get("status", ""), values, charts, repr(self))

    def _rows(self, X: ArrayLike) -> Any:
        """Return rows as the model takes them: a table's matrix; those of several dimensions flat."""
        refuse_path(X)
        columns = self.model.columns
        if columns is not None:
            return columns.matrix(X)
        shape = getattr(X, "shape", None)
        if shape is None:
            try:
                X = np.asarray(X)
            except ValueError:  # rows of several lengths, of which the model says more
                return X
            shape = X.shape
        features, image = self.model.num_features, self.model.image_shape
        fits = image is None or tuple(shape[1:]) in (image, image[:2] if image[2] == 1 else image)
        if len(shape) > 2 and fits and math.prod(shape[1:]) == features:
            return np.reshape(to_numpy(X), (shape[0], features))
        return X


def as_run(experiment: Experiment, folder: Path | None) -> Run:
    """Return a run with all that is known of an experiment."""
    # Not what training returned, the solver's memory above all: nobody has a use for it, who holds a run.
    kept = [f.name for f in fields(Experiment) if f.name != "result"]
    return Run(**{name: getattr(experiment, name) for name in kept}, folder=folder)
