"""The meaning of a network's outputs (names, labels, scale), and whether it fits the network."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from xpnet.errors import InputError
from xpnet.nn.mlp import MLP
from xpnet.typing import Task

__all__ = ["Link", "check_outputs"]

Link = Literal["identity", "log"]
"""Whether the scores of a regression are the numbers or their logarithms."""


def check_outputs(
    mlp: MLP,
    task: Task,
    class_names: Sequence[str],
    labels: Sequence[Any] | None,
    has_target: bool,
    link: Link = "identity",
) -> None:
    """Refuse names, labels, a target scale or a link that do not fit the outputs of a network.

    Raises
    ------
    InputError
        They do not fit, or the task is unknown.
    """
    outputs, names = mlp.sizes[-1], len(class_names)
    if task not in get_args(Task):
        raise InputError(f"there is no task {task!r}: use {', '.join(get_args(Task))}")
    if outputs != names and (task, outputs, names) != ("classification", 1, 2):
        raise InputError(f"{outputs} outputs, but {names} names: give one name for each output")
    if labels is not None and len(labels) != names:
        raise InputError(f"{len(labels)} labels, but {names} names: give one label for each name")
    if has_target and task != "regression":
        raise InputError(f"a {task} has no mean and scale of targets: leave them out")
    if link not in get_args(Link):
        raise InputError(f"there is no link {link!r}: use {', '.join(get_args(Link))}")
    if link != "identity" and task != "regression":
        raise InputError(f"a {task} has the link 'identity' only: leave link out")
