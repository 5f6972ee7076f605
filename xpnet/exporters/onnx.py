"""ONNX: a graph from raw float32 rows to scores, probabilities and labels, which any runtime runs.

The graph computes as the model does, preprocessing, ensemble and averaging over views included. It is put
together from the operators of opset 20, in float32 with the constants computed in float64.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet import __version__
from xpnet.device import to_numpy
from xpnet.errors import InputError
from xpnet.exporters.first_layer import first_layer, view_columns
from xpnet.files import replacing
from xpnet.nn import norms
from xpnet.nn.activations import SLOPE
from xpnet.runs.model import Model

__all__ = ["export", "graph_of"]

OPSET = 20  # the first with Gelu; onnxruntime has it since 1.17
IR_VERSION = 9  # what came with that opset: a later one would shut out runtimes for no use

MOST_BYTES = 2**31 - 2**20
"""A protocol buffer holds less than 2 GiB."""


def export(model: Model, path: Path) -> None:
    """Write a model as an ONNX file.

    Parameters
    ----------
    model
        The model.
    path
        The file to make or to replace.

    Raises
    ------
    InputError
        The package onnx is missing, or the model is too large for such a file.
    OSError
        The file cannot be written.
    """
    content = graph_of(model).SerializeToString()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def graph_of(model: Model) -> Any:
    """Return a model as an ``onnx.ModelProto``; parameters and errors as in `export`.

    Its input is ``X``, float32 ``(rows, features)`` with any number of rows. Its outputs are ``scores`` and
    ``probabilities``, float32 ``(rows, classes)``, and ``label``, int64 ``(rows,)``: what `Model.scores`,
    `Model.probabilities` and `Model.predict` return.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ModuleNotFoundError as error:
        raise InputError('--format onnx needs the package onnx: pip install "xpnet[onnx]"') from error

    graph = _Graph()
    last = _forward(graph, model)
    for name, value in last.items():
        graph.node("Identity", value, output=name)
    size = sum(array.nbytes for array in graph.constants.values())
    if size > MOST_BYTES:
        raise InputError(
            f"the model has {size / 2**30:.1f} GiB and an ONNX file holds less than 2: use --format torch"
        )
    num_classes = len(model.class_names)
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "xpnet",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", model.num_features])],
            [
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", num_classes]),
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", num_classes]),
                helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            ],
            graph.initializers(),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="xpnet",
        producer_version=__version__,
    )
    about = {"class_names": model.class_names, "image_shape": model.image_shape}
    helper.set_model_props(proto, {name: json.dumps(value) for name, value in about.items()})
    checker.check_model(proto, full_check=True)
    return proto


class _Graph:
    """Nodes and constants of a graph while it is put together; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node; return the name of its value."""
        from onnx import helper

        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Add a constant: integers in int64, all else in float32. Return its name."""
        array = np.asarray(value)
        self.constants[name] = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        return name

    def initializers(self) -> list[Any]:
        """Return the constants as ONNX holds them."""
        from onnx import numpy_helper

        return [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in self.constants.items()
        ]

    def standardized(self, x: str, name: str, epsilon: float) -> str:
        """Add ``(x - mean(x)) / sqrt(var(x) + epsilon)`` over the last axis.

        Spelt out: the operator LayerNormalization leaves open how the variance is computed, and where that
        is by the mean of the squares it loses the digits of rows whose mean is large.
        """
        axes = self.constant("last_axis", [-1])
        x = self.node("Sub", x, self.node("ReduceMean", x, axes))
        variance = self.node("ReduceMean", self.node("Mul", x, x), axes)
        variance = self.node("Add", variance, self.constant(f"{name}_epsilon", epsilon))
        return self.node("Div", x, self.node("Sqrt", variance))


ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "relu": lambda graph, x: graph.node("Relu", x),
    "leaky-relu": lambda graph, x: graph.node("LeakyRelu", x, alpha=SLOPE),
    "gelu": lambda graph, x: graph.node("Gelu", x, approximate="tanh"),
    "silu": lambda graph, x: graph.node("Mul", x, graph.node("Sigmoid", x)),
    "tanh": lambda graph, x: graph.node("Tanh", x),
    "logistic": lambda graph, x: graph.node("Sigmoid", x),
    "identity": lambda _, x: x,
}


def _forward(graph: _Graph, model: Model) -> dict[str, str]:
    """Add all nodes; return the value of each output."""
    mlp, first = model.mlp, first_layer(model)
    params = {name: np.asarray(to_numpy(value), np.float64) for name, value in model.params.items()}
    params |= {"W1": first.W, "b1": first.b}

    def constant(name: str, value: NDArray[Any] | None = None) -> str:
        """A parameter ``(*nets, units)`` gets an axis for the rows."""
        array = params[name] if value is None else value
        return graph.constant(name, array if name.startswith("W") else array[..., None, :])

    def affine(x: str, i: str) -> str:
        return graph.node("Add", graph.node("MatMul", x, constant(f"W{i}")), constant(f"b{i}"))

    def norm(x: str, i: int) -> str:
        if mlp.norm == "none":
            return x
        gain = params[f"g{i}"]
        if mlp.norm == "batch":
            x = graph.node("Sub", x, constant(f"m{i}"))
            gain = gain / np.sqrt(params[f"v{i}"] + norms.EPSILON)
        else:
            x = graph.standardized(x, f"norm{i}", norms.EPSILON)
        x = graph.node("Mul", x, constant(f"g{i}", gain))
        return graph.node("Add", x, constant(f"s{i}"))

    def activate(x: str) -> str:
        return ACTIVATIONS[mlp.activation](graph, x)

    x = "X"
    views = view_columns(model)
    if views is not None:  # each row becomes several, one after the other
        x = graph.node("Gather", x, graph.constant("views", views.ravel()), axis=1)
        x = graph.node("Reshape", x, graph.constant("row_shape", [-1, model.num_features]))
    if first.contrast is not None:
        x = graph.standardized(x, "contrast", first.contrast)
    if first.mean is not None:
        x = graph.node("Sub", x, graph.constant("mean", first.mean))
    x = affine(x, "1")
    for i in range(2, mlp.depth + 1):
        if not mlp.residual:
            x = affine(activate(norm(x, i - 1)), f"{i}")
        elif i < mlp.depth:
            x = graph.node("Add", x, affine(activate(affine(norm(x, i), f"{i}a")), f"{i}b"))
        else:
            x = affine(norm(x, i), f"{i}")
    P = graph.node("Softmax", x, axis=-1)
    if model.networks is not None:
        P = graph.node("ReduceMean", P, graph.constant("networks_axis", [0]), keepdims=0)
    if views is not None:
        shape = [-1, len(views), len(model.class_names)]
        P = graph.node("Reshape", P, graph.constant("views_shape", shape))
        P = graph.node("ReduceMean", P, graph.constant("views_axis", [1]), keepdims=0)
    averaged = model.networks is not None or views is not None
    scores = graph.node("Log", P) if averaged else x
    label = graph.node("ArgMax", P if averaged else x, axis=-1, keepdims=0)
    return {"scores": scores, "probabilities": P, "label": label}
