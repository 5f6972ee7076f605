"""From rows on the host to batches on a device.

`transforms` (with `pca`) fit, apply and fold preprocessing, `augment` changes images, `weights` are those of
rows and classes, `batches` says which rows make up a batch, and `feed` makes it.

May import: device, nn, datasets.
"""
