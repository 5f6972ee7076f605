"""What the tests of checkpoints share: a short run that writes them, and all that one ends with."""

import numpy as np
from fits import HERE, learnable, on_host, random_params, sources, train

RUN = {"settings": {"seed": 1, "hidden": (4,)}, "data": "0123abcd"}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def name_of(epoch):
    return f"checkpoint-{epoch:09}.safetensors"


def all_of(fit, device=HERE):
    """All that a result consists of, on the host, by name; of the rows all but the seconds."""
    found = {"losses": np.stack(fit.history.losses), "at": fit.diverged_at, "stopped": fit.stopped_at}
    for kind, arrays in fit.state.items():
        found |= {f"{kind}/{name}": value for name, value in on_host(device, arrays).items()}
    if fit.best is not None:
        found |= {f"best/{name}": value for name, value in on_host(device, fit.best.params).items()}
        found |= {"best": fit.best.value, "best epoch": fit.best.epoch}
    for number, row in enumerate(fit.history.rows):
        found |= {f"{number}/{name}": value for name, value in row._asdict().items() if name != "seconds"}
    return found


def run_with(checkpoints, **changes):
    params = random_params(np.random.default_rng(7))
    options = {"num_steps": 22, "sources": sources(8), "monitor": "val_loss"} | changes
    return train(HERE, params, learnable(), on_fit=checkpoints.on_fit, **options)
