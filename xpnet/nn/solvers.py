"""Solvers: update rules for the parameters, as pure functions of plain dicts.

A solver consumes its arguments: parameters, state and gradients may be overwritten, and the caller continues
with the result. That keeps a step close to the cost of its matrix products.

Each solver is one function, with its formula in the docstring. It turns the gradient of one parameter, the
solver's memory of it and some `Rates` into the step to subtract. What all solvers share, the loop over the
parameters and the two kinds of weight decay, is in `_solver`.

Solvers that average over the past keep plain decaying sums, ``s = β s + g``, instead of the usual averages
``m = β m + (1 - β) g = (1 - β) s``. This saves a pass over the weights, because the constant factor is merged
into one that is needed anyway.
"""

from __future__ import annotations  # else those of inner functions are evaluated in every step

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from xpnet.nn.composites import composite, elementwise
from xpnet.nn.penalty import kept, squares
from xpnet.typing import Array, Namespace, Params, Product, State, Subtract

__all__ = ["SOLVERS", "Rates", "Solver", "clip"]

Rule: TypeAlias = Callable[..., tuple[Array, ...]]
"""``rule(xp, g, *memory, *rates)`` returns the step to subtract from a parameter with gradient ``g``, then
the new memory. It is element-wise."""


class Rates(NamedTuple):
    """The hyper-parameters of one step: arrays ``(*nets,)`` of the parameters' dtype, never written to.

    Those that a solver does not use may be left out.

    Attributes
    ----------
    learning_rate
        Learning rate of this step. It has as many axes as there are network axes.
    reg
        Coupled weight decay, the L2 penalty: ``reg * W``, the gradient of ``0.5 * reg * ΣW²``, is added to
        the gradient. None saves its two passes over the weights.
    weight_decay
        Decoupled weight decay: weights are multiplied by ``1 - learning_rate * weight_decay``, independently
        of their gradient (Loshchilov & Hutter 2019). None saves the pass over the weights.
    momentum
        Decay factor of past gradients, in [0, 1): µ of momentum, β₁ of Adam and Lion.
    beta2
        Decay factor of past squared gradients, in [0, 1): β₂ of Adam, α of RMSProp, and β₂ of Lion.
    epsilon
        Added to the root of the squares, to keep a step finite if all gradients were 0.
    step
        Number of this update, from 1; only Adam uses it.
    """

    learning_rate: Array
    reg: Array = None
    weight_decay: Array = None
    momentum: Array = None
    beta2: Array = None
    epsilon: Array = None
    step: Array = None


class Solver(NamedTuple):
    """An update rule for parameters.

    Attributes
    ----------
    init
        ``init(xp, params)`` returns the state before the first step: the solver's memory by kind, as zeros in
        the shapes of the parameters. An example is ``{"velocity": {"W1": …, "b1": …}}``; for sgd it is
        ``{}``.
    update
        ``update(xp, params, grads, state, rates, weights)`` returns the new parameters and state and, with a
        ``reg``, the `squares` of the weights before the step, else None. It consumes ``params``, ``grads``
        and ``state``. Parameters without a gradient stay as they are, and only those named in ``weights``
        decay.
    scaled
        Whether the solver expects gradients of ``learning_rate * L``, where the factor costs nothing (see
        `xpnet.nn.backprop.loss`). It subtracts them as they are, so a gradient may also be a `Product`;
        ``update`` then accepts a function ``subtract=`` that may subtract it in place.
    """

    init: Callable[[Namespace, Params], State]
    update: Callable[..., tuple[Params, State, Array]]
    scaled: bool


def clip(xp: Namespace, grads: Params, limit: Array) -> Params:
    """Clip the gradient of each network to a norm of at most ``limit``.

    The norm is over all parameters of a network together, so that the gradient keeps its direction
    (Pascanu, Mikolov & Bengio 2013, https://arxiv.org/abs/1211.5063). Gradients within the limit do not
    change by a bit, and non-finite ones stay non-finite.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    grads
        The gradients; consumed.
    limit
        ``(*nets,)``; inf clips nothing. For gradients of ``learning_rate * L``, give ``learning_rate *
        limit``.

    Returns
    -------
    Params
        The clipped gradients.
    """
    of_grads, _ = squares(xp, list(grads.values()), limit.ndim, None)
    factor = _within(xp, xp.sum(of_grads, axis=-1), limit)
    for name, g in grads.items():
        g *= _over(factor, g.ndim)
        grads[name] = g
    return grads


@elementwise
def _within(xp: Namespace, total: Array, limit: Array) -> Array:
    """Return the factor that clips a vector with this sum of squares to the limit."""
    norm = xp.sqrt(total)
    beyond = norm > limit  # also False if the limit is NaN, from inf times a learning rate of 0
    return xp.where(beyond, limit, 1.0) / xp.where(beyond, norm, 1.0)


def sgd(_xp: Namespace, g: Array) -> tuple[Array, ...]:
    """Gradient descent: ``W - learning_rate * g``.

    The gradients are already multiplied by the learning rate. Both kinds of decay are equivalent here and
    make one factor: the step is ``W * (1 - learning_rate * (reg + weight_decay)) - learning_rate * g``. It
    takes two passes over the weights in place, without a temporary of their size. If the gradient is a
    `Product` that the device can subtract in place, the second pass is part of the product.
    """
    return (g,)


def momentum(
    _xp: Namespace, g: Array, velocity: Array, factor: Array, learning_rate: Array
) -> tuple[Array, ...]:
    """Gradient descent with momentum: ``v = µ v + g``, ``W - learning_rate * v``.

    This is the heavy ball of Polyak 1964 in PyTorch's form of Sutskever et al. 2013
    (https://proceedings.mlr.press/v28/sutskever13.html): the learning rate is outside the velocity, so that a
    new rate takes effect at once.
    """
    velocity *= factor
    velocity += g
    return velocity * learning_rate, velocity


def nesterov(
    _xp: Namespace, g: Array, velocity: Array, factor: Array, learning_rate: Array
) -> tuple[Array, ...]:
    """Nesterov's momentum: ``v = µ v + g``, ``W - learning_rate * (g + µ v)``.

    This is Nesterov 1983 as rewritten by Sutskever et al. 2013 and Bengio et al. 2012
    (https://arxiv.org/abs/1212.0901), with the parameters at the look-ahead point. The memory holds ``µ v``,
    which both formulas need, to avoid a temporary.
    """
    velocity += g
    velocity *= factor
    g += velocity
    g *= learning_rate
    return g, velocity


def rmsprop(
    xp: Namespace, g: Array, of_squares: Array, beta2: Array, size: Array, epsilon: Array
) -> tuple[Array, ...]:
    """RMSProp: ``m = β₂ m + (1 - β₂) g²``, ``W - learning_rate * g / (√m + ε)``.

    Tieleman & Hinton 2012, lecture 6e of "Neural networks for machine learning"
    (https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf). With ``n = 1 / (1 - β₂)``
    and the sum of squares ``s = n m``, the step is ``learning_rate √n * g / (√s + √n ε)``.
    """
    of_squares *= beta2
    return adagrad(xp, g, of_squares, size, epsilon)


@elementwise
def _of_rmsprop(xp: Namespace, learning_rate: Array, beta2: Array, epsilon: Array) -> tuple[Array, ...]:
    root_n = xp.sqrt(1.0 / (1.0 - beta2))
    return learning_rate * root_n, epsilon * root_n


def adagrad(
    xp: Namespace, g: Array, of_squares: Array, learning_rate: Array, epsilon: Array
) -> tuple[Array, ...]:
    """Adagrad: ``s = s + g²``, ``W - learning_rate * g / (√s + ε)``.

    Duchi, Hazan & Singer 2011 (https://jmlr.org/papers/v12/duchi11a.html), the diagonal form.
    """
    of_squares += g * g
    root = xp.sqrt(of_squares)
    root += epsilon
    g /= root
    g *= learning_rate
    return g, of_squares


def adam(
    xp: Namespace,
    g: Array,
    gradients: Array,
    of_squares: Array,
    beta1: Array,
    beta2: Array,
    size: Array,
    epsilon: Array,
) -> tuple[Array, ...]:
    """Adam: RMSProp's step with an average of past gradients, both averages corrected for bias.

    Kingma & Ba 2015 (https://arxiv.org/abs/1412.6980). A decaying sum weights its ``t`` gradients by
    ``β^(t-1) … β, 1``; divided by the sum of these weights, it is an unbiased average. So with

        ``a = β₁ a + g``, ``n₁ = 1 + β₁ + … + β₁^(t-1)`` and ``s = β₂ s + g²``, ``n₂ = 1 + β₂ + … + β₂^(t-1)``

    the paper's ``m̂`` and ``v̂`` are ``a / n₁`` and ``s / n₂``, and its step

        ``learning_rate * m̂ / (√v̂ + ε) = learning_rate √n₂ / n₁ * a / (√s + √n₂ ε)``.

    AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101) is the same function under its
    well-known name: its decay is ``weight_decay``, which every solver here supports.
    """
    gradients *= beta1
    gradients += g
    g *= g
    of_squares *= beta2
    of_squares += g
    root = xp.sqrt(of_squares)
    root += epsilon
    change = gradients / root
    change *= size
    return change, gradients, of_squares


@elementwise
def _of_adam(
    xp: Namespace, learning_rate: Array, beta1: Array, beta2: Array, epsilon: Array, step: Array
) -> tuple[Array, ...]:
    n1, root_n2 = _sum_of_powers(xp, beta1, step), xp.sqrt(_sum_of_powers(xp, beta2, step))
    return learning_rate * root_n2 / n1, epsilon * root_n2


def lion(
    xp: Namespace, g: Array, gradients: Array, beta2: Array, past: Array, learning_rate: Array
) -> tuple[Array, ...]:
    """Lion: ``W - learning_rate * sign(β₁ m + (1 - β₁) g)``, then ``m = β₂ m + (1 - β₂) g``.

    Chen et al. 2023 (https://arxiv.org/abs/2302.06675), algorithm 2. Every entry moves by exactly the
    learning rate, which has to be 3 to 10 times smaller than for Adam. With the sum ``s = m / (1 - β₂)``, the
    sign is that of ``(1 - β₂) β₁ / (1 - β₁) * s + g``.
    """
    mixed = gradients * past
    mixed += g
    change = xp.sign(mixed)
    change *= learning_rate
    gradients *= beta2
    gradients += g
    return change, gradients


@elementwise
def _of_lion(_xp: Namespace, beta1: Array, beta2: Array) -> Array:
    return (1.0 - beta2) * beta1 / (1.0 - beta1)


def _solver(
    rule: Rule, *kinds: str, rates: Callable[[Namespace, Rates], tuple[Array, ...]], scaled: bool = False
) -> Solver:
    """Make a solver from a rule, the names of its memory, and the rates it takes."""

    def init(xp: Namespace, params: Params) -> State:
        return {kind: {name: xp.zeros_like(value) for name, value in params.items()} for kind in kinds}

    @elementwise
    def move(xp: Namespace, value: Array, g: Array, *others: Array | None) -> tuple[Array, ...]:
        """Return one parameter after the step, and the solver's memory of it."""
        remembered, (coupled, keep, *given) = others[: len(kinds)], others[len(kinds) :]
        if coupled is not None:
            g += value * coupled
        if keep is not None:
            value *= keep
        change, *memory = rule(xp, g, *remembered, *given)
        value -= change
        return value, *memory

    def update(
        xp: Namespace,
        params: Params,
        grads: Params,
        state: State,
        given: Rates,
        weights: Collection[str],
        subtract: Subtract | None = None,
    ) -> tuple[Params, State, Array | None]:
        of_rule = rates(xp, given)
        coupled, decoupled = given.reg, given.weight_decay
        if scaled and coupled is not None:  # the gradients are already scaled: see `sgd`
            coupled, decoupled = None, coupled if decoupled is None else coupled + decoupled
        keep = of_weights = None
        if given.reg is not None:
            # A penalty added to the gradients uses the weights before they decay.
            in_passing = None if coupled is not None else (given.learning_rate, decoupled)
            arrays = [params[name] for name in grads if name in weights]
            of_weights, keep = squares(xp, arrays, given.learning_rate.ndim, in_passing)
        if decoupled is not None and (given.reg is None or coupled is not None):
            keep = kept(xp, given.learning_rate, decoupled)

        moved = partial(move, xp)
        laid: dict[tuple[int, bool], list[Array | None]] = {}  # by number of axes, and whether it decays
        for name, g in grads.items():
            value, decays = params[name], name in weights
            if isinstance(g, Product):
                if subtract is not None and subtract(value, *g, keep if decays else None):
                    continue
                g = g.multiply(xp)
            memory = [state[kind][name] for kind in kinds]
            like = value.ndim, decays
            if like not in laid:
                of_decay = (coupled, keep) if decays else (None, None)
                laid[like] = [_over(rate, value.ndim) for rate in (*of_decay, *of_rule)]
            params[name], *memory = in_parts(xp, moved, [value, g, *memory], laid[like])
            for kind, array in zip(kinds, memory, strict=True):
                state[kind][name] = array
        return params, state, of_weights

    return Solver(init, update, scaled)


@composite
def in_parts(
    _xp: Namespace, function: Callable[..., Any], arrays: Sequence[Array], rates: Sequence[Array | None]
) -> Any:
    """Return ``function(*arrays, *rates)``: a parameter and the solver's memory of it after a step.

    The arrays (parameter, gradient, memory) have the same shape. Each element depends only on those at its
    place and on the rates of its network, so a device may call the function on a few rows at a time.
    """
    return function(*arrays, *rates)


def _over(rate: Array | None, axes: int) -> Array | None:
    """Append axes to ``rate``, ``(*nets,)`` or None, so that it broadcasts over an array's other axes."""
    # A rate without axes stays as it is: NumPy then takes two thirds of the time of an array with one entry.
    if rate is None or not rate.ndim:
        return rate
    return rate[(..., *(None,) * (axes - rate.ndim))]


def _sum_of_powers(xp: Namespace, beta: Array, n: Array) -> Array:
    """Return ``1 + β + … + β^(n-1)``, which is ``(1 - β^n) / (1 - β)``.

    If β is close to 1, ``1 - β^n`` loses the last digits of float32, which `expm1` keeps. Also, NumPy's power
    may differ in the last bit between one number and many at once, so a stack would differ from one network.
    """
    log_beta = xp.log(xp.maximum(beta, 1e-30))  # β = 0 has no logarithm
    return xp.expm1(n * log_beta) / (beta - 1.0)


def _velocity(rule: Rule) -> Solver:
    return _solver(rule, "velocity", rates=lambda _xp, r: (r.momentum, r.learning_rate))


def _adam() -> Solver:
    def rates(xp: Namespace, r: Rates) -> tuple[Array, ...]:
        return r.momentum, r.beta2, *_of_adam(xp, r.learning_rate, r.momentum, r.beta2, r.epsilon, r.step)

    return _solver(adam, "gradients", "squares", rates=rates)


SOLVERS: Mapping[str, Solver] = {
    "sgd": _solver(sgd, rates=lambda _xp, _r: (), scaled=True),
    "momentum": _velocity(momentum),
    "nesterov": _velocity(nesterov),
    "rmsprop": _solver(
        rmsprop,
        "squares",
        rates=lambda xp, r: (r.beta2, *_of_rmsprop(xp, r.learning_rate, r.beta2, r.epsilon)),
    ),
    "adagrad": _solver(adagrad, "squares", rates=lambda _xp, r: (r.learning_rate, r.epsilon)),
    "adam": _adam(),
    "adamw": _adam(),
    "lion": _solver(
        lion, "gradients", rates=lambda xp, r: (r.beta2, _of_lion(xp, r.momentum, r.beta2), r.learning_rate)
    ),
}
"""Every solver by its name; ``adamw`` is ``adam``."""
