"""Names of settings: how they are spelt as flags, and what is meant by a name that is none."""

import difflib
from collections.abc import Collection

__all__ = ["did_you_mean", "flag"]

_OURS = {
    "activation": ("act", "hidden_activation", "nonlinearity"),
    "batch_size": ("batch", "batchsize", "bs", "minibatch_size"),
    "data_dir": ("data_path", "root"),
    "dataset": ("data",),
    "device": ("accelerator", "gpu"),
    "dropout": ("drop", "dropout_rate"),
    "epochs": ("epoch", "max_epochs", "max_iter", "n_epochs", "num_epochs"),
    "hidden": ("hidden_layer_sizes", "hidden_size", "hidden_sizes", "layers", "units"),
    "iterations": ("max_steps", "n_steps", "num_iters", "num_steps", "steps"),
    "learning_rate": ("eta", "learning_rate_init", "lr"),
    "loss": ("criterion", "objective"),
    "monitor": ("metric", "metrics", "scorer", "scoring"),
    "norm": ("batch_norm", "batchnorm", "layer_norm", "normalization"),
    "out": ("log_dir", "logdir", "output", "output_dir"),
    "patience": ("early_stopping", "n_iter_no_change"),
    "preprocess": ("preprocessing", "scaler"),
    "quiet": ("silent", "verbose"),
    "reg": ("alpha", "l2", "l2_reg"),
    "schedule": ("lr_schedule", "lr_scheduler", "scheduler"),
    "seed": ("random_seed", "random_state"),
    "solver": ("opt", "optim", "optimiser", "optimizer"),
    "weight_decay": ("decay", "wd"),
}
_OTHER_NAMES = {other: ours for ours, others in _OURS.items() for other in others}
"""What people know from other tools, and what it is called here."""


def flag(name: str) -> str:
    """Return the command-line flag of a setting: ``--batch-size`` for ``batch_size``."""
    return "--" + name.replace("_", "-")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return what to add to a message about an unknown word; nothing if none is like it.

    Parameters
    ----------
    word
        A setting's name or flag as someone wrote it, perhaps as another tool has it.
    known
        The names or the flags that there are.
    """
    word = word.partition("=")[0]
    ours = _OTHER_NAMES.get(word.lstrip("-").replace("-", "_").lower(), "")
    close = [name for name in (ours, flag(ours)) if name in known]
    close = close or difflib.get_close_matches(word, known, n=1)
    return f": did you mean {close[0]}?" if close else ""
