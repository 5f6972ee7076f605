"""Training: one loop for a single network or a stack, used everywhere, and the resulting model.

`loop.fit` is the loop. What may differ is passed in: hyper-parameters (`regime`), learning rates
(`schedules`), random draws (`draws`), early stopping (`stopping`). `step` is one training step, `measuring`
measures an epoch (by `evaluation`), `divergence` restores the last finite state, `ending` keeps the time
limit, `interrupt` handles Ctrl-C, `history` records, and `result` is returned. `monitors` choose the best
epoch by one of the `measures` of predictions. `model` predicts from raw rows (checked by `raw_rows`),
`scoring` scores its predictions, and `intervals` computes prediction intervals.

May import: device, nn, columns, datasets, data.
"""
