"""What is monitored: what is for which task, which way is better, and runs that keep the best epoch."""

from typing import get_args

import numpy as np
import pytest
from fits import HERE, REGIME, learnable, of_net, on_host, own_sources, random_params, sources, train

from xpnet.data.feed import Feed
from xpnet.errors import InputError
from xpnet.nn import backprop, losses
from xpnet.nn.mlp import MLP
from xpnet.training.loop import fit
from xpnet.training.measures import MEASURES
from xpnet.training.monitors import MONITORS_OF, check, sign_of
from xpnet.training.regime import Hyper, Monitor, Regime
from xpnet.training.scale import Scale
from xpnet.training.step import initial_state
from xpnet.training.stopping import Patience

MLP_543 = MLP((5, 4, 3))
LOSS = {"classification": "cross-entropy", "multilabel": "logistic", "regression": "squared-error"}
WEIGHT = np.arange(11) % 3 / 2.0
SCALE = Scale(np.array([5.0, 0.0, -1.0]), np.array([10.0, 1.0, 0.5]))


def test_every_monitor_is_for_some_task():
    assert set(get_args(Monitor)) == {name for names in MONITORS_OF.values() for name in names}


def test_which_way_is_better():
    less = {"val_loss", "val_log_loss", "val_rmse", "val_mae"}
    assert {name for name in get_args(Monitor) if sign_of(name) < 0} == less


@pytest.mark.parametrize(
    ("monitor", "task", "text"),
    [
        (
            "val_rmse",
            "classification",
            "val_score, val_loss, val_accuracy, val_balanced_accuracy, val_log_loss",
        ),
        ("val_r2", "multilabel", "val_score, val_loss, val_accuracy"),
        ("val_roc_auc", "regression", "val_score, val_loss, val_r2, val_rmse, val_mae"),
    ],
)
def test_a_monitor_of_another_task(monitor, task, text):
    with pytest.raises(InputError) as caught:
        check(monitor, task)
    assert str(caught.value).startswith(f"--monitor {monitor} is not for {task}: use {text}")
    assert "\n" not in str(caught.value)


def test_rows_that_are_all_alike_have_no_roc_curve():
    """Every epoch would be as good as the first, which would be kept without a word."""
    one, two = np.array([1, 1, 1]), np.array([0, 1, 1])
    check("val_roc_auc", "classification", two)
    check("val_balanced_accuracy", "classification", one)
    check("val_roc_auc", "multilabel", np.array([[1, 0], [1, 1]]))
    check("val_roc_auc", "classification")
    for task, y, weight in (
        ("classification", one, None),
        ("classification", two, np.array([0.0, 1.0, 1.0])),
        ("multilabel", np.array([[1, 0], [1, 0]]), None),
        ("classification", one, np.zeros(3)),
    ):
        with pytest.raises(InputError, match="val_roc_auc compares rows, but all validation rows are alike"):
            check("val_roc_auc", task, y, weight, called="monitor")


def targets(task):
    """30 training and 11 validation targets, as the network takes them."""
    X, y, X_val, y_val = learnable()
    if task == "classification":
        return X, y, X_val, y_val
    numbers = np.random.default_rng(1).standard_normal((5, 3))
    made = [rows @ numbers for rows in (X, X_val)]
    if task == "multilabel":
        made = [(of > 0).astype(float) for of in made]
    return X, made[0], X_val, made[1]


def run(
    task, monitor, params, *, device=HERE, dtype="float64", loss=None, hyper=None, on_fit=None, **changes
):
    X, y, X_val, y_val = targets(task)
    changes = {"num_steps": 40, "min_delta": 0.0} | changes
    patience, source = changes.pop("patience", None), changes.pop("sources", sources(3))
    regime = Regime(batch_size=6, loss=loss or LOSS[task], monitor=monitor, **changes)
    hyper = hyper or Hyper(0.5, 1.0, 0.01)
    kind = None if task == "classification" else dtype
    put = {k: device.xp.asarray(device.put(p, dtype), copy=True) for k, p in params.items()}
    return fit(
        MLP_543,
        initial_state(device, put, regime, hyper),
        Feed(device.put(X, dtype), device.put(y, kind)),
        Feed(device.put(X_val, dtype), device.put(y_val, kind), weight=device.put(WEIGHT, dtype)),
        device=device,
        regime=regime,
        hyper=hyper,
        sources=source,
        stopping=Patience(patience),
        target=SCALE if task == "regression" else None,
        on_fit=on_fit,
    )


def by_hand(task, monitor, params, output):
    """What is monitored of some parameters, by its definition."""
    _, _, X_val, y_val = targets(task)
    scores = backprop.scores(np, MLP_543, params, X_val)
    if task == "regression":
        y_val, scores = SCALE.undo(y_val), SCALE.undo(scores)
    P = losses.OUTPUTS[output](np, scores)
    return MEASURES[monitor.removeprefix("val_")].of(y_val, P, WEIGHT) * sign_of(monitor)


CASES = [(task, name, LOSS[task]) for task, names in MONITORS_OF.items() for name in names[2:]]
CASES.append(("classification", "val_log_loss", "hinge"))


@pytest.mark.parametrize(("task", "monitor", "loss"), CASES)
def test_the_best_epoch_is_that_of_the_measure(device, dtype, task, monitor, loss):
    params, values = random_params(np.random.default_rng(1)), []
    output = losses.OUTPUT_OF[loss]

    def look(result):
        values.append(float(by_hand(task, monitor, on_host(device, result.params), output)))

    settings = {"device": device, "dtype": dtype, "loss": loss, "num_steps": 25}
    result = run(task, monitor, params, **settings, on_fit=look)
    best = int(result.best.epoch)
    close = {"rel": 1e-3, "abs": 1e-5} if dtype == "float32" else {"rel": 1e-9}
    assert float(result.best.value) == pytest.approx(values[best], **close)
    assert values[best] == pytest.approx(max(values), **close)
    history = run(task, None, params, **settings).history
    assert [row._replace(seconds=0) for row in result.history.rows] == [
        row._replace(seconds=0) for row in history.rows
    ]


def test_patience_and_min_delta_go_by_the_measure():
    params = random_params(np.random.default_rng(1))
    values = []

    def look(result):
        values.append(float(by_hand("classification", "val_roc_auc", result.params, "softmax")))

    run("classification", "val_roc_auc", params, on_fit=look)
    best = last = 0
    for last, value in enumerate(values):
        best = last if value > values[best] + 0.01 else best
        if last - best == 2:
            break
    assert last < len(values) - 1  # or nothing is tested
    stopped = run("classification", "val_roc_auc", params, patience=2, min_delta=0.01)
    assert (int(stopped.best.epoch), len(stopped.history.rows)) == (best, last + 1)


@pytest.mark.parametrize("monitor", ["val_roc_auc", "val_balanced_accuracy", "val_log_loss"])
def test_each_network_of_a_stack_has_the_best_that_it_has_alone(monitor):
    params = random_params(np.random.default_rng(6), (3,))
    rate = np.array([0.05, 1.0, 1e300])  # the last one diverges
    together = run(
        "classification",
        monitor,
        params,
        hyper=Hyper(rate, 1.0, 0.0),
        sources=own_sources(0, 1, 2),
        patience=3,
    )
    assert together.diverged_at[2] > 0
    for k in range(2):
        alone = run(
            "classification",
            monitor,
            of_net(params, k),
            hyper=Hyper(float(rate[k]), 1.0, 0.0),
            sources=sources(k),
            patience=3,
        )
        assert together.best.epoch[k] == alone.best.epoch
        np.testing.assert_array_equal(together.best.value[k], alone.best.value)
    assert together.best.value[2] == -np.inf or np.isfinite(together.best.value[2])


def test_what_an_evaluation_gives_is_not_read_back_a_second_time(monkeypatch):
    read = []
    to_host = HERE.to_host
    monkeypatch.setattr(
        type(HERE), "to_host", lambda _, array: read.append(np.shape(array)) or to_host(array)
    )
    params, counts = random_params(np.random.default_rng(1)), {}
    for monitor in (None, *MONITORS_OF["classification"]):
        read.clear()
        epochs = len(run("classification", monitor, params).history.rows)
        counts[monitor] = len(read)
    once = 2  # the targets and their weights, when a run begins
    assert {name for name, count in counts.items() if count == counts[None] + once + epochs} == {
        "val_balanced_accuracy",
        "val_roc_auc",
    }
    free = ("val_score", "val_loss", "val_accuracy", "val_log_loss")
    assert {counts[name] for name in free} == {counts[None] + once}


def test_the_loop_refuses_what_is_not_for_its_loss():
    params, data = random_params(np.random.default_rng(1)), learnable()
    with pytest.raises(InputError, match="val_mae is not for classification"):
        train(HERE, params, data, regime=REGIME, monitor="val_mae")
    alike = (*data[:3], np.zeros_like(data[3]))
    with pytest.raises(InputError, match="are alike"):
        train(HERE, params, alike, regime=REGIME, monitor="val_roc_auc")
