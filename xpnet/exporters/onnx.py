"""ONNX: a graph from raw float32 rows to scores, probabilities and labels or to numbers, for any runtime.

The graph computes as the model does, preprocessing, ensemble and averaging over views included. It is put
together from the operators of opset 20, in float32 with the constants computed in float64. Numbers in units
of a target are float64: where its mean is large against its deviation, float32 would lose their digits.
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
from xpnet.training.model import Model

__all__ = ["export", "graph_of"]

OPSET = 20  # the first with Gelu; onnxruntime has it since 1.17
IR_VERSION = 9  # what came with that opset: a later one would shut out runtimes for no use

_INT64, _DOUBLE = 7, 11  # TensorProto.DataType of the format

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
    ``probabilities``, float32, and ``label``, int64: what `Model.scores`, `Model.probabilities` and
    `Model.predict` return, in the same shapes. Of a regression it is ``numbers``, ``(rows, outputs)``.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ModuleNotFoundError as error:
        raise InputError('--format onnx needs the package onnx: pip install "xpnet[onnx]"') from error

    graph = _Graph()
    outputs = []
    for name, (value, dtype, shape) in _outputs(graph, model, _forward(graph, model)).items():
        graph.node("Identity", value, output=name)
        outputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape))
    size = sum(array.nbytes for array in graph.constants.values())
    if size > MOST_BYTES:
        raise InputError(
            f"the model has {size / 2**30:.1f} GiB and an ONNX file holds less than 2: use --format torch"
        )
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "xpnet",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", model.num_features])],
            outputs,
            graph.initializers(),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="xpnet",
        producer_version=__version__,
    )
    about = {name: getattr(model, name) for name in ("task", "class_names", "labels", "image_shape")}
    helper.set_model_props(
        proto, {name: json.dumps(value, default=np.generic.item) for name, value in about.items()}
    )
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

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant: integers in int64, all else in ``dtype``. Return its name."""
        array = np.asarray(value)
        self.constants[name] = array.astype(np.int64 if array.dtype.kind == "i" else dtype)
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


def _forward(graph: _Graph, model: Model) -> str:
    """Add the nodes from ``X`` to the scores of the network, or the networks; return these."""
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
    return x


def _outputs(graph: _Graph, model: Model, x: str) -> dict[str, tuple[str, Any, list[Any]]]:
    """Add the nodes behind the scores; return value, dtype and shape of each output."""
    views, count = view_columns(model), model.mlp.sizes[-1]
    P = x
    if model.output == "softmax":
        P = graph.node("Softmax", x, axis=-1)
    elif model.output == "logistic":
        P = graph.node("Sigmoid", x)
    if model.networks is not None:
        P = graph.node("ReduceMean", P, graph.constant("networks_axis", [0]), keepdims=0)
    if views is not None:
        P = graph.node("Reshape", P, graph.constant("views_shape", [-1, len(views), count]))
        P = graph.node("ReduceMean", P, graph.constant("views_axis", [1]), keepdims=0)
    if model.task == "regression":
        return {"numbers": _in_units(graph, model, P)}

    scores = P if model.is_averaged else x
    if model.output == "softmax":
        label = graph.node("ArgMax", scores, axis=-1, keepdims=0)
        scores = graph.node("Log", P) if model.is_averaged else x
    else:
        not_P = graph.node("Sub", graph.constant("one", 1.0), P)
        if model.is_averaged:
            scores = graph.node("Sub", graph.node("Log", P), graph.node("Log", not_P))
        label = graph.node("Greater", scores, graph.constant("zero", 0.0))
        label = graph.node("Cast", label, to=_INT64)
        if model.task == "classification":  # one output for two classes
            label = graph.node("Squeeze", label, graph.constant("outputs_axis", [1]))
            P = graph.node("Concat", not_P, P, axis=1)
    columns = [count] if model.task == "multilabel" else []
    return {
        "scores": (scores, np.dtype(np.float32), ["rows", count]),
        "probabilities": (P, np.dtype(np.float32), ["rows", len(model.class_names)]),
        "label": (label, np.dtype(np.int64), ["rows", *columns]),
    }


def _in_units(graph: _Graph, model: Model, x: str) -> tuple[str, Any, list[Any]]:
    """Return the numbers of a network in units of the target."""
    dtype = np.dtype(np.float32 if model.target is None else np.float64)
    if model.target is not None:
        x = graph.node("Cast", x, to=_DOUBLE)
        x = graph.node("Mul", x, graph.constant("target_scale", model.target.scale, dtype))
        x = graph.node("Add", x, graph.constant("target_mean", model.target.mean, dtype))
    return x, dtype, ["rows", model.mlp.sizes[-1]]
