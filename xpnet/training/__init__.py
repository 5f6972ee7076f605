"""Training: one loop for one network or a stack of them, whoever asks for it, and the model that comes of it.

`loop.fit` is the loop. What may differ is handed to it: how to train (`regime`), how fast (`schedules`),
which rows and keys come when (`draws`), when to stop (`stopping`). `step` is one step, `measuring` what an
epoch has come to (by `evaluation`), `divergence` goes back to the last finite state, `ending` is the clock,
`interrupt` Ctrl-C, `history` what was measured, `result` what is left. `monitors` choose the best epoch by
one of the `measures` of predictions. `model` takes raw rows (`raw_rows` checks them) and predicts; `scoring`
says how often it is right, and `intervals` how far off a number may be.

May import: device, nn, columns, datasets, data.
"""
