"""One call of an estimator's ``fit``: training by `xpnet.training.loop`, and the fitted attributes."""

import math
import signal
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from xpnet.data import transforms
from xpnet.data.batches import batches_per_epoch
from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.data.preprocessing import Preprocessing
from xpnet.data.weights import relative, unit_of
from xpnet.device import Device, all_to_host
from xpnet.estimator import remedies, settings
from xpnet.estimator.jobs import Begun, Order, Ready, Rows, Streams
from xpnet.estimator.lbfgs import minimise
from xpnet.estimator.names import Named
from xpnet.estimator.notes import Callbacks, Notes, tell
from xpnet.estimator.pace import Pace, Settled
from xpnet.nn import backprop
from xpnet.nn.mlp import MLP, init
from xpnet.training.history import History
from xpnet.training.interrupt import StopSignals
from xpnet.training.result import Fit
from xpnet.training.row_range import RowRange
from xpnet.training.scale import Scale
from xpnet.training.together import Job, train_together
from xpnet.typing import Params, State
from xpnet.warn import warn

__all__ = ["Fitting", "stochastic"]


def _is_stochastic(estimator: Any) -> bool:
    if isinstance(estimator.solver, str) and estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs a solver that trains by batches, unlike lbfgs: use fit")
    return True


stochastic: Any = available_if(_is_stochastic)
"""Decorator that makes a method available only for solvers that use batches, as in scikit-learn."""


class Fitting(Named):
    """The part of `xpnet.estimator.base.Estimator` that trains, after all checks."""

    n_layers_: int
    n_outputs_: int
    out_activation_: str
    _settled: Settled
    _out_activations: tuple[str, ...]
    _target: Scale | None = None
    _first_range: RowRange | None = None
    _row_range: RowRange | None = None
    _is_told: bool = False
    _how: Preprocessing

    @abstractmethod
    def _loss(self) -> str:
        """Return the name of the loss in `xpnet.nn.losses`."""

    @abstractmethod
    def _watched(self, validation: Rows) -> Any:
        """Return the monitor of the validation rows, as in `xpnet.training.regime.Regime`."""

    def _is_begun(self) -> bool:
        """Return whether there is a network to continue from; ``coefs_`` set by hand are not enough."""
        return hasattr(self, "coefs_") and hasattr(self, "_mlp")

    def _begin(self, mlp: MLP, dtype: str) -> None:
        """Draw the initial weights, and initialise the state that is kept from call to call.

        As in scikit-learn, weights and biases are uniform within ``√(6 / (in + out))``, or
        ``√(2 / (in + out))`` for the logistic function (Glorot & Bengio 2010). They are drawn in float64, so
        that a seed means the same in any dtype. Those of an ensemble are drawn one network at a time.
        """
        drawn = [self._draw(mlp) for _ in range(self.ensemble)]
        params = drawn[0] if len(drawn) == 1 else backprop.stack(np, drawn)
        self._set_params({name: value.astype(dtype) for name, value in params.items()})
        self._memory: State = {}
        self._updates = 0
        self.n_iter_, self.t_, self.loss_ = 0, 0, math.nan
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None
        self.best_loss_: float | None = None
        self.history_: dict[str, list[float]] = {}

    def _draw(self, mlp: MLP) -> Params:
        """Draw the parameters of one network."""
        rng = self._random_state
        if self.init is not None:
            return init(mlp, rng, self.init_std, self.init)
        params: Params = {}
        for name, shape in mlp.shapes.items():
            if name[0] == "W":
                bound = math.sqrt((2.0 if self.activation == "logistic" else 6.0) / sum(shape))
            if name[0] in "Wb":  # the biases of a layer are drawn after its weights
                params[name] = rng.uniform(-bound, bound, shape)
            else:
                params[name] = np.ones(shape) if name[0] in "gv" else np.zeros(shape)
        return params

    def _train(self, ready: Ready) -> None:
        """Train on rows, and set the fitted attributes."""
        device = ready.device
        if self.solver == "lbfgs":
            self._train_at_once(device, ready.mlp, ready.rows)
            return
        begun = self._job(ready)
        told = Callbacks(self, device, self._updates)
        with StopSignals(signal.SIGINT) as signals, signals.listening(), device.active():
            (result,) = train_together(
                [begun.job],
                device,
                on_epoch=begun.notes.on_epoch,
                on_fit=None if self.callbacks is None else told.on_fit,
                should_stop=lambda: signals.received is not None,
            )
        self._take(begun, result)
        if result.interrupted or told.interrupted:
            warn(self._interruption(begun, result))
        else:
            if signals.received is not None:
                warn("training was interrupted, but it was already complete: nothing is missing")
            self._tell(begun, result, told.ended)

    def _job(self, ready: Ready, feeds: tuple[Feed, Feed | None] | None = None) -> Begun:
        """Return the training job, with everything needed afterwards.

        ``feeds`` are the rows, if they have already been prepared.
        """
        device, mlp, rows, batch_size, validation, incremental = ready
        parameters = self.get_params(deep=False)
        rows, unit = self._scaled(rows, incremental)
        count = rows.X.shape[0]
        per_epoch = batches_per_epoch(count, batch_size, "all")
        epochs = 1 if incremental else int(self.max_iter)
        hyper = settings.hyper_of(parameters, unit)
        watched = None if validation is None else self._watched(validation)
        regime = settings.regime_of(parameters, epochs * per_epoch, batch_size, self._loss(), watched)
        if not incremental:
            self._memory, self._updates = {}, 0
        monitor = settings.monitor_of(parameters) if validation is not None and self.early_stopping else None
        goes_on = hasattr(self, "_pace")  # it was not dropped when this network started
        if not (goes_on and incremental):
            self._pace = Pace(settings.pace_of(parameters), self.learning_rate_init, self.power_t)
            settled = Settled(self.tol, self.n_iter_no_change, monitor, self._pace)
            if goes_on and self._settled.monitor == monitor:  # as in scikit-learn, a warm start keeps it
                settled.best, settled.idle = self._settled.best, self._settled.idle
            self._settled = settled
            self._noise: list[np.random.Generator] = []
        if settings.draws(parameters) and not self._noise:  # possibly only since this call of partial_fit
            self._noise = [
                np.random.default_rng(self._random_state.randint(2**31)) for _ in range(self.ensemble)
            ]
        nets = () if self.ensemble == 1 else (self.ensemble,)
        self._pace.begin(regime, hyper, nets, count, self.t_)
        sources = [self._random_state]
        if nets:  # each network shuffles separately
            sources = [np.random.RandomState(self._random_state.randint(2**31)) for _ in range(self.ensemble)]
        own = [of.randint(count, size=count) for of in sources] if nets and self.bagging else None
        streams = [
            Streams(
                Order(of, count, self.shuffle),
                self._noise[k] if self._noise else None,
                settings.draws(parameters),
            )
            for k, of in enumerate(sources)
        ]
        if validation is None:  # forget those of an earlier call
            self.validation_scores_ = self.best_validation_score_ = None
        self.n_iter_ = 0
        notes = Notes(self, count, batch_size, per_epoch, validation is not None)
        with device.active():
            feed, validated = feeds or (self._feed(device, rows), None)
            if own is not None:
                feed = replace(feed, own=device.put(np.stack(own)))
            if validation is not None and validated is None:
                validated = self._feed(device, _in_units(validation))
            job = Job(
                mlp,
                self._state(device),
                feed,
                validated,
                regime,
                hyper,
                streams,
                self._pace,
                self._settled,
                self._target,
                self._updates,
            )
        return Begun(job, device, notes, per_epoch, incremental)

    def _shares_stack(self) -> bool:
        """Return whether the network can share a stack with those of other estimators."""
        return not (self.solver == "lbfgs" or self.verbose or self.callbacks or self.max_time is not None)

    def _end(self, begun: Begun, result: Fit) -> None:
        """Set the fitted attributes after training together with others, and warn as `fit` does."""
        rows, losses = result.history.rows, result.history.losses
        ended = int(result.stopped_at.max() if result.stopped_at.all() else 0)
        if ended:  # the others continued
            rows = [row for row in rows if row.step <= ended]
            result = replace(result, history=History(rows, losses[:ended]))
        for k in range(len(rows)):
            begun.notes.on_epoch(History(rows[: k + 1]))
        self._take(begun, result)
        self._tell(begun, result, False)
        self._memory = {}  # solver state, once or twice the size of the weights, that is not needed again

    def _take(self, begun: Begun, result: Fit) -> None:
        """Set the fitted attributes to what was trained."""
        best, steps = result.best, len(result.history.losses)
        if best is not None:  # adam's bias correction needs the steps of that state
            steps = min((int(best.epoch.max()) + 1) * begun.per_epoch, steps)
        self._publish(begun.device, result, self._updates + steps)

    def _tell(self, begun: Begun, result: Fit, is_asked: bool) -> None:
        """Warn if training diverged, was useless, or did not converge."""
        device, feed = begun.device, begun.job.feed
        ended = begun.incremental or result.timed_out or is_asked or bool(result.stopped_at.all())
        if result.diverged_at.any():
            fix = remedies.after_divergence(self, device, feed)
            warn(
                f"training diverged in epoch {self.n_iter_}; the weights are those of the best epoch "
                f"before: {fix}",
                ConvergenceWarning,
            )
        elif not begun.incremental and (useless := remedies.if_useless(self, device, feed)):
            warn(useless, ConvergenceWarning)
        elif not ended and not math.isinf(self.n_iter_no_change):
            warn(
                f"training has not converged within max_iter={self.max_iter} epochs: raise max_iter, or set "
                "n_iter_no_change=float('inf') to always train for max_iter epochs",
                ConvergenceWarning,
            )

    def _interruption(self, begun: Begun, result: Fit) -> str:
        """Say what is kept of training that was interrupted, and how to go on."""
        if begun.incremental:
            return (
                "partial_fit was interrupted: the weights are those reached so far; call it again with these "
                "rows"
            )
        if not self.n_iter_:
            when, kept = "before the first step", "those it began with"
        else:
            when, kept = f"in epoch {self.n_iter_}", "those reached so far"
            if begun.job.regime.restores_best and result.best is not None:
                kept = "those of the best epoch so far"
        return f"training was interrupted {when}: the weights are {kept}; {self._onwards()}"

    def _onwards(self) -> str:
        if self.warm_start:
            return "fit again to go on from them"
        return "fit again to train to the end, or with warm_start=True to go on from them"

    def _train_at_once(self, device: Device, mlp: MLP, rows: Rows) -> None:
        """Train with L-BFGS-B, and set the fitted attributes."""
        self.best_loss_ = self.validation_scores_ = self.best_validation_score_ = None
        self._memory, self._updates = {}, 0
        rows, unit = self._scaled(rows)
        with StopSignals(signal.SIGINT) as signals, signals.listening(), device.active():
            feed = self._feed(device, rows)
            found = minimise(
                device,
                mlp,
                {name: np.asarray(value, np.float64) for name, value in self._params().items()},
                feed,
                loss=self._loss(),
                dtype=str(self.coefs_[0].dtype),
                reg=self.alpha / unit,
                tol=self.tol,
                max_iter=self.max_iter,
                max_fun=self.max_fun,
                max_time=self.max_time,
                should_stop=lambda: signals.received is not None,
                on_step=tell if self.verbose else None,
            )
        self._set_params({name: value.astype(self.coefs_[0].dtype) for name, value in found.params.items()})
        self.n_iter_, self.loss_ = found.steps, found.loss
        self.loss_curve_ = [*self.loss_curve_, *found.losses]
        if found.is_early:
            fix = remedies.after_lbfgs(self, device, feed, found.limit)
            warn(f"lbfgs {found.problem}: {fix}", ConvergenceWarning)
        elif found.problem:
            warn(f"lbfgs {found.problem}; {self._onwards()}")
        elif useless := remedies.if_useless(self, device, feed):
            warn(useless, ConvergenceWarning)

    def _scaled(self, rows: Rows, incremental: bool = False) -> tuple[Rows, float]:
        """Return rows with weights scaled for training, and the number by which to divide ``alpha``."""
        if settings.weighs_by_batch(self.get_params(deep=False)):
            return _in_units(rows), unit_of(rows.weight)
        # With only a part of the rows there is no mean to scale by, so weights are used as given.
        return rows if incremental else rows._replace(weight=relative(rows.weight)), 1.0

    def _feed(self, device: Device, rows: Rows) -> Feed:
        """Return the feed of rows on the device; sparse rows stay on the host."""
        dtype = str(self.coefs_[0].dtype)
        how = self._how
        if hasattr(rows.X, "toarray"):
            X: Any = HostRows(rows.X, device, dtype)
        elif how.kind == "none":
            X = device.put(rows.X, dtype)
        else:
            X = transforms.apply_all(device, how, self._fitted, rows.X, dtype)
        return Feed(
            X,
            device.put(rows.target, None if rows.target.ndim == 1 else dtype),
            weight=None if rows.weight is None else device.put(rows.weight, dtype),
        )

    def _state(self, device: Device) -> State:
        """Return the parameters on the device, with the solver's state if training continues."""
        dtype = str(self.coefs_[0].dtype)

        def copied(arrays: Params) -> Params:
            return {k: device.xp.asarray(device.put(a, dtype), copy=True) for k, a in arrays.items()}

        return {kind: copied(of) for kind, of in ({"params": self._params()} | self._memory).items()}

    def _params(self) -> Params:
        """The fitted parameters by their names in a network."""
        names = [name for name in self._shapes if name[0] == "W"]
        biases = [name for name in self._shapes if name[0] == "b"]
        weights = dict(zip(names, self.coefs_, strict=True))
        return weights | dict(zip(biases, self.intercepts_, strict=True)) | self._norms

    def _set_params(self, params: Params) -> None:
        """Set the fitted attributes that hold parameters."""
        self._shapes = tuple(params)
        self.coefs_: list[NDArray[Any]] = [a for name, a in params.items() if name[0] == "W"]
        self.intercepts_: list[NDArray[Any]] = [a for name, a in params.items() if name[0] == "b"]
        self._norms = {name: a for name, a in params.items() if name[0] not in "Wb"}

    def _publish(self, device: Device, result: Fit, updates: int) -> None:
        """Set the fitted attributes after a number of updates, as NumPy arrays."""
        state = result.state
        host = all_to_host(device, {(kind, name): a for kind, of in state.items() for name, a in of.items()})
        self._memory = {kind: {name: np.array(host[kind, name]) for name in of} for kind, of in state.items()}
        self._updates = updates
        # If there is an average, the averaged parameters are published; the trained ones are kept so that a
        # later call can continue from them.
        average = self._memory.pop("average", None)
        self._set_params(average or self._memory["params"])
        if average is None:
            del self._memory["params"]
        else:
            self._memory["average"] = average
        best = result.best
        self.best_validation_score_ = self.best_loss_ = None
        if best is not None and np.isfinite(best.value).all():
            scores = np.array([row.val_score for row in result.history.rows])
            at_best = np.take_along_axis(scores, best.epoch[None], axis=0)  # for each network
            self.best_validation_score_ = float(at_best.mean())
        if self._settled.monitor is None and np.isfinite(self._settled.best).all():
            self.best_loss_ = -float(np.mean(self._settled.best))


def _in_units(rows: Rows) -> Rows:
    """Return rows with weights scaled by a power of two, so that the largest is from 1 to 2."""
    return rows if rows.weight is None else rows._replace(weight=rows.weight / unit_of(rows.weight))
