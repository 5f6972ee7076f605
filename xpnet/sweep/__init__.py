"""Sweeps: many networks trained at once, stacked along a leading axis.

``grid``, ``ablation`` and ``random`` make the points, ``configs`` the settings of each network, and ``run``
trains them::

    from xpnet import sweep
    from xpnet.runs.config import Config

    points = sweep.grid({"learning_rate": [1e-2, 2e-2], "reg": [1e-3, 1e-2]})
    result = sweep.run(sweep.configs(points, Config()))
    result.rows[0]["val_score"]

`search` is the public function. `space` makes the points, `plan` divides them into stacks, and `runner`
trains these by `workers` here or elsewhere. `store` saves the results, which `table`, `report`, `plots` and
`learning` show and from which `ensembles` chooses.

May import: device, nn, datasets, data, training, reporting, runs.
"""

from xpnet.sweep.runner import Sweep, run
from xpnet.sweep.space import Choice, LogUniform, Uniform, ablation, configs, grid, random

__all__ = ["Choice", "LogUniform", "Sweep", "Uniform", "ablation", "configs", "grid", "random", "run"]
