"""The layers of a network, each with its gradient.

A layer returns its value and its *pullback*: the function that takes the gradient of the loss with
respect to the value and returns the gradients with respect to the layer's inputs. What the gradient
needs stays in the closure, so forward and backward stand side by side.

Shapes: rows are samples, and any leading axes (``*nets``) are independent networks. ``x`` is
``(*nets, batch, in)``, or ``(batch, in)`` when all networks see the same batch; ``W`` is
``(*nets, in, out)``; ``b`` is ``(*nets, out)``. The numbers (1) to (10) are those of the equations in
the README.
"""

from collections.abc import Callable

from xpnet.typing import Array, Namespace

__all__ = ["affine", "relu", "softmax_cross_entropy"]


def affine(
    xp: Namespace, x: Array, W: Array, b: Array
) -> tuple[Array, Callable[..., tuple[Array, Array, Array]]]:
    """Return ``x W + b`` and its pullback, equations (1) and (3).

    Each network has products of its own, also where all see the same ``x``. One wide product
    ``(batch, in) x (in, nets * out)`` would do the same work and is no faster on a CPU but for the
    smallest networks; what a BLAS makes of a column would then depend on how many stand beside it. So
    a network of a stack has the same bits as alone.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    x
        ``(*nets, batch, in)``, or ``(batch, in)`` shared by all networks.
    W
        ``(*nets, in, out)``.
    b
        ``(*nets, out)``.

    Returns
    -------
    y : Array
        ``(*nets, batch, out)``.
    pullback : callable
        ``pullback(dy, need_dx=True)`` returns ``(dx, dW, db)`` in the shapes of ``x``, ``W`` and
        ``b``; ``dx`` is None, and a third of the work is saved, with ``need_dx=False``.
    """
    y = xp.matmul(x, W)
    y += b[..., None, :]

    def pullback(dy: Array, need_dx: bool = True) -> tuple[Array, Array, Array]:
        dx = None
        if need_dx:
            dx = xp.matmul(dy, xp.matrix_transpose(W))  # (8), first half
            if dx.ndim > x.ndim:  # a shared x gets the sum over the networks that share it
                dx = xp.sum(dx, axis=tuple(range(dx.ndim - x.ndim)))
        dW = xp.matmul(xp.matrix_transpose(x), dy)  # (6), (9)
        return dx, dW, xp.sum(dy, axis=-2)  # (7), (10)

    return y, pullback


def relu(xp: Namespace, x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return ``max(0, x)``, equation (2), and its pullback, the second half of (8).

    At the kink, where ``x`` is 0, the gradient is taken as 0.

    Parameters
    ----------
    xp
        Array API namespace of the array.
    x
        Any shape.

    Returns
    -------
    y : Array
        Shape of ``x``.
    pullback : callable
        ``pullback(dy)`` returns ``dy`` where ``x > 0``, else 0.
    """
    y = xp.maximum(x, 0.0)

    def pullback(dy: Array) -> Array:
        # Multiplying by the mask is ten times as fast in NumPy as `where` or assignment by the mask.
        mask = xp.astype(y > 0, dy.dtype)
        mask *= dy
        return mask

    return y, pullback


def softmax_cross_entropy(xp: Namespace, scores: Array, y: Array) -> tuple[Array, Array]:
    r"""Return the mean cross-entropy of softmax probabilities, and its gradient.

    With ``P = softmax(scores)`` (4) the loss of one row of label ``y`` is ``-log P_y``, which is
    ``log(sum_j exp(s_j)) - s_y``. Its derivative by ``s_k`` is ``P_k - [k = y]``: the derivative of the
    logarithm of the sum is the softmax itself. Hence for the mean over ``N`` rows

    .. math:: \partial L / \partial scores = (P - Y) / N

    (5) where ``Y`` is the one-hot matrix of the labels. Taken as one function neither the division by
    a small ``P_y`` nor the logarithm of a vanished one ever happens. Subtracting each row's largest
    score first changes nothing but keeps every exponential at or below 1.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    scores
        ``(*nets, batch, classes)``.
    y
        Integer labels ``0 .. classes - 1``: ``(*nets, batch)``, or ``(batch,)`` shared by all
        networks. The range is not checked here; a label outside it matches no class.

    Returns
    -------
    loss : Array
        ``(*nets,)``.
    dscores : Array
        Gradient of each network's loss, shape of ``scores``.
    """
    n, classes = scores.shape[-2:]
    # Tracers of compiled steps have no device; there is only one to choose from then.
    device = getattr(scores, "device", None)
    is_label = xp.arange(classes, dtype=xp.int64, device=device) == y[..., None]
    shifted = scores - xp.max(scores, axis=-1, keepdims=True)
    P = xp.exp(shifted)
    total = xp.sum(P, axis=-1, keepdims=True)
    label_score = xp.sum(xp.where(is_label, shifted, 0.0), axis=-1, keepdims=True)
    loss = xp.sum(xp.log(total) - label_score, axis=(-2, -1)) / n
    P /= total  # (4)
    P -= xp.astype(is_label, P.dtype)
    P /= n  # (5)
    return loss, P
