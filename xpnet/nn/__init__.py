"""The mathematics of a network: pure functions of arrays and of ``xp``, the namespace that they belong to.

`layers`, `activations`, `norms` and `losses` give a value and its pullback; `mlp` describes a network,
`backprop` composes it and derives its gradients, `solvers` turn gradients into steps, `noise` drops units.

May import: nothing but the ground.
"""
