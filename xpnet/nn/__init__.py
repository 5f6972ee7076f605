"""The mathematics of a network: pure functions of arrays and of ``xp``, the namespace that they belong to.

`layers`, `activations` and `norms` give a value and its pullback, `losses` a value and its gradient; `mlp`
describes a network, `backprop` composes it and derives its gradients, `penalty` keeps its weights small,
`solvers` turn gradients into steps, `noise` makes the bits by which units are dropped. `composites` marks
what a device may do in one go.

May import: nothing but the ground.
"""
