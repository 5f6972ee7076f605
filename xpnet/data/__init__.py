"""From rows on the host to batches on a device.

`transforms` (with `pca`) fit, apply and fold preprocessing, `augment` changes images, `batches` says which
rows make up a batch, and `feed` makes it.

May import: device, nn.
"""
