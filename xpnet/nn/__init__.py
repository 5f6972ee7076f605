"""The mathematics of networks: pure functions of arrays and of ``xp``, their namespace.

`layers`, `activations` and `norms` return a value and its pullback, `losses` a value and its gradient. `mlp`
describes a network, `backprop` composes it and computes its gradients, `penalty` computes the L2 penalty,
`solvers` turn gradients into steps, and `noise` draws the random bits of dropout. `composites` marks
functions that a device may fuse.

May import: nothing but the ground.
"""
