"""An ONNX graph under construction."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Graph"]


class Graph:
    """Nodes and constants; values are identified by name.

    Parameters
    ----------
    taken
        Names of inputs and outputs, which the user sees: no other value gets them.
    opset
        Version of the operators.
    """

    def __init__(self, taken: Collection[str] = (), opset: int = 20) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._taken = frozenset(taken)

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; return the name of its value."""
        from onnx import helper

        output = output or self._free(f"{operator.lower()}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant: integers in int64, all else in ``dtype``. Return its name."""
        array, name = np.asarray(value), self._free(name)
        self.constants[name] = array.astype(np.int64 if array.dtype.kind == "i" else dtype)
        return name

    def initializers(self) -> list[Any]:
        """Return the constants as ONNX holds them."""
        from onnx import numpy_helper

        return [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in self.constants.items()
        ]

    def mean(self, x: str, name: str, axis: int, keepdims: int = 1) -> str:
        """Add the mean along an axis; ``name`` is the name of the constant for the axis."""
        if self.opset < 18:  # where the axes are not an input yet
            return self.node("ReduceMean", x, axes=[axis], keepdims=keepdims)
        axes = self.constant(name, [axis])
        if keepdims:
            return self.node("ReduceMean", x, axes)
        return self.node("ReduceMean", x, axes, keepdims=0)

    def gelu(self, x: str) -> str:
        """Add GELU in its tanh approximation."""
        if self.opset >= 20:
            return self.node("Gelu", x, approximate="tanh")
        cube = self.node("Mul", self.node("Mul", x, x), x)
        inner = self.node("Add", x, self.node("Mul", cube, self.constant("gelu_cube", 0.044715)))
        inner = self.node("Mul", inner, self.constant("gelu_scale", math.sqrt(2 / math.pi)))
        upper = self.node("Add", self.node("Tanh", inner), self.constant("gelu_one", 1.0))
        return self.node("Mul", self.node("Mul", x, self.constant("gelu_half", 0.5)), upper)

    def standardized(self, x: str, name: str, epsilon: float) -> str:
        """Add ``(x - mean(x)) / sqrt(var(x) + epsilon)`` over the last axis.

        It is made of basic operators, because LayerNormalization leaves open how the variance is computed. A
        runtime that computes it from the mean of the squares loses digits of rows with a large mean.
        """
        x = self.node("Sub", x, self.mean(x, "last_axis", -1))
        variance = self.mean(self.node("Mul", x, x), "last_axis", -1)
        variance = self.node("Add", variance, self.constant(f"{name}_epsilon", epsilon))
        return self.node("Div", x, self.node("Sqrt", variance))

    def _free(self, name: str) -> str:
        """Return a name that no input or output has; equal names give equal results."""
        while name in self._taken:
            name += "_"
        return name
