"""Choosing a library: which goes with which device, and every command with each."""

import json
import warnings

import numpy as np
import pytest
from command_lines import call

from xpnet import TwoLayerNet, datasets
from xpnet.commands import evaluate, predict, sweep, train
from xpnet.device import get_device
from xpnet.errors import DeviceError, InputError
from xpnet.runs.config import Config

PACKAGES = {"torch": "PyTorch", "jax": "JAX"}
SETTINGS = ("--hidden", "16", "--iterations", "60", "--quiet")


@pytest.fixture(params=PACKAGES)
def backend(request):
    pytest.importorskip(
        request.param, reason=f"{PACKAGES[request.param]} is not installed", exc_type=ImportError
    )
    return request.param


# What goes together


def test_auto_is_numpy_on_the_cpu():
    assert get_device().backend == get_device("cpu", "auto").backend == get_device("cpu", "numpy").backend


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("cpu", "tensorflow"), "unknown backend 'tensorflow': use auto, numpy, cupy, torch, jax"),
        (("cuda", "numpy"), "numpy has no device cuda: use backend cupy or torch or jax"),
        (("cpu", "cupy"), "cupy has no device cpu: use backend numpy or torch or jax"),
        (("mps", "jax"), "jax has no device mps: use backend torch"),
        (("cpu", "numpy", "tf32"), "no precision 'tf32' with numpy on device cpu: use fp32"),
        (("cuda", "jax", "bf16"), "no precision 'bf16' with jax on device cuda: use fp32 or tf32"),
        (("cuda", "torch", "bf16"), "no precision 'bf16' with torch on device cuda: use fp32 or tf32"),
        (("cuda", "cupy", "fp8"), "no precision 'fp8' with cupy on device cuda: use fp32 or tf32 or bf16"),
    ],
)
def test_what_does_not_go_together(options, message):
    """Before any library is imported."""
    with pytest.raises(DeviceError) as caught:
        get_device(*options)
    assert str(caught.value) == message


def test_a_mac_has_no_float64():
    with pytest.raises(InputError, match="--dtype float32"):
        Config(device="mps", dtype="float64")


# Every command


@pytest.mark.usefixtures("without_pictures")
def test_train_evaluate_predict(backend, capsys, tmp_path):
    run, rows = tmp_path / "run", tmp_path / "rows.npy"
    status, out, _ = call(train.main, capsys, *SETTINGS, "--backend", backend, "--json", "--out", run)
    summary = json.loads(out)
    assert status == 0
    assert summary["backend"].split() == [backend, get_device("cpu", backend).backend.split()[1]]
    assert json.loads((run / "config.json").read_text())["backend"] == backend
    here = json.loads(call(train.main, capsys, *SETTINGS, "--json", "--out", tmp_path / "here")[1])
    assert summary["test_accuracy"] == pytest.approx(here["test_accuracy"], abs=0.01)

    found = []
    for name in ("numpy", backend):
        status, out, _ = call(evaluate.main, capsys, run, "--backend", name, "--json", "--quiet")
        assert status == 0
        found.append(json.loads(out)["accuracy"])
    assert found[0] == found[1] == summary["test_accuracy"]

    np.save(rows, datasets.digits().X_val[:7])
    for name in ("numpy", backend):
        output = tmp_path / f"{name}.npy"
        arguments = (run, "--input", rows, "--output", output, "--backend", name, "--quiet")
        status, _, err = call(predict.main, capsys, *arguments)
        assert (status, err) == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "numpy.npy"), np.load(output))


@pytest.mark.usefixtures("without_pictures")
def test_sweep(backend, capsys, tmp_path):
    rates = ("--learning-rate", "0.01", "0.03", "--reg", "0.001", "0.1")
    rows = []
    for name in ("numpy", backend):
        out = tmp_path / name
        status, _, _ = call(sweep.main, capsys, *SETTINGS, *rates, "--backend", name, "--out", out)
        assert status == 0
        rows.append((out / "results.csv").read_text().splitlines())
        assert json.loads((out / "best" / "summary.json").read_text())["backend"].startswith(name)
    assert len(rows[0]) == len(rows[1]) == 5


def test_estimator(backend):
    sklearn = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    from xpnet.estimator import MLPClassifier

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 5)), rng.integers(3, size=90)
    ours, here = (
        MLPClassifier(8, max_iter=5, random_state=0, n_iter_no_change=float("inf"), backend=name).fit(X, y)
        for name in (backend, "numpy")
    )
    np.testing.assert_allclose(ours.predict_proba(X), here.predict_proba(X), atol=1e-10)
    assert sklearn.clone(ours).get_params()["backend"] == backend


@pytest.mark.parametrize("schedule", ["invscaling", "adaptive"])
def test_estimator_whose_rate_changes_its_velocity(backend, schedule):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from xpnet.estimator import MLPClassifier

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 5)), rng.integers(3, size=90)
    settings = {"solver": "sgd", "learning_rate": schedule, "learning_rate_init": 0.3, "tol": 1e-2}
    settings |= {"max_iter": 12, "n_iter_no_change": 1, "random_state": 0}
    ours, here = (MLPClassifier(7, backend=name, **settings) for name in (backend, "numpy"))
    for model in (ours, here):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it need not have settled
            model.fit(X, y)
    assert len(set(here.history_["learning_rate"])) > 1
    np.testing.assert_allclose(ours.predict_proba(X), here.predict_proba(X), atol=1e-9)
    ours.coefs_[0][0, 0] = 3.0  # the user's to change


def test_two_layer_net_takes_arrays_of_any_library_and_leaves_them(backend):
    library = get_device("cpu", backend)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)).astype("float32"), rng.integers(3, size=60)
    for device in (get_device(), library):
        net = TwoLayerNet(4, 5, 3, std=0.1, device=device, rng=0)
        kept = net.params["W1"]
        given = [library.put(a) for a in (X[:40], y[:40], X[40:], y[40:])]
        stats = net.train(*given, learning_rate=0.1, num_iters=10, batch_size=20)
        assert len(stats["loss_history"]) == 10
        assert device.to_host(kept).shape == (4, 5)  # there still
        assert net.predict(given[0]).shape == (40,)
