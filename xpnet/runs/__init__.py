"""Runs: from settings and a data set to a trained network, to its folder, and back.

`fit` and `load` are the front door, `run` is what both give. `config` holds the settings, `defaults` what
they are where nobody says; `settings`, `names` and `ranges` are how any of them is declared, spelt and
checked. `preparation` makes the data ready, `networks` trains one or a stack, `experiment` measures what came
of it; `carry_out` does all of that, `beside` for several runs in one loop. `folder`, `model_file` and
`checkpoints` are what lies on disk.

May import: device, nn, columns, datasets, data, training, reporting, exporters, recipes.
"""
