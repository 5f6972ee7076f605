"""Command lines: one module with a ``main`` for each command, and modules that they share, such as `flags`.

Only commands print, except estimators and `TwoLayerNet` with ``verbose``, and progress on standard error.

May import: everything but the entry points.
"""

__all__ = ["COMMANDS"]

COMMANDS = {
    "train": ("xpnet.commands.train", "train a network and save it in a run folder"),
    "evaluate": ("xpnet.commands.evaluate", "evaluate a trained run on its test rows or on new data"),
    "predict": ("xpnet.commands.predict", "predict new rows or images with a trained run"),
    "export": ("xpnet.commands.export", "export a trained run to ONNX or PyTorch"),
    "sweep": ("xpnet.commands.sweep", "train many networks at once and rank them"),
    "runs": ("xpnet.commands.runs", "list runs and sweeps, and compare them"),
    "recipe": ("xpnet.commands.recipe", "list the recipes (settings known to work) or print one"),
    "completion": ("xpnet.commands.completion", "print a script for shell completion"),
}
"""The module of each subcommand, imported when the subcommand is used, and its line in the help."""
