"""Solvers: update rules for the parameters, as pure functions of plain dicts.

A solver consumes its arguments: parameters, state and gradients may be overwritten, and the caller continues
with the result. That keeps a step close to the cost of its matrix products.

Each solver is one function, its formula beside it: it turns one parameter's gradient, what is remembered of
it and some `Rates` into the step to subtract. What is the same for all, the loop over the parameters and the
two kinds of weight decay, stands once, in `_solver`.

Solvers that average over the past keep plain decaying sums, ``s = β s + g``, instead of the usual averages
``m = β m + (1 - β) g = (1 - β) s``: a pass over the weights fewer, since a factor that is the same for all
entries of an array costs nothing where it joins one that is there anyway.
"""

from __future__ import annotations  # those of inner functions would be evaluated in every step

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from xpnet.nn.composites import composite, elementwise
from xpnet.nn.penalty import kept, squares
from xpnet.typing import Array, Namespace, Params, Product, State, Subtract

__all__ = ["SOLVERS", "Rates", "Solver", "clip"]

Rule: TypeAlias = Callable[..., tuple[Array, ...]]
"""``rule(xp, g, *memory, *rates)`` returns what to subtract from a parameter of gradient ``g``, then the new
memory; element by element."""


class Rates(NamedTuple):
    """The hyper-parameters of one step: arrays ``(*nets,)`` of the parameters' dtype, never written to.

    Those that a solver does not take may be left out.

    Attributes
    ----------
    learning_rate
        Of this step. Its axes tell how many of a parameter's are networks.
    reg
        Coupled decay of the weights, the L2 penalty: ``reg * W``, the gradient of ``0.5 * reg * ΣW²``, joins
        their gradient. Without it (None) its two passes over the weights are not made.
    weight_decay
        Decoupled decay: weights are multiplied by ``1 - learning_rate * weight_decay``, whatever the solver
        makes of their gradient (Loshchilov & Hutter 2019). None as for ``reg``.
    momentum
        Factor on the past of the gradient, in [0, 1): µ of momentum, β₁ of Adam and Lion.
    beta2
        Factor on the past of the squared gradient, in [0, 1); α of RMSProp, and Lion's second factor.
    epsilon
        Added to the root of the squares: keeps a step finite where all gradients were 0.
    step
        Number of this update, from 1; Adam alone asks.
    """

    learning_rate: Array
    reg: Array = None
    weight_decay: Array = None
    momentum: Array = None
    beta2: Array = None
    epsilon: Array = None
    step: Array = None


class Solver(NamedTuple):
    """A way to change parameters by their gradients.

    Attributes
    ----------
    init
        ``init(xp, params)`` returns the state before the first step: what the solver remembers, by kind,
        in the parameters' shapes, all zeros. ``{"velocity": {"W1": …, "b1": …}}``, and ``{}`` for sgd.
    update
        ``update(xp, params, grads, state, rates, weights)`` returns the new parameters and state, and, where
        there is a ``reg``, the `squares` of the weights as they were, else None. It consumes ``params``,
        ``grads`` and ``state``. Parameters without a gradient stay as they are, and only those named in
        ``weights`` decay.
    scaled
        Whether the gradients are to be those of ``learning_rate * L``: the factor then costs nothing
        (see `xpnet.nn.backprop.loss`). They are subtracted as they are, so that a gradient may also be a
        `Product`; ``update`` then takes, as ``subtract=``, what may do it in place.
    """

    init: Callable[[Namespace, Params], State]
    update: Callable[..., tuple[Params, State, Array]]
    scaled: bool


def clip(xp: Namespace, grads: Params, limit: Array) -> Params:
    """Shorten the gradient of each network to a norm of at most ``limit``.

    The norm is over all parameters of a network together, so that the gradient keeps its direction
    (Pascanu, Mikolov & Bengio 2013, https://arxiv.org/abs/1211.5063). Gradients within the limit keep their
    bits, and those that are not finite stay so.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    grads
        Consumed.
    limit
        ``(*nets,)``; inf clips nothing. For gradients of ``learning_rate * L``, ``learning_rate * limit``.

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
    """Return the factor that shortens a vector of that sum of squares to the limit."""
    norm = xp.sqrt(total)
    beyond = norm > limit  # also False where a limit of inf became NaN by a learning rate of 0
    return xp.where(beyond, limit, 1.0) / xp.where(beyond, norm, 1.0)


def sgd(_xp: Namespace, g: Array) -> tuple[Array, ...]:
    """Gradient descent: ``W - learning_rate * g``.

    The gradients come multiplied by the learning rate. Both kinds of decay are the same here, and one
    factor on the weights: the step is ``W * (1 - learning_rate * (reg + weight_decay)) - learning_rate * g``,
    two passes over the weights in place, no temporary of their size. Where the gradient is a `Product` that
    the device can subtract in place, the second is part of the product.
    """
    return (g,)


def momentum(
    _xp: Namespace, g: Array, velocity: Array, factor: Array, learning_rate: Array
) -> tuple[Array, ...]:
    """Gradient descent with momentum: ``v = µ v + g``, ``W - learning_rate * v``.

    The heavy ball of Polyak 1964, in the form of Sutskever et al. 2013
    (https://proceedings.mlr.press/v28/sutskever13.html) that PyTorch has: the learning rate is outside the
    velocity, so that a new one applies at once.
    """
    velocity *= factor
    velocity += g
    return velocity * learning_rate, velocity


def nesterov(
    _xp: Namespace, g: Array, velocity: Array, factor: Array, learning_rate: Array
) -> tuple[Array, ...]:
    """Nesterov's momentum: ``v = µ v + g``, ``W - learning_rate * (g + µ v)``.

    Nesterov 1983 as rewritten by Sutskever et al. 2013 and Bengio et al. 2012
    (https://arxiv.org/abs/1212.0901), with parameters that are already looked ahead. What is remembered is
    ``µ v``, which both formulas need: then there is no temporary.
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
    """Adam: RMSProp's step for an average of past gradients, both averages without bias.

    Kingma & Ba 2015 (https://arxiv.org/abs/1412.6980). An average that starts from 0 weighs its ``t``
    gradients by ``β^(t-1) … β, 1``; divided by the sum of these weights it is one without bias. So with

        ``a = β₁ a + g``, ``n₁ = 1 + β₁ + … + β₁^(t-1)`` and ``s = β₂ s + g²``, ``n₂ = 1 + β₂ + … + β₂^(t-1)``

    the paper's ``m̂`` and ``v̂`` are ``a / n₁`` and ``s / n₂``, and its step

        ``learning_rate * m̂ / (√v̂ + ε) = learning_rate √n₂ / n₁ * a / (√s + √n₂ ε)``.

    AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101) is the same function under the name by
    which people look for it: its decay is ``weight_decay``, which every solver here has.
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

    Chen et al. 2023 (https://arxiv.org/abs/2302.06675), algorithm 2. Every entry moves by the learning
    rate, which has to be 3 to 10 times smaller than for Adam. With the sum ``s = m / (1 - β₂)`` the sign is
    that of ``(1 - β₂) β₁ / (1 - β₁) * s + g``.
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
    """Make a solver of a rule, the names of what that remembers, and the rates that it takes."""

    def init(xp: Namespace, params: Params) -> State:
        return {kind: {name: xp.zeros_like(value) for name, value in params.items()} for kind in kinds}

    @elementwise
    def move(xp: Namespace, value: Array, g: Array, *others: Array | None) -> tuple[Array, ...]:
        """Return one parameter after the step, and what is remembered of it."""
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
        if scaled and coupled is not None:  # the gradients are multiplied already: see `sgd`
            coupled, decoupled = None, coupled if decoupled is None else coupled + decoupled
        keep = of_weights = None
        if given.reg is not None:
            # A penalty that joins the gradients is that of the weights before they decay.
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

    The arrays have one shape: parameter, gradient, memory. Each element depends on those in its place and on
    the rates of its network alone, so a device may call the function on some rows at a time.
    """
    return function(*arrays, *rates)


def _over(rate: Array | None, axes: int) -> Array | None:
    """Lay ``rate``, ``(*nets,)`` or None, over the axes that an array has beyond those of the networks."""
    # NumPy multiplies by a number in two thirds of the time that an array of one takes.
    if rate is None or not rate.ndim:
        return rate
    return rate[(..., *(None,) * (axes - rate.ndim))]


def _sum_of_powers(xp: Namespace, beta: Array, n: Array) -> Array:
    """Return ``1 + β + … + β^(n-1)``, which is ``(1 - β^n) / (1 - β)``.

    Where β is close to 1, ``1 - β^n`` loses float32's last digits, and `expm1` keeps them. Nor are powers
    the same for a stack as alone: NumPy's differ in the last bit between many numbers at once and one.
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
