"""Gradients and steps against libraries that derive and compute them in their own way."""

import functools

import numpy as np
import pytest

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.nn import backprop, losses, norms, penalty
from xpnet.nn.activations import ACTIVATIONS
from xpnet.nn.backprop import Training
from xpnet.nn.mlp import MLP
from xpnet.training.loop import fit
from xpnet.training.regime import Hyper, Regime
from xpnet.training.step import initial_state, make_step

SIZES = [(6, 4), (6, 8, 4), (6, 8, 7, 4)]
NETWORKS = [
    *map(MLP, SIZES),
    MLP((6, 8, 7, 4), "gelu", norm="batch"),
    MLP((6, 8, 7, 4), "tanh", norm="layer"),
    MLP((6, 8, 8, 8, 4), "leaky-relu", norm="layer", residual=True),
    MLP((6, 8, 8, 8, 4), "silu", norm="batch", residual=True),
]
REG = 0.07


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def problem(rng, description):
    """Parameters with biases that are not zero, a batch of 9 rows, and their labels.

    The description is an `MLP`, or its sizes.
    """
    mlp = description if isinstance(description, MLP) else MLP(description)
    params = {name: 0.6 * rng.standard_normal(shape) for name, shape in mlp.shapes.items()}
    params |= {name: 0.5 + np.abs(value) for name, value in params.items() if name[0] == "v"}
    return mlp, params, rng.standard_normal((9, mlp.sizes[0])), rng.integers(mlp.sizes[-1], size=9)


# PyTorch: the loss from its own layers, the gradients by automatic differentiation


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def torch_activation(torch, name, x):
    if name == "gelu":
        return torch.nn.functional.gelu(x, approximate="tanh")
    if name == "soft-abs":
        return x * torch.tanh(x)
    own = {"leaky-relu": "leaky_relu", "identity": "positive", "logistic": "sigmoid"}.get(name, name)
    return getattr(torch if own in ("positive", "sigmoid", "tanh") else torch.nn.functional, own)(x)


def torch_scores(torch, mlp, tensors, x, in_training):
    """The scores as PyTorch has them; in training it moves the running statistics in place."""
    functional = torch.nn.functional

    def affine(x, i):
        return functional.linear(x, tensors[f"W{i}"].T, tensors[f"b{i}"])

    def norm(x, i):
        if mlp.norm == "none":
            return x
        gain, shift, *statistics = (tensors[name] for name in mlp.norm_names(i))
        if mlp.norm == "layer":
            return functional.layer_norm(x, x.shape[1:], gain, shift)
        return functional.batch_norm(x, *statistics, gain, shift, training=in_training)

    def activate(x):
        return torch_activation(torch, mlp.activation, x)

    x, last = torch.from_numpy(x), mlp.depth
    if not mlp.residual:
        for i in range(1, last):
            x = activate(norm(affine(x, i), i))
        return affine(x, last)
    x = affine(x, 1)
    for i in range(2, last):
        x = x + affine(activate(affine(norm(x, i), f"{i}a")), f"{i}b")
    return affine(norm(x, last), last)


def torch_loss(torch, mlp, tensors, X, y, in_training=False):
    scores = torch_scores(torch, mlp, tensors, X, in_training)
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y))
    return loss + 0.5 * REG * sum(torch.sum(tensors[name] ** 2) for name in mlp.weights)


def tensors_of(torch, params):
    """Copies; those of running statistics have no gradient."""
    return {k: torch.tensor(value, requires_grad=k[0] not in "mv") for k, value in params.items()}


def assert_equal_to_rounding(actual, expected):
    """1e-12 relative to the largest number of each array."""
    for name, tensor in expected.items():
        value = tensor.detach().numpy()
        atol = 1e-12 * np.abs(value).max()
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("mlp", NETWORKS, ids=str)
def test_gradients_of_pytorch(torch, rng, mlp):
    mlp, params, X, y = problem(rng, mlp)
    loss, grads = backprop.loss_and_grads(np, mlp, params, X, y, REG)
    tensors = tensors_of(torch, params)
    expected = torch_loss(torch, mlp, tensors, X, y)
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
    assert_equal_to_rounding(grads, {name: t.grad for name, t in tensors.items() if t.requires_grad})


@pytest.mark.parametrize("mlp", [mlp for mlp in NETWORKS if mlp.norm == "batch"], ids=str)
def test_training_with_batch_norm_of_pytorch(torch, rng, mlp):
    """The gradients, the running statistics after five batches, and the scores that these give."""
    mlp, params, _, _ = problem(rng, mlp)
    tensors = tensors_of(torch, params)
    for _ in range(5):
        X, y = 3.0 + 2.0 * rng.standard_normal((9, 6)), rng.integers(4, size=9)
        loss, pullback = backprop.loss(np, mlp, params, X, y, Training())
        grads = pullback()
        for tensor in tensors.values():
            tensor.grad = None
        expected = torch_loss(torch, mlp, tensors, X, y, in_training=True)
        expected.backward()
        np.testing.assert_allclose(loss + penalty.penalty(np, mlp, params, REG), expected.item(), rtol=1e-12)
        for name in mlp.statistics:
            params[name] = params[name] - norms.STATISTICS_RATE * grads[name]
        for name, tensor in tensors.items():
            if tensor.requires_grad:
                decay = REG * params[name] if name in mlp.weights else 0.0
                # A bias in front of a batch norm has a gradient of 0, so an error of its own is measured.
                np.testing.assert_allclose(grads[name] + decay, tensor.grad, rtol=1e-10, atol=1e-13)
    assert_equal_to_rounding(params, tensors)
    scores = torch_scores(torch, mlp, tensors, X, in_training=False)
    np.testing.assert_allclose(backprop.scores(np, mlp, params, X), scores.detach(), rtol=1e-11)


def assert_layer_of_pytorch(torch, layer, of_torch, arrays, rng):
    """Value and gradients of ``layer(np, *arrays)`` against ``of_torch(*tensors)``."""
    y, pullback = layer(np, *arrays)
    dy = rng.standard_normal(y.shape)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = of_torch(*tensors)
    expected.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-12, atol=1e-13)
    for actual, tensor in zip(pullback(dy), tensors, strict=True):
        np.testing.assert_allclose(actual, tensor.grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_of_pytorch(torch, rng, name):
    x = 3.0 * rng.standard_normal((50, 20))
    assert_layer_of_pytorch(torch, ACTIVATIONS[name], lambda x: torch_activation(torch, name, x), [x], rng)


@pytest.mark.parametrize("in_training", [True, False])
def test_batch_norm_of_pytorch(torch, rng, in_training):
    norm = norms.batch_norm if in_training else norms.batch_norm_fixed
    mean, variance = rng.standard_normal(5), rng.uniform(0.5, 2.0, 5)

    def layer(xp, x, gain, shift):
        y, pullback = norm(xp, x, gain, shift, mean, variance)
        return y, lambda dy: pullback(dy)[:3]

    def of_torch(x, gain, shift):
        statistics = torch.tensor(mean), torch.tensor(variance)
        return torch.nn.functional.batch_norm(x, *statistics, gain, shift, training=in_training)

    arrays = [1.0 + rng.standard_normal((9, 5)), rng.standard_normal(5), rng.standard_normal(5)]
    assert_layer_of_pytorch(torch, layer, of_torch, arrays, rng)


def test_layer_norm_of_pytorch(torch, rng):
    arrays = [1.0 + rng.standard_normal((9, 5)), rng.standard_normal(5), rng.standard_normal(5)]
    of_torch = functools.partial(torch.nn.functional.layer_norm, normalized_shape=[5])
    assert_layer_of_pytorch(
        torch, norms.layer_norm, lambda x, gain, shift: of_torch(x, weight=gain, bias=shift), arrays, rng
    )


@pytest.mark.parametrize("kind", ["labels", "smoothed", "soft", "hinge"])
def test_losses_of_pytorch(torch, rng, kind):
    scores, y = 2.0 * rng.standard_normal((9, 4)), rng.integers(4, size=9)
    tensor, labels = torch.tensor(scores, requires_grad=True), torch.from_numpy(y)
    soft = rng.dirichlet(np.ones(4), size=9)
    functional = torch.nn.functional
    if kind == "hinge":
        actual = losses.multiclass_hinge(np, scores, y)
        expected = 4 * functional.multi_margin_loss(tensor, labels)  # theirs is the mean of the classes
    else:
        smoothed = losses.smooth(np, losses.one_hot(np, y, scores), np.array(0.1))
        target = {"labels": y, "smoothed": smoothed, "soft": soft}[kind]
        actual = losses.softmax_cross_entropy(np, scores, target)
        strength = 0.1 if kind == "smoothed" else 0.0
        target = torch.from_numpy(soft) if kind == "soft" else labels
        expected = functional.cross_entropy(tensor, target, label_smoothing=strength)
    expected.backward()
    np.testing.assert_allclose(actual[0], expected.item(), rtol=1e-12)
    np.testing.assert_allclose(actual[1], tensor.grad, rtol=1e-12, atol=1e-14)


TORCH_SOLVERS = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.8}),
    "nesterov": ("SGD", {"momentum": 0.8, "nesterov": True}),
    "rmsprop": ("RMSprop", {"alpha": 0.97, "eps": 1e-6}),
    "adagrad": ("Adagrad", {"eps": 1e-6}),
    "adam": ("Adam", {"betas": (0.8, 0.97), "eps": 1e-6}),
}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("solver", TORCH_SOLVERS)
def test_five_steps_of_pytorch(torch, rng, sizes, solver):
    """Its solver of that name on the regularised loss, the learning rate changed from step to step."""
    mlp, params, X, y = problem(rng, sizes)
    tensors = tensors_of(torch, params)
    name, options = TORCH_SOLVERS[solver]
    optimizer = getattr(torch.optim, name)(tensors.values(), lr=1.0, **options)
    device, regime = Device(), Regime(5, 7, solver=solver)
    hyper = Hyper(reg=REG, momentum=0.8, beta2=0.97, epsilon=1e-6)
    state = initial_state(device, params, regime, hyper)
    step = make_step(device, mlp, Feed(X, y), regime, hyper, params)
    for count, rate in enumerate((0.5, 0.4, 0.3, 0.2, 0.1), 1):
        rows = rng.choice(9, 7)
        draws = {"index": rows, "rate": np.asarray(0.1 * rate), "count": np.asarray(float(count))}
        state, loss = step(state, draws)
        optimizer.param_groups[0]["lr"] = 0.1 * rate
        optimizer.zero_grad()
        expected = torch_loss(torch, mlp, tensors, X[rows], y[rows])
        expected.backward()
        optimizer.step()
        np.testing.assert_allclose(loss, expected.item(), rtol=1e-11)
    assert_equal_to_rounding(state["params"], tensors)


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

    device, hyper = Device(), Hyper(rate, 1.0, REG)
    regime = Regime(num_steps=1, batch_size=n, sampling="shuffle")  # all rows once
    result = fit(
        mlp,
        initial_state(device, params, regime, hyper),
        Feed(X, y),
        device=device,
        regime=regime,
        hyper=hyper,
        sources=lambda _stream, _epoch: rng,
    )
    np.testing.assert_allclose(result.history.losses[0], theirs.loss_, rtol=1e-12)
    for i in range(1, mlp.depth + 1):
        for name, value in ((f"W{i}", theirs.coefs_[i - 1]), (f"b{i}", theirs.intercepts_[i - 1])):
            np.testing.assert_allclose(result.params[name], value, rtol=0, atol=1e-14, err_msg=name)
    np.testing.assert_array_equal(backprop.predict(np, mlp, result.params, X), theirs.predict(X))
