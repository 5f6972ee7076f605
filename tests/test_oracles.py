"""Gradients and steps against libraries that derive and compute them in their own way."""

import numpy as np
import pytest

from xpnet import network
from xpnet.device import Device
from xpnet.network import MLP
from xpnet.training import Hyper, fit, make_step

SIZES = [(6, 4), (6, 8, 4), (6, 8, 7, 4)]
REG = 0.07


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def problem(rng, sizes):
    """Parameters with biases that are not zero, a batch of 9 rows, and their labels."""
    mlp = MLP(sizes)
    params = {name: 0.6 * rng.standard_normal(shape) for name, shape in mlp.shapes.items()}
    return mlp, params, rng.standard_normal((9, sizes[0])), rng.integers(sizes[-1], size=9)


# PyTorch: the loss from its own layers, the gradients by automatic differentiation


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def torch_loss(torch, mlp, tensors, X, y):
    h = torch.from_numpy(X)
    for i in range(1, mlp.depth + 1):
        h = torch.nn.functional.linear(h, tensors[f"W{i}"].T, tensors[f"b{i}"])
        h = torch.relu(h) if i < mlp.depth else h
    loss = torch.nn.functional.cross_entropy(h, torch.from_numpy(y))
    return loss + 0.5 * REG * sum(torch.sum(tensors[name] ** 2) for name in mlp.weights)


def tensors_of(torch, params):
    return {k: torch.tensor(value, requires_grad=True) for k, value in params.items()}


def assert_equal_to_rounding(actual, expected):
    """1e-12 relative to the largest number of each array."""
    for name, tensor in expected.items():
        value = tensor.detach().numpy()
        atol = 1e-12 * np.abs(value).max()
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_of_pytorch(torch, rng, sizes):
    mlp, params, X, y = problem(rng, sizes)
    loss, grads = network.loss_and_grads(np, mlp, params, X, y, REG)
    tensors = tensors_of(torch, params)
    expected = torch_loss(torch, mlp, tensors, X, y)
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
    assert_equal_to_rounding(grads, {name: tensor.grad for name, tensor in tensors.items()})


@pytest.mark.parametrize("sizes", SIZES)
def test_five_steps_of_pytorch(torch, rng, sizes):
    """``torch.optim.SGD`` on the regularised loss, the learning rate changed from step to step."""
    mlp, params, X, y = problem(rng, sizes)
    tensors = tensors_of(torch, params)
    optimizer = torch.optim.SGD(tensors.values(), lr=1.0)
    step = make_step(np, mlp, X, y, np.asarray(REG))
    for rate in (0.5, 0.4, 0.3, 0.2, 0.1):
        rows = rng.choice(9, 7)
        params, loss = step(params, rows, np.asarray(rate))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        expected = torch_loss(torch, mlp, tensors, X[rows], y[rows])
        expected.backward()
        optimizer.step()
        np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
    assert_equal_to_rounding(params, tensors)


# scikit-learn: its own loss, gradients and solver


@pytest.fixture
def mlp_classifier():
    sklearn = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not installed")
    return sklearn.MLPClassifier


@pytest.mark.parametrize("hidden", [(8,), (8, 7)])
def test_one_step_of_scikit_learn(mlp_classifier, rng, hidden):
    """One ``partial_fit``; its penalty is ``0.5 * alpha / n * ΣW²``, so reg is alpha / n."""
    mlp, params, X, y = problem(rng, (6, *hidden, 4))
    y[:4] = range(4)  # every class occurs
    rate, n = 0.3, len(X)
    theirs = mlp_classifier(
        hidden,
        solver="sgd",
        alpha=REG * n,
        batch_size=n,
        learning_rate_init=rate,
        momentum=0.0,
        nesterovs_momentum=False,
    )
    theirs.partial_fit(X, y, classes=range(4))  # makes its arrays
    theirs.coefs_ = [params[name].copy() for name in mlp.weights]
    theirs.intercepts_ = [params[f"b{i}"].copy() for i in range(1, mlp.depth + 1)]
    theirs.partial_fit(X, y)

    result = fit(
        mlp,
        params,
        X,
        y,
        None,
        None,
        device=Device(),
        hyper=Hyper(rate, 1.0, REG),
        num_steps=1,
        batch_size=n,
        sampling="shuffle",  # all rows once
        rng=lambda _epoch: rng,
    )
    np.testing.assert_allclose(result.history.losses[0], theirs.loss_, rtol=1e-12)
    for i in range(1, mlp.depth + 1):
        for name, value in ((f"W{i}", theirs.coefs_[i - 1]), (f"b{i}", theirs.intercepts_[i - 1])):
            np.testing.assert_allclose(result.params[name], value, rtol=0, atol=1e-14, err_msg=name)
    np.testing.assert_array_equal(network.predict(np, mlp, result.params, X), theirs.predict(X))
