"""Runs: from settings and a data set to a trained model, to its folder, and back.

`config` holds the settings, `preparation` the data ready to train on, `experiment` trains, `model` predicts;
`model_file`, `folder` and `checkpoints` keep them on disk.

May import: device, nn, datasets, data, training, reporting, exporters, recipes.
"""
