"""From rows on the host to batches on a device.

`transforms` (with `pca`) fits, applies and folds preprocessing; `augment` changes images; `weights` handles
row and class weights; `batches` draws the rows of each batch, and `feed` assembles it.

May import: device, nn, datasets.
"""
