"""Command lines: each module is one command with its ``main``; `flags`, `console` and `outputs` they share.

Only they print, but for estimators and `TwoLayerNet` with ``verbose``, and the progress on standard error.

May import: everything but the entry points.
"""

__all__ = ["COMMANDS"]

COMMANDS = {
    "train": ("xpnet.commands.train", "train a network and leave a run folder"),
    "evaluate": ("xpnet.commands.evaluate", "measure a trained run, class by class"),
    "predict": ("xpnet.commands.predict", "write classes or probabilities of new rows or images"),
    "export": ("xpnet.commands.export", "write a trained run as ONNX, or as a state dict of PyTorch"),
    "sweep": ("xpnet.commands.sweep", "train a grid of networks at once and rank them"),
    "runs": ("xpnet.commands.runs", "list runs and sweeps, and compare them"),
    "recipe": ("xpnet.commands.recipe", "list settings that are known to work, and print them"),
    "completion": ("xpnet.commands.completion", "print what completes these commands in a shell"),
}
"""The module of each subcommand, imported when it is asked for, and what its help says."""
