"""Runs: from settings and a data set to a trained network, to its folder, and back.

`fit` and `load` are the public functions; both return a `run`. `config` holds the settings and `defaults`
their default values; `settings`, `names` and `ranges` declare, spell and check them. `preparation` prepares
the data, `networks` trains one network or a stack, `experiment` measures the result; `carry_out` does all of
that, `beside` for several runs in one loop. `folder`, `model_file` and `checkpoints` read and write the
files.

May import: device, nn, columns, datasets, data, training, reporting, exporters, recipes.
"""
