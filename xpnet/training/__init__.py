"""Training: one loop for one network or a stack of them, whoever asks for it.

`loop.fit` is the loop. What may differ is handed to it: how to train (`regime`), which rows and rates come
when (`draws`, `schedules`), when to stop (`stopping`). `step` is one step, `evaluation` measures, `history`
is what a run leaves.

May import: device, nn, data.
"""
