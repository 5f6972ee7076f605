"""What holds a module or a device goes to another process and back, is copied, and is cloned."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest
from pickles import ROWS, seen, there_and_back

import xpnet
from xpnet import sweep

SETTINGS = {"iterations": 3, "hidden": 5, "recipe": "none", "batch_size": 10}


def everything():
    """One of each, with a device where one can be given."""
    device = xpnet.get_device("cpu")
    net = xpnet.TwoLayerNet(5, 4, 3, device=device, rng=0)
    net.train(ROWS.X_train, ROWS.y_train, ROWS.X_val, ROWS.y_val, num_iters=3, batch_size=10)
    run = xpnet.fit(ROWS, **SETTINGS)
    found = {
        "device": device,
        "TwoLayerNet": net,
        "Run": run,
        "Model": run.model,
        "Config": run.config,
        "History": run.history,
        "Dataset": ROWS,
        "MLP": run.model.mlp,
        "search": xpnet.search(ROWS, grid={"seed": [1, 2]}, **SETTINGS),
        "sweep": sweep.run([run.config], ROWS, device=device),
    }
    try:
        from xpnet import MLPClassifier, MLPRegressor, TableClassifier
    except ImportError:
        return found
    of_scikit = {"hidden_layer_sizes": 4, "max_iter": 2, "batch_size": 10, "device": device}
    found["MLPClassifier"] = MLPClassifier(**of_scikit).fit(ROWS.X_train, ROWS.y_train)
    found["MLPRegressor"] = MLPRegressor(**of_scikit).fit(ROWS.X_train, ROWS.X_train[:, 0])
    found["TableClassifier"] = TableClassifier("table-fast", device=device, epochs=1).fit(
        ROWS.X_train, ROWS.y_train
    )
    return found


@pytest.mark.filterwarnings("ignore:training has not converged")
@pytest.mark.filterwarnings("ignore:left out")
def test_copies_and_another_process():
    things = everything()
    expected = {name: seen(thing) for name, thing in things.items()}
    assert {name: seen(copy.deepcopy(thing)) for name, thing in things.items()} == expected
    assert {name: seen(copy.copy(thing)) for name, thing in things.items()} == expected
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        assert {n: seen(pickle.loads(pickle.dumps(t, protocol))) for n, t in things.items()} == expected
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there, back = pool.submit(there_and_back, things).result()
    assert there == expected
    assert {name: seen(thing) for name, thing in back.items()} == expected


def test_clones():
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    device = xpnet.get_device("cpu")
    for kind in (xpnet.MLPClassifier, xpnet.MLPRegressor, xpnet.TableClassifier, xpnet.TableRegressor):
        cloned = base.clone(kind(device=device))
        assert str(cloned.device) == str(device)
