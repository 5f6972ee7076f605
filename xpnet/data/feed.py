"""From training rows in memory to a batch: gather, augment, prepare, mix; all on the device."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from xpnet.data.augment import Augmentation, augment
from xpnet.data.host_rows import HostRows
from xpnet.typing import Array, Namespace, Share

__all__ = ["Feed", "mix", "take_rows"]


@dataclass(frozen=True)
class Feed:
    """Training rows on the device, and how to make batches of them.

    Attributes
    ----------
    X
        ``(rows, features)``: preprocessed for the network, or raw, with a ``prepare``. Images to be augmented
        stay raw, at a quarter of the size, and are preprocessed batch by batch. `HostRows` stay on the host.
    y
        Labels ``(rows,)``, in a smaller dtype than int64 if X is on disk; or a number for each output,
        ``(rows, outputs)``.
    prepare
        Function from raw rows to preprocessed rows, or None.
    augmentation
        The augmentation of each batch of raw rows.
    image_shape
        Height, width and channels; needed for augmentation.
    fill
        ``(features,)``: the raw image whose pixels fill cutouts.
    weight
        Weights of the rows ``(rows,)``, 0 or more; None if all are the same. Training rows have mean weight 1
        (`xpnet.data.weights.relative`), because the loss of a batch is ``Σ weight · loss`` over its rows,
        unless `xpnet.training.regime.Regime.weighs_by_batch`.
    own
        ``(nets, n)``, integers: for a stack, the numbers of the rows of each network, which may repeat; None
        if every network has all rows.
    """

    X: Array = field(repr=False)
    y: Array = field(repr=False)
    prepare: Callable[[Array], Array] | None = field(default=None, repr=False)
    augmentation: Augmentation = field(default_factory=Augmentation)
    image_shape: tuple[int, int, int] | None = None
    fill: Array | None = field(default=None, repr=False)
    weight: Array | None = field(default=None, repr=False)
    own: Array | None = field(default=None, repr=False)

    @property
    def num_rows(self) -> int:
        """Number of rows of a network."""
        return int(self.X.shape[0] if self.own is None else self.own.shape[-1])

    @property
    def on_host(self) -> bool:
        """Whether the rows of each batch come from the host."""
        return isinstance(self.X, HostRows)

    @property
    def on_disk(self) -> bool:
        """Whether the rows of each batch come from disk."""
        return isinstance(self.X, HostRows) and self.X.on_disk

    @property
    def blocks(self) -> Array | None:
        """Sizes of the blocks of rows, if rows can only be read a block at a time; else None."""
        return self.X.rows.blocks if self.on_disk else None

    @property
    def buffer(self) -> int:
        """Number of rows that are shuffled together if there are blocks."""
        return int(self.X.rows.buffer) if self.on_disk else 0

    def index(self, xp: Namespace, drawn: Array) -> Array:
        """Return the numbers in ``X`` of rows drawn for each network, ``(steps, [nets,] batch)``."""
        if self.own is None:
            return drawn
        nets, rows = self.own.shape
        if drawn.ndim == 2:  # the same draws for every network
            drawn = drawn[:, None, :]
        first = xp.arange(nets, dtype=drawn.dtype, device=getattr(drawn, "device", None)) * rows
        return take_rows(xp, xp.reshape(self.own, (-1,)), drawn + first[:, None])

    def rows(self, xp: Namespace, index: Array) -> tuple[Array, Array]:
        """Return the rows of an index, not augmented, and their labels, for an evaluation."""
        x = take_rows(xp, self.X, index)
        return self.prepare(x) if self.prepare else x, self.targets(xp, index)

    def of(self, xp: Namespace, network: int) -> "Feed":
        """Return the feed of one network of a stack, as it would be for that network alone."""
        if self.own is None:
            return self
        index = self.own[network, :]
        X = self.X.chosen(index) if isinstance(self.X, HostRows) else xp.take(self.X, index, axis=0)
        weight = None if self.weight is None else xp.take(self.weight, index, axis=0)
        return replace(self, X=X, y=xp.take(self.y, index, axis=0), weight=weight, own=None)

    def some(self, xp: Namespace, networks: Array) -> "Feed":
        """Return the feed for some networks of a stack, given their index."""
        return self if self.own is None else replace(self, own=xp.take(self.own, networks, axis=0))

    def batch(
        self,
        xp: Namespace,
        index: Array,
        key: Array | None = None,
        share: Share | None = None,
        rows: Array | None = None,
    ) -> tuple[Array, Array]:
        """Return the rows of an index, augmented, and their labels.

        Parameters
        ----------
        xp
            Array API namespace of the arrays.
        index
            ``(batch,)`` or ``(*nets, batch)``.
        key
            Key of the augmentation, int32: ``()`` or ``(*nets,)``, like ``index``.
        share
            The rows of the batch to return; all by default.
        rows
            The raw rows, if they have already been read.

        Returns
        -------
        x : Array
            ``(batch, inputs)`` or ``(*nets, batch, inputs)``.
        y : Array
            Labels, in the shape of ``index``.
        """
        index = index if share is None else share.of(index)
        x = take_rows(xp, self.X, index) if rows is None else rows
        if self.augmentation and self.image_shape is not None:
            x = augment(xp, self.augmentation, x, self.image_shape, key, self.fill, share)
        return self.prepare(x) if self.prepare else x, self.targets(xp, index)

    def targets(self, xp: Namespace, index: Array) -> Array:
        """Return the targets of the rows of an index, in its shape."""
        y = take_rows(xp, self.y, index)
        # Labels of rows on disk may have a smaller dtype.
        return xp.astype(y, xp.int64) if self.on_disk and xp.isdtype(y.dtype, "signed integer") else y

    def weights(self, xp: Namespace, index: Array) -> Array | None:
        """Return the weights of the rows of an index, in its shape; None if all are the same."""
        return None if self.weight is None else take_rows(xp, self.weight, index)


def mix(
    xp: Namespace, x: Array, Y: Array, share: Array, others: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Mix each row of a batch, and its target, with another one (MixUp).

    The result is ``share · row + (1 - share) · partner`` (Zhang et al. 2018,
    https://arxiv.org/abs/1710.09412). Because the order of a batch is random, the partners are simply its
    rows in reverse order.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    x, Y
        Rows ``(*nets, batch, features)`` and soft targets ``(*nets, batch, classes)``.
    share
        Share of each row in its mixture, in [0, 1], ``(*nets,)``.
    others
        If ``x`` and ``Y`` are only a part of the batch, the rows and targets of the part at the same distance
        from its end.
    """
    share = share[..., None, None]
    partners = others or (x, Y)

    def mixed(a: Array, partner: Array) -> Array:
        return a * share + xp.flip(partner, axis=-2) * (1.0 - share)

    return mixed(x, partners[0]), mixed(Y, partners[1])


def take_rows(xp: Namespace, a: Array, index: Array) -> Array:
    """Return ``a[index]`` for an index of any shape."""
    if index.ndim > 1:  # the standard's `take` supports only 1-D indices
        rows = take_rows(xp, a, xp.reshape(index, (-1,)))
        return xp.reshape(rows, (*index.shape, *a.shape[1:]))
    return a.take(index) if isinstance(a, HostRows) else xp.take(a, index, axis=0)
