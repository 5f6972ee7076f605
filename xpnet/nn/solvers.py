"""Solvers: how gradients change parameters. Pure functions of plain dicts.

A solver consumes what it is given: parameters, state and gradients may be overwritten, and the caller goes
on with what is returned. That is what keeps a step close to the cost of its matrix products.

Each solver is one function, its formula beside it: given the hyper-parameters of a step it returns the
function that turns one parameter's gradient into the step to subtract. What is the same for all, the loop
over the parameters and the two kinds of weight decay, stands once, in `_solver`.

Solvers that average over the past keep plain decaying sums, ``s = β s + g``, instead of the usual averages
``m = β m + (1 - β) g = (1 - β) s``: a pass over the weights fewer, since a factor that is the same for all
entries of an array costs nothing where it joins one that is there anyway.
"""

from __future__ import annotations  # those of inner functions would be evaluated in every step

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, TypeAlias

from xpnet.typing import Array, Namespace, Params, Product, State, Subtract

__all__ = ["SOLVERS", "Rates", "Solver", "clip"]

Step: TypeAlias = Callable[..., tuple[Array, ...]]
"""``step(g, *memory)`` returns what to subtract from the parameter of gradient ``g``, then the new memory."""


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
        ``update(xp, params, grads, state, rates, weights)`` returns the new parameters and state. It
        consumes ``params``, ``grads`` and ``state``. Parameters without a gradient stay as they are, and
        only those named in ``weights`` decay.
    scaled
        Whether the gradients are to be those of ``learning_rate * L``: the factor then costs nothing
        (see `xpnet.nn.backprop.loss`). They are subtracted as they are, so that a gradient may also be a
        `Product`; ``update`` then takes, as ``subtract=``, what may do it in place.
    """

    init: Callable[[Namespace, Params], State]
    update: Callable[..., tuple[Params, State]]
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
    squares = 0.0
    for g in grads.values():
        of_g = xp.vecdot(g, g)
        if of_g.ndim > limit.ndim:
            of_g = xp.sum(of_g, axis=tuple(range(limit.ndim, of_g.ndim)))
        squares = squares + of_g
    norm = xp.sqrt(squares)
    beyond = norm > limit  # also False where a limit of inf became NaN by a learning rate of 0
    factor = xp.where(beyond, limit, 1.0) / xp.where(beyond, norm, 1.0)
    for name, g in grads.items():
        g *= _over(factor, g)
        grads[name] = g
    return grads


def sgd(_xp: Namespace, _rates: Rates) -> Step:
    """Gradient descent: ``W - learning_rate * g``.

    The gradients come multiplied by the learning rate. Both kinds of decay are the same here, and one
    factor on the weights: the step is ``W * (1 - learning_rate * (reg + weight_decay)) - learning_rate * g``,
    two passes over the weights in place, no temporary of their size. Where the gradient is a `Product` that
    the device can subtract in place, the second is part of the product.
    """

    def step(g: Array) -> tuple[Array, ...]:
        return (g,)

    return step


def momentum(_xp: Namespace, rates: Rates) -> Step:
    """Gradient descent with momentum: ``v = µ v + g``, ``W - learning_rate * v``.

    The heavy ball of Polyak 1964, in the form of Sutskever et al. 2013
    (https://proceedings.mlr.press/v28/sutskever13.html) that PyTorch has: the learning rate is outside the
    velocity, so that a new one applies at once.
    """

    def step(g: Array, velocity: Array) -> tuple[Array, ...]:
        velocity *= _over(rates.momentum, g)
        velocity += g
        return velocity * _over(rates.learning_rate, g), velocity

    return step


def nesterov(_xp: Namespace, rates: Rates) -> Step:
    """Nesterov's momentum: ``v = µ v + g``, ``W - learning_rate * (g + µ v)``.

    Nesterov 1983 as rewritten by Sutskever et al. 2013 and Bengio et al. 2012
    (https://arxiv.org/abs/1212.0901), with parameters that are already looked ahead. What is remembered is
    ``µ v``, which both formulas need: then there is no temporary.
    """

    def step(g: Array, velocity: Array) -> tuple[Array, ...]:
        velocity += g
        velocity *= _over(rates.momentum, g)
        g += velocity
        g *= _over(rates.learning_rate, g)
        return g, velocity

    return step


def rmsprop(xp: Namespace, rates: Rates) -> Step:
    """RMSProp: ``m = β₂ m + (1 - β₂) g²``, ``W - learning_rate * g / (√m + ε)``.

    Tieleman & Hinton 2012, lecture 6e of "Neural networks for machine learning"
    (https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf). With ``n = 1 / (1 - β₂)``
    and the sum of squares ``s = n m``, the step is ``learning_rate √n * g / (√s + √n ε)``.
    """
    root_n = xp.sqrt(1.0 / (1.0 - rates.beta2))
    size, epsilon = rates.learning_rate * root_n, rates.epsilon * root_n

    def step(g: Array, squares: Array) -> tuple[Array, ...]:
        squares *= _over(rates.beta2, g)
        squares += g * g
        root = xp.sqrt(squares)
        root += _over(epsilon, g)
        g /= root
        g *= _over(size, g)
        return g, squares

    return step


def adagrad(xp: Namespace, rates: Rates) -> Step:
    """Adagrad: ``s = s + g²``, ``W - learning_rate * g / (√s + ε)``.

    Duchi, Hazan & Singer 2011 (https://jmlr.org/papers/v12/duchi11a.html), the diagonal form.
    """

    def step(g: Array, squares: Array) -> tuple[Array, ...]:
        squares += g * g
        root = xp.sqrt(squares)
        root += _over(rates.epsilon, g)
        g /= root
        g *= _over(rates.learning_rate, g)
        return g, squares

    return step


def adam(xp: Namespace, rates: Rates) -> Step:
    """Adam: RMSProp's step for an average of past gradients, both averages without bias.

    Kingma & Ba 2015 (https://arxiv.org/abs/1412.6980). An average that starts from 0 weighs its ``t``
    gradients by ``β^(t-1) … β, 1``; divided by the sum of these weights it is one without bias. So with

        ``a = β₁ a + g``, ``n₁ = 1 + β₁ + … + β₁^(t-1)`` and ``s = β₂ s + g²``, ``n₂ = 1 + β₂ + … + β₂^(t-1)``

    the paper's ``m̂`` and ``v̂`` are ``a / n₁`` and ``s / n₂``, and its step

        ``learning_rate * m̂ / (√v̂ + ε) = learning_rate √n₂ / n₁ * a / (√s + √n₂ ε)``.

    AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101) is the same function under the name by
    which people look for it: its decay is ``weight_decay``, which every solver here has.
    """
    n1 = _sum_of_powers(xp, rates.momentum, rates.step)
    root_n2 = xp.sqrt(_sum_of_powers(xp, rates.beta2, rates.step))
    size, epsilon = rates.learning_rate * root_n2 / n1, rates.epsilon * root_n2

    def step(g: Array, gradients: Array, squares: Array) -> tuple[Array, ...]:
        gradients *= _over(rates.momentum, g)
        gradients += g
        g *= g
        squares *= _over(rates.beta2, g)
        squares += g
        root = xp.sqrt(squares)
        root += _over(epsilon, g)
        change = gradients / root
        change *= _over(size, g)
        return change, gradients, squares

    return step


def lion(xp: Namespace, rates: Rates) -> Step:
    """Lion: ``W - learning_rate * sign(β₁ m + (1 - β₁) g)``, then ``m = β₂ m + (1 - β₂) g``.

    Chen et al. 2023 (https://arxiv.org/abs/2302.06675), algorithm 2. Every entry moves by the learning
    rate, which has to be 3 to 10 times smaller than for Adam. With the sum ``s = m / (1 - β₂)`` the sign is
    that of ``(1 - β₂) β₁ / (1 - β₁) * s + g``.
    """
    past = (1.0 - rates.beta2) * rates.momentum / (1.0 - rates.momentum)

    def step(g: Array, gradients: Array) -> tuple[Array, ...]:
        mixed = gradients * _over(past, g)
        mixed += g
        change = xp.sign(mixed)
        change *= _over(rates.learning_rate, g)
        gradients *= _over(rates.beta2, g)
        gradients += g
        return change, gradients

    return step


def _solver(rule: Callable[[Namespace, Rates], Step], *kinds: str, scaled: bool = False) -> Solver:
    """Make a solver of the rule for one parameter and the names of what it remembers."""

    def init(xp: Namespace, params: Params) -> State:
        return {kind: {name: xp.zeros_like(value) for name, value in params.items()} for kind in kinds}

    def update(
        xp: Namespace,
        params: Params,
        grads: Params,
        state: State,
        rates: Rates,
        weights: Collection[str],
        subtract: Subtract | None = None,
    ) -> tuple[Params, State]:
        step = rule(xp, rates)
        coupled, decoupled = rates.reg, rates.weight_decay
        if scaled and coupled is not None:  # the gradients are multiplied already: see `sgd`
            coupled, decoupled = None, coupled if decoupled is None else coupled + decoupled
        keep = None if decoupled is None else 1.0 - rates.learning_rate * decoupled

        for name, g in grads.items():
            value = params[name]
            if isinstance(g, Product):
                if subtract is not None and subtract(value, *g, keep if name in weights else None):
                    continue
                g = g.multiply(xp)
            if name in weights and coupled is not None:
                g += value * _over(coupled, g)
            if name in weights and keep is not None:
                value *= _over(keep, value)
            change, *memory = step(g, *(state[kind][name] for kind in kinds))
            value -= change
            params[name] = value
            for kind, array in zip(kinds, memory, strict=True):
                state[kind][name] = array
        return params, state

    return Solver(init, update, scaled)


def _over(rate: Array, array: Array) -> Array:
    """Lay ``rate``, ``(*nets,)``, over the axes that ``array`` has beyond those of the networks."""
    if not rate.ndim:  # NumPy multiplies by a number in two thirds of the time that an array of one takes
        return rate
    return rate[(..., *(None,) * (array.ndim - rate.ndim))]


def _sum_of_powers(xp: Namespace, beta: Array, n: Array) -> Array:
    """Return ``1 + β + … + β^(n-1)``, which is ``(1 - β^n) / (1 - β)``.

    Where β is close to 1, ``1 - β^n`` loses float32's last digits, and `expm1` keeps them. Nor are powers
    the same for a stack as alone: NumPy's differ in the last bit between many numbers at once and one.
    """
    log_beta = xp.log(xp.maximum(beta, 1e-30))  # β = 0 has no logarithm
    return xp.expm1(n * log_beta) / (beta - 1.0)


SOLVERS: Mapping[str, Solver] = {
    "sgd": _solver(sgd, scaled=True),
    "momentum": _solver(momentum, "velocity"),
    "nesterov": _solver(nesterov, "velocity"),
    "rmsprop": _solver(rmsprop, "squares"),
    "adagrad": _solver(adagrad, "squares"),
    "adam": _solver(adam, "gradients", "squares"),
    "adamw": _solver(adam, "gradients", "squares"),
    "lion": _solver(lion, "gradients"),
}
"""Every solver by its name; ``adamw`` is ``adam``."""
