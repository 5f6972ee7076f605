"""Solvers: many steps against their formulas and PyTorch, what decays, and what is consumed.

The table of solvers drives the tests: a new one is tested by its formula here, in `TEXTBOOK`, and a
learning rate in `DESCENT`.
"""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from xpnet.device import Device, dtype_name
from xpnet.nn.solvers import SOLVERS, Rates, clip
from xpnet.typing import Product

NETS = [(), (3,), (2, 3)]
SHAPES = {"W1": (4, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)}
WEIGHTS = ("W1", "W2")

every_solver = pytest.mark.parametrize("name", SOLVERS)
every_nets = pytest.mark.parametrize("nets", NETS)


def draw(rng, nets=()):
    return {name: rng.standard_normal((*nets, *shape)) for name, shape in SHAPES.items()}


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def over(rate, array):
    """``rate``, of shape ``nets``, laid over an array's axes."""
    return np.reshape(rate, np.shape(rate) + (1,) * (array.ndim - np.ndim(rate)))


def draw_rates(rng, nets=(), steps=6, decay=0.5):
    """Hyper-parameters for each network, and a learning rate that changes from step to step."""
    fixed = {
        "reg": decay * rng.uniform(0.1, 1.0, nets),
        "weight_decay": decay * rng.uniform(0.1, 1.0, nets),
        "momentum": rng.uniform(0.5, 0.95, nets),
        "beta2": rng.uniform(0.7, 0.999, nets),
        "epsilon": rng.uniform(1e-8, 1e-3, nets),
    }
    rate = rng.uniform(0.01, 0.2, nets)
    return [
        Rates(learning_rate=rate * 0.8**t, step=np.full(nets, float(t + 1)), **fixed) for t in range(steps)
    ]


def run(name, params, grads, rates, weights=WEIGHTS, xp=np, put_params=copies, put=np.asarray):
    """The parameters and the state after a step with each of ``grads`` and ``rates``."""
    solver = SOLVERS[name]
    params = put_params(params)
    state = solver.init(xp, params)
    for g, r in zip(grads, rates, strict=True):
        if solver.scaled:
            g = {key: over(r.learning_rate, array) * array for key, array in g.items()}
        r = Rates(*(None if value is None else put(value) for value in r))
        params, state, _ = solver.update(xp, params, put_params(g), state, r, weights)
    return params, state


# The formulas as they are published


def textbook_momentum(m, g, r):
    m["v"] = r.momentum * m["v"] + g
    return r.learning_rate * m["v"]


def textbook_nesterov(m, g, r):
    m["v"] = r.momentum * m["v"] + g
    return r.learning_rate * (g + r.momentum * m["v"])


def textbook_rmsprop(m, g, r):
    m["v"] = r.beta2 * m["v"] + (1 - r.beta2) * g**2
    return r.learning_rate * g / (np.sqrt(m["v"]) + r.epsilon)


def textbook_adagrad(m, g, r):
    m["v"] = m["v"] + g**2
    return r.learning_rate * g / (np.sqrt(m["v"]) + r.epsilon)


def textbook_adam(m, g, r):
    m["m"] = r.momentum * m["m"] + (1 - r.momentum) * g
    m["v"] = r.beta2 * m["v"] + (1 - r.beta2) * g**2
    unbiased = m["m"] / (1 - r.momentum**r.step), m["v"] / (1 - r.beta2**r.step)
    return r.learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + r.epsilon)


def textbook_lion(m, g, r):
    change = r.learning_rate * np.sign(r.momentum * m["m"] + (1 - r.momentum) * g)
    m["m"] = r.beta2 * m["m"] + (1 - r.beta2) * g
    return change


TEXTBOOK = {
    "sgd": lambda m, g, r: r.learning_rate * g,  # noqa: ARG005
    "momentum": textbook_momentum,
    "nesterov": textbook_nesterov,
    "rmsprop": textbook_rmsprop,
    "adagrad": textbook_adagrad,
    "adam": textbook_adam,
    "adamw": textbook_adam,
    "lion": textbook_lion,
}


def textbook(name, params, grads, rates):
    """The parameters after all steps."""
    new = {}
    for key, W in params.items():
        memory = {"m": 0.0, "v": 0.0}
        for step_grads, step_rates in zip(grads, rates, strict=True):
            r = Rates(*(over(value, W) for value in step_rates))
            g, keep = step_grads[key], 1.0
            if key in WEIGHTS:
                g, keep = g + r.reg * W, 1 - r.learning_rate * r.weight_decay
            W = keep * W - TEXTBOOK[name](memory, g, r)
        new[key] = W
    return new


@pytest.fixture
def run_there(device, dtype, put_params):
    """`run` on the device, which raises on a write to anything that is not consumed."""

    def run_there(name, params, grads, rates, weights=WEIGHTS):
        return run(name, params, grads, rates, weights, device.xp, put_params, lambda a: device.put(a, dtype))

    return run_there


@every_solver
@every_nets
def test_many_steps_are_those_of_the_textbook(run_there, assert_close, name, nets):
    """With both kinds of decay, each network its own hyper-parameters, the rate changing."""
    rng = np.random.default_rng(0)
    params, grads, rates = draw(rng, nets), [draw(rng, nets) for _ in range(6)], draw_rates(rng, nets)
    new, _ = run_there(name, params, grads, rates)
    assert_close(new, textbook(name, params, grads, rates))


@every_solver
def test_float32_stays_float32(name):
    """The state too; on the device without float64 in `test_many_steps…` anything else would raise."""
    rng = np.random.default_rng(1)

    def narrow(arrays):
        return {key: array.astype(np.float32) for key, array in arrays.items()}

    params, state = run(
        name, draw(rng), [draw(rng)] * 2, draw_rates(rng, steps=2), put_params=narrow, put=np.float32
    )
    assert {dtype_name(array) for array in params.values()} == {"float32"}
    for kind in state.values():
        assert {key: array.shape for key, array in kind.items()} == SHAPES
        assert {dtype_name(array) for array in kind.values()} == {"float32"}


@every_solver
@pytest.mark.parametrize("dtype_", ["float32", "float64"])
@hypothesis.given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32))
@hypothesis.settings(max_examples=20)
def test_a_network_of_a_stack_has_the_bits_of_one_alone(name, dtype_, nets, rows, columns, seed):
    """Clipped, too: half of the networks are."""
    rng = np.random.default_rng(seed)
    shapes = {"W1": (rows, columns), "b1": (columns,)}
    rates = [Rates(*(np.asarray(value, dtype_) for value in r)) for r in draw_rates(rng, (nets,), steps=4)]

    def draw_stack():
        return {k: rng.standard_normal((nets, *shape)).astype(dtype_) for k, shape in shapes.items()}

    def train(params, grads, rates, limit):
        grads = [clip(np, copies(g), limit) for g in grads]
        return run(name, params, grads, rates)[0]

    params, grads = draw_stack(), [draw_stack() for _ in rates]
    limit = np.asarray(np.sqrt(columns * (rows + 1)) * rng.uniform(0.5, 1.5, nets), dtype_)
    stacked = train(params, grads, rates, limit)
    for i in range(nets):
        alone = train(
            {key: array[i] for key, array in params.items()},
            [{key: array[i] for key, array in g.items()} for g in grads],
            [Rates(*(np.asarray(value[i]) for value in r)) for r in rates],
            np.asarray(limit[i]),
        )
        for key in shapes:
            assert stacked[key].dtype == dtype_
            assert stacked[key][i].tobytes() == alone[key].tobytes()


# PyTorch's solvers


def in_torch(torch, name, params, r, decay):
    """PyTorch's solver with the weights in its first group, which decays."""
    rate = float(r.learning_rate)
    mu, beta2, eps = float(r.momentum), float(r.beta2), float(r.epsilon)
    groups = [
        {"params": [params[key] for key in WEIGHTS], "weight_decay": decay},
        {"params": [params[key] for key in params if key not in WEIGHTS], "weight_decay": 0.0},
    ]
    make = {
        "sgd": lambda: torch.optim.SGD(groups, rate),
        "momentum": lambda: torch.optim.SGD(groups, rate, momentum=mu),
        "nesterov": lambda: torch.optim.SGD(groups, rate, momentum=mu, nesterov=True),
        "rmsprop": lambda: torch.optim.RMSprop(groups, rate, alpha=beta2, eps=eps),
        "adagrad": lambda: torch.optim.Adagrad(groups, rate, eps=eps),
        "adam": lambda: torch.optim.Adam(groups, rate, betas=(mu, beta2), eps=eps),
        "adamw": lambda: torch.optim.AdamW(groups, rate, betas=(mu, beta2), eps=eps),
    }
    return make[name]()


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "lion"])  # PyTorch has none
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_many_steps_equal_those_of_pytorch(name, decay):
    """Of the same name, whose ``weight_decay`` is coupled but for AdamW."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(2)
    params, grads = draw(rng), [draw(rng) for _ in range(12)]
    kinds = {"reg": 0.0, "weight_decay": decay} if name == "adamw" else {"reg": decay, "weight_decay": 0.0}
    rates = [r._replace(**kinds) for r in draw_rates(rng, steps=12)]

    tensors = {key: torch.nn.Parameter(torch.from_numpy(array.copy())) for key, array in params.items()}
    optimizer = in_torch(torch, name, tensors, rates[0], decay)
    for g, r in zip(grads, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = float(r.learning_rate)
        for key, tensor in tensors.items():
            tensor.grad = torch.from_numpy(g[key].copy())
        optimizer.step()

    new, _ = run(name, params, grads, rates)
    for key, tensor in tensors.items():
        np.testing.assert_allclose(new[key], tensor.detach().numpy(), rtol=1e-10, atol=1e-12)


# Does it find a minimum?

DESCENT = {
    # learning rates for the quadratic and for Rosenbrock's valley
    "sgd": (0.1, 3e-3),
    "momentum": (0.05, 5e-4),
    "nesterov": (0.05, 5e-4),
    "rmsprop": (0.1, 5e-3),
    "adagrad": (1.0, 0.5),
    "adam": (0.1, 0.05),
    "adamw": (0.1, 0.05),
    "lion": (0.2, 5e-3),
}


def descend(name, gradient, start, learning_rate, steps):
    """The point that ``steps`` with a rate falling to 0 lead to."""
    solver = SOLVERS[name]
    params = {"W1": np.array(start)}
    state = solver.init(np, params)
    for t in range(steps):
        rate = np.asarray(learning_rate * (1 - t / steps))
        g = gradient(params["W1"])
        r = Rates(rate, None, None, np.asarray(0.9), np.asarray(0.99), np.asarray(1e-8), np.asarray(t + 1.0))
        given = {"W1": rate * g if solver.scaled else g}
        params, state, _ = solver.update(np, params, given, state, r, ("W1",))
    return params["W1"]


@every_solver
def test_descends_a_quadratic(name):
    """``0.5 * Σ a (W - 1)²`` with ``a`` from 1 to 10."""
    a = np.array([[1.0, 3.0, 10.0]])
    W = descend(name, lambda W: a * (W - 1), [[4.0, -2.0, 0.0]], DESCENT[name][0], 300)
    np.testing.assert_allclose(W, 1.0, atol=1e-3)


@every_solver
def test_descends_rosenbrocks_valley(name):
    """``(1 - x)² + 100 (y - x²)²`` from (-1.2, 1), where it is 24."""

    def gradient(W):
        x, y = W[0]
        return np.array([[-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)]])

    x, y = descend(name, gradient, [[-1.2, 1.0]], DESCENT[name][1], 3000)[0]
    assert (1 - x) ** 2 + 100 * (y - x**2) ** 2 < 0.1


# Decay, and steps that must not do anything


@every_solver
@pytest.mark.parametrize("kind", ["reg", "weight_decay"])
def test_only_weights_decay(run_there, device, name, kind):
    rng = np.random.default_rng(3)
    params, grads, rates = draw(rng), [draw(rng) for _ in range(3)], draw_rates(rng, steps=3)
    with_decay, _ = run_there(name, params, grads, [r._replace(**{kind: np.asarray(2.0)}) for r in rates])
    without, _ = run_there(name, params, grads, [r._replace(**{kind: None}) for r in rates])
    for key in params:
        same = np.array_equal(device.to_host(with_decay[key]), device.to_host(without[key]))
        assert same == (key not in WEIGHTS)


@every_solver
def test_no_decay_is_a_decay_of_zero(run_there, device, name):
    rng = np.random.default_rng(4)
    params, grads, rates = draw(rng), [draw(rng) for _ in range(3)], draw_rates(rng, steps=3, decay=0.0)
    zero, _ = run_there(name, params, grads, rates)
    none, _ = run_there(name, params, grads, [r._replace(reg=None, weight_decay=None) for r in rates])
    for key in params:
        np.testing.assert_array_equal(device.to_host(zero[key]), device.to_host(none[key]))


def test_decoupled_decay_by_hand(run_there, assert_close):
    """A rate of 1/2 and a decay of 1/2 leave weights 3/4, whatever Lion does to them besides."""
    params = {"W1": np.array([[4.0, -8.0]]), "b1": np.array([4.0, -8.0])}
    grads = {"W1": np.array([[1.0, 0.0]]), "b1": np.array([-5.0, 0.0])}
    r = Rates(np.asarray(0.5), None, np.asarray(0.5), momentum=np.asarray(0.9), beta2=np.asarray(0.99))
    new, _ = run_there("lion", params, [grads], [r], ("W1",))
    assert_close(new, {"W1": [[2.5, -6.0]], "b1": [4.5, -8.0]})


@every_solver
def test_a_rate_of_zero_changes_nothing(run_there, assert_close, name):
    """The ends of schedules have it."""
    rng = np.random.default_rng(5)
    params = draw(rng, (2,))
    rates = [r._replace(learning_rate=np.zeros(2)) for r in draw_rates(rng, (2,), steps=3)]
    new, _ = run_there(name, params, [draw(rng, (2,)) for _ in rates], rates)
    assert_close(new, params)


@every_solver
def test_gradients_of_zero_change_nothing(run_there, assert_close, name):
    """A unit that never fires has them, from the first step on."""
    rng = np.random.default_rng(6)
    params, rates = draw(rng), draw_rates(rng, steps=3, decay=0.0)
    zeros = {key: np.zeros(shape) for key, shape in SHAPES.items()}
    new, _ = run_there(name, params, [zeros] * 3, rates)
    assert_close(new, params)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_without_momentum(run_there, assert_close, name):
    """A first factor of 0 is RMSProp without bias."""
    rng = np.random.default_rng(7)
    params, grads = draw(rng), [draw(rng) for _ in range(4)]
    rates = [r._replace(momentum=np.asarray(0.0)) for r in draw_rates(rng, steps=4)]
    new, _ = run_there(name, params, grads, rates)
    assert_close(new, textbook(name, params, grads, rates))


@pytest.mark.parametrize("step", [1, 2, 3, 10, 100_000])
def test_adam_in_float32_keeps_the_digits_of_its_weights(step):
    """Where β₂ is 0.999, ``1 - β₂^step`` has lost half of them."""
    beta = np.float32(0.999)
    r = Rates(np.float32(1), None, None, np.float32(0), beta, np.float32(0), np.float32(step))
    params = {"b1": np.zeros(1, np.float32)}
    state = {"gradients": {"b1": np.zeros(1, np.float32)}, "squares": {"b1": np.zeros(1, np.float32)}}
    SOLVERS["adam"].update(np, params, {"b1": np.ones(1, np.float32)}, state, r, ())
    exact = np.sqrt((1 - np.float64(beta) ** step) / (1 - np.float64(beta)))
    np.testing.assert_allclose(-params["b1"], exact, rtol=4e-7)


@every_solver
def test_a_parameter_without_a_gradient_stays(name):
    """Such as the running statistics of a batch norm. What remembers the past of the others goes on."""
    rng = np.random.default_rng(14)
    params, grads, rates = draw(rng), [draw(rng) for _ in range(3)], draw_rates(rng, steps=3)
    all_new, _ = run(name, params, grads, rates)
    for g in grads:
        del g["W2"]
    new, state = run(name, params, grads, rates)
    np.testing.assert_array_equal(new.pop("W2"), params["W2"])
    for key, array in new.items():
        np.testing.assert_array_equal(array, all_new[key])
    assert all(not kind["W2"].any() for kind in state.values())


# A gradient in factors


@every_nets
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_gradient_in_factors_is_their_product(device, dtype, put_params, assert_close, nets, shared, decay):
    """Whether something subtracts it in place, has a reason not to, or isn't there; biases have none."""
    rng = np.random.default_rng(15)
    params, rate = draw(rng, nets), rng.uniform(0.1, 0.5, nets)
    x, dy = rng.standard_normal((6, 4) if shared else (*nets, 6, 4)), rng.standard_normal((*nets, 6, 3))
    decay = None if decay is None else np.full(nets, decay)
    keep = 1.0 if decay is None else over(1.0 - rate * decay, params["W1"])
    expected = {"W1": keep * params["W1"] - np.einsum("...ni,...no->...io", x, dy), "b1": params["b1"] - 1.0}
    calls = []

    def subtract(W, x, dy, keep):
        calls.append(keep)
        W *= 1.0 if keep is None else over(keep, W)
        W -= Product(x, dy).multiply(device.xp)
        return True

    def refuse(_W, _x, _dy, keep):
        calls.append(keep)
        return False

    for given in (None, refuse, subtract) if device.xp is Device().xp else (None, refuse):
        on_device = put_params({name: params[name] for name in expected})
        product = Product(device.put(x, dtype), device.put(dy, dtype))
        grads = {"W1": product} | put_params({"b1": np.ones((*nets, 3))})
        rates = Rates(*(None if r is None else device.put(r, dtype) for r in (rate, decay)))
        new, state, _ = SOLVERS["sgd"].update(device.xp, on_device, grads, {}, rates, ("W1",), given)
        assert_close(new, expected)
        assert state == {}
        # What decays in passing, elsewhere, is not asked for again.
        asked = decay is not None and device.name != "cuda:0"
        assert [keep is not None for keep in calls] == ([asked] if given else [])
        calls.clear()


# What is consumed


@every_solver
def test_numpy_parameters_and_state_are_updated_in_place(name):
    """So that a step makes no new arrays to hold them; state that is new each time would do no harm."""
    rng = np.random.default_rng(8)
    solver, params, (r,) = SOLVERS[name], draw(rng), draw_rates(rng, steps=1)
    state = solver.init(np, params)
    before = dict(params), {kind: dict(arrays) for kind, arrays in state.items()}
    new, new_state, _ = solver.update(np, params, draw(rng), state, r, WEIGHTS)
    for key in SHAPES:
        assert new[key] is before[0][key]
        for kind in before[1]:
            assert new_state[kind][key] is before[1][kind][key]


@every_solver
def test_rates_are_left_alone(name):
    rng = np.random.default_rng(9)
    solver, params, (r,) = SOLVERS[name], draw(rng, (2,)), draw_rates(rng, (2,), steps=1)
    before = [value.copy() for value in r]
    for value in r:
        value.flags.writeable = False
    solver.update(np, params, draw(rng, (2,)), solver.init(np, params), r, WEIGHTS)
    for value, old in zip(r, before, strict=True):
        np.testing.assert_array_equal(value, old)


class Immutable(np.ndarray):
    """An array that augmented assignment leaves as it is, and that cannot be asked for its value."""

    __iadd__ = np.ndarray.__add__
    __isub__ = np.ndarray.__sub__
    __imul__ = np.ndarray.__mul__
    __itruediv__ = np.ndarray.__truediv__

    def refuse(self, *_):
        raise TypeError("a step must not read its arrays")

    __bool__ = __float__ = __int__ = __index__ = __setitem__ = refuse


@every_solver
def test_immutable_arrays_work_and_nothing_is_read_back(name):
    rng = np.random.default_rng(10)
    params, grads, rates = draw(rng, (2,)), [draw(rng, (2,)) for _ in range(3)], draw_rates(rng, (2,), 3)

    def put(array):
        return array if isinstance(array, Immutable) else np.array(array).view(Immutable)

    def put_params(arrays):
        return {key: put(array) for key, array in arrays.items()}

    given = put_params(params)
    new, _ = run(name, given, grads, rates, put_params=put_params, put=put)
    expected, _ = run(name, params, grads, rates)
    for key, array in params.items():
        assert isinstance(new[key], Immutable)
        np.testing.assert_array_equal(given[key].view(np.ndarray), array)
        np.testing.assert_array_equal(new[key].view(np.ndarray), expected[key])
    clipped = clip(np, put_params(grads[0]), put(np.array([0.1, np.inf])))
    assert isinstance(clipped["W1"], Immutable)


def test_adamw_is_adam():
    assert SOLVERS["adamw"].init(np, {"b1": np.ones(2)}).keys() == {"gradients", "squares"}
    assert SOLVERS["sgd"].init(np, {"b1": np.ones(2)}) == {}
    assert [name for name, solver in SOLVERS.items() if solver.scaled] == ["sgd"]


# Clipping


def norms(grads, nets):
    """Of each network, over all its parameters."""
    return np.sqrt(sum((g.reshape(*nets, -1) ** 2).sum(axis=-1) for g in grads.values()))


@every_nets
def test_clip_shortens_to_the_limit(device, dtype, put_params, assert_close, nets):
    """Each network by itself: these limits are half to twice the norm."""
    grads = draw(np.random.default_rng(11), nets)
    norm = norms(grads, nets)
    limit = norm * np.resize([0.5, 2.0], nets)
    clipped = clip(device.xp, put_params(grads), device.put(limit, dtype))
    factor = np.minimum(1.0, limit / norm)
    assert_close(clipped, {key: over(factor, g) * g for key, g in grads.items()})
    on_host = {key: device.to_host(g).astype(float) for key, g in clipped.items()}
    np.testing.assert_allclose(norms(on_host, nets), np.minimum(norm, limit), rtol=1e-5)


def test_clip_within_the_limit_leaves_the_bits(device, dtype, put_params):
    grads = {key: g.astype(dtype) for key, g in draw(np.random.default_rng(12), (3,)).items()}
    limit = norms(grads, (3,)) * [1.001, 1e-3, 1.0] + [0.0, 0.0, np.inf]
    clipped = clip(device.xp, put_params(grads), device.put(limit, dtype))
    for key, g in grads.items():
        on_host = device.to_host(clipped[key])
        assert on_host[[0, 2]].tobytes() == g[[0, 2]].tobytes()
        assert (np.abs(on_host[1]) < 0.01).all()


@pytest.mark.parametrize("limit", [0.0, 1.0, np.inf, np.nan])
def test_clip_leaves_gradients_of_zero(limit):
    """No 0 / 0, which would warn, and so fail here, outside a device's context."""
    clipped = clip(np, {"b1": np.zeros(3)}, np.asarray(limit))
    assert clipped["b1"].tolist() == [0.0, 0.0, 0.0]


def test_clip_by_a_limit_of_zero_or_times_a_rate_of_zero():
    assert clip(np, {"b1": np.array([3.0, 4.0])}, np.asarray(0.0))["b1"].tolist() == [0.0, 0.0]
    with np.errstate(invalid="ignore"):
        limit = np.asarray(0.0) * np.inf
    assert clip(np, {"b1": np.array([0.0, -0.0])}, limit)["b1"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clip_does_not_hide_what_is_not_finite(bad):
    with np.errstate(invalid="ignore"):
        clipped = clip(np, {"b1": np.array([bad, 1.0])}, np.asarray(1.0))
    assert not np.isfinite(clipped["b1"]).all()


def test_clipping_scaled_gradients_by_the_scaled_limit_is_the_same():
    grads, rate, limit = draw(np.random.default_rng(13)), np.asarray(0.25), np.asarray(1.5)
    clipped = clip(np, copies(grads), limit)
    scaled = clip(np, {key: rate * g for key, g in grads.items()}, rate * limit)
    for key in grads:
        np.testing.assert_allclose(scaled[key], rate * clipped[key], rtol=1e-14)
