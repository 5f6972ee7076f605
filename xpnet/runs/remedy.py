"""What to do after training has diverged, or was interrupted."""

from xpnet.runs.checkpoints import has_checkpoint
from xpnet.runs.config import Config
from xpnet.runs.names import flag
from xpnet.runs.run import Run
from xpnet.text import name_of
from xpnet.training.out_of_scale import OutOfScale

__all__ = ["after_interruption", "remedy", "remedy_of_many"]


def remedy(run: Run) -> str:
    """Return a message for a run that diverged: what to change, and where to find the last parameters."""
    config = run.config
    change = _scaling(config, run.out_of_scale)
    if not change:
        name = "learning_rate"
        if config.weight_decay > 1 and config.learning_rate * config.weight_decay > 2:
            name = "weight_decay"
        elif run.diverged_at == 1 and config.reg <= 1:
            name = "init_std"
        elif config.learning_rate_decay > 1:
            name = "learning_rate_decay"
        elif config.learning_rate * config.reg > 1 and config.reg > 1:
            name = "reg"
        change = f"lower {flag(name)}, which is {getattr(config, name)}"
        change += ", or scale the data" if run.diverged_at == 1 else ""
    kept = "kept" if run.folder is None else f"in {run.folder}"
    return f"training diverged at step {run.diverged_at}: {change}; parameters from before that are {kept}"


def after_interruption(run: Run) -> str:
    """Return a warning for Python that a run was interrupted, what is kept of it, and how to continue."""
    last = run.history.rows[-1]
    when = f"after epoch {last.epoch}" if last.epoch else f"in the first epoch, after step {last.step}"
    networks, that, best = "network", "that", "the best epoch"
    if run.config.ensemble > 1:
        networks, that, best = "networks", "those", "their best epochs"
    if run.best is not None and run.config.patience is not None:
        kept = f"{networks} of {best} so far"
    else:
        kept = f"{networks} reached so far"
        kept += "" if run.best is None else f", and run.best {that} of {best}"
    if run.folder is None:
        onwards = "fit again to train to the end; with a folder (out=), a run can be continued (resume=)"
    elif has_checkpoint(run.folder):
        onwards = f"fit the same data with resume={name_of(run.folder)!r} to continue from there"
    else:
        onwards = f"no epoch was complete, so resume={name_of(run.folder)!r} starts over"
    return f"training was interrupted {when}: run.model holds the {kept}; {onwards}"


def remedy_of_many(config: Config, wrong: OutOfScale | None) -> str:
    """Return what to change if all networks of a sweep diverged; ``config`` is that of the first."""
    return _scaling(config, wrong) or f"lower {flag('learning_rate')}"


def _scaling(config: Config, wrong: OutOfScale | None) -> str:
    """Return what to scale, and by which setting; ``""`` if the scale is not the problem."""
    if wrong is not None and wrong.what == "y" and not config.standardize_target:
        return f"{wrong.figures}, so leave out --no-standardize-target"
    if wrong is not None and wrong.what == "X" and config.preprocess in ("none", "mean"):
        return f"{wrong.figures}, so use {flag('preprocess')} standardize"
    return ""
