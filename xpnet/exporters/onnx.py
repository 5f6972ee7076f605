"""ONNX: a graph from raw rows to scores, probabilities and labels or to numbers, for any runtime.

The graph computes the same as the model, with preprocessing, ensemble and averaging over views. It uses the
operators of opset 20, or of another from 13 on. It computes in float32; its constants were computed in
float64. Numbers in units of a target are float64, because float32 would lose digits if the target's mean is
large relative to its deviation. Columns of a table are float64, too, while they are standardised and, for a
float64 model, encoded.
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
from xpnet.exporters.first_layer import first_layer, in_float64, view_columns
from xpnet.exporters.onnx_graph import Graph
from xpnet.exporters.onnx_table import ML_DOMAIN, Input, encode, inputs_of, matrix_of
from xpnet.files import replacing
from xpnet.nn import norms
from xpnet.nn.activations import SLOPE
from xpnet.training.model import Model
from xpnet.values import Kind, between

__all__ = ["export", "graph_of"]

OPSET = 20  # the first with Gelu; onnxruntime has it since 1.17
LEAST_OPSET = 13  # Softmax and Squeeze were different before
ML_OPSET = 3  # LabelEncoder maps text to numbers since 2; 4 changed it

_FLOAT, _INT64, _STRING, _DOUBLE = 1, 7, 8, 11  # TensorProto.DataType of the format

MOST_BYTES = 2**31 - 2**20
"""Maximum size of the constants: a protocol buffer holds less than 2 GiB."""


def export(model: Model, path: Path, opset: int | None = None) -> None:
    """Write a model as an ONNX file.

    Parameters
    ----------
    model
        The model.
    path
        The file to create or replace.
    opset
        ONNX opset version, from 13 to the latest that the package onnx knows; 20 by default.

    Raises
    ------
    InputError
        The package onnx is missing or does not know the opset, or the model is too large for such a file.
    OSError
        The file cannot be written.
    """
    content = graph_of(model, opset).SerializeToString()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def graph_of(model: Model, opset: int | None = None) -> Any:
    """Return a model as an ``onnx.ModelProto``; parameters and errors as in `export`.

    The input is ``X`` ``(rows, features)``, with any number of rows. It is float32, or float64 if float32
    could not tell the training rows apart. For a table of numbers without names, NaN is a gap.

    For any other table, there is an input ``(rows, 1)`` for each column, with the column's name. If an output
    has this name, ``_`` is appended. Numbers and the parts of dates are float64, as in `Columns.matrix`:
    booleans are 0 and 1, durations are in days, dates in days since 1970 and the like; NaN is a gap.
    Categories are strings; the ones in `xpnet.columns.words.GAPS`, such as ``""`` and ``"nan"``, are gaps. A
    category may be spelt in the ways in which libraries write it: 1 as ``1.0``, true as ``True``, and with a
    space before or after. Any other text is an unknown category, such as ``01`` for 1.

    The outputs are ``scores`` and ``probabilities``, float32, and ``label``, int64: what `Model.scores`,
    `Model.probabilities` and `Model.predict` return, in the same shapes. For a regression, the only output is
    ``numbers`` ``(rows, outputs)``.

    The file's metadata say what the numbers mean, in JSON: ``task``, ``class_names``, ``labels``,
    ``image_shape`` and, for a table, ``inputs``, with the user's column for each input, its kind, and which
    part of a date it is.
    """
    try:
        from onnx import checker, defs, helper
    except ModuleNotFoundError as error:
        raise InputError('--format onnx needs the package onnx: pip install "xpnet[onnx]"') from error

    opset = OPSET if opset is None else Kind.of(int).take("--opset", opset)
    between(LEAST_OPSET, int(defs.onnx_opset_version())).check("--opset", opset)
    names = ("numbers",) if model.task == "regression" else ("scores", "probabilities", "label")
    inputs = inputs_of(model, names)
    graph = Graph({*names, *(of.name for of in inputs)}, opset)
    opsets = [helper.make_opsetid(domain, version) for domain, version in _opsets(inputs, opset).items()]
    outputs = []
    found = _outputs(
        graph, model, _forward(graph, model, matrix_of(graph, inputs), inputs[0].column is not None)
    )
    for name, (value, dtype, shape) in zip(names, found, strict=True):
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
            [
                helper.make_tensor_value_info(
                    of.name,
                    _type_of(model, of),
                    ["rows", of.width],
                )
                for of in inputs
            ],
            outputs,
            graph.initializers(),
        ),
        opset_imports=opsets,
        # The oldest version that has these opsets: a later one would needlessly exclude runtimes.
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="xpnet",
        producer_version=__version__,
    )
    helper.set_model_props(proto, _about(model, inputs))
    checker.check_model(proto, full_check=True)
    return proto


def _type_of(model: Model, of: Input) -> int:
    """Return the type of an input: double if float32 would lose digits before preprocessing."""
    if of.is_text:
        return _STRING
    return _FLOAT if of.column is None and not model.preprocessing.exact else _DOUBLE


def _opsets(inputs: list[Input], opset: int) -> dict[str, int]:
    """Return the version of each set of operators that the graph needs."""
    return {"": opset} | ({ML_DOMAIN: ML_OPSET} if any(of.is_text for of in inputs) else {})


def _about(model: Model, inputs: list[Input]) -> dict[str, str]:
    """Return the metadata of the file, in JSON."""
    about = {name: getattr(model, name) for name in ("task", "class_names", "labels", "image_shape")}
    if inputs[0].column is not None:
        about["inputs"] = [of.as_json() for of in inputs]
    return {name: json.dumps(value, default=np.generic.item) for name, value in about.items()}


ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "relu": lambda graph, x: graph.node("Relu", x),
    "leaky-relu": lambda graph, x: graph.node("LeakyRelu", x, alpha=SLOPE),
    "gelu": lambda graph, x: graph.gelu(x),
    "silu": lambda graph, x: graph.node("Mul", x, graph.node("Sigmoid", x)),
    "soft-abs": lambda graph, x: graph.node("Mul", x, graph.node("Tanh", x)),
    "tanh": lambda graph, x: graph.node("Tanh", x),
    "logistic": lambda graph, x: graph.node("Sigmoid", x),
    "identity": lambda _, x: x,
}


def _forward(graph: Graph, model: Model, x: str, of_columns: bool) -> str:
    """Add the nodes from raw rows ``x`` to the scores of the network or networks; return these.

    Rows that come from columns (``of_columns``) are doubles.
    """
    mlp, first = model.mlp, first_layer(model)
    params = {name: np.asarray(to_numpy(value), np.float64) for name, value in model.params.items()}
    params |= {"W1": first.W, "b1": first.b}

    def constant(name: str, value: NDArray[Any] | None = None) -> str:
        """Add a parameter; one of shape ``(*nets, units)`` gets an axis for the rows."""
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

    views = view_columns(model)
    if views is not None:  # each row becomes several, one after the other
        x = graph.node("Gather", x, graph.constant("views", views.ravel()), axis=1)
        x = graph.node("Reshape", x, graph.constant("row_shape", [-1, model.num_features]))
    if model.preprocessing.kind == "table":
        x = encode(graph, model, x)
    elif exactly := in_float64(model):
        x = graph.node("Sub", x, graph.constant("mean", exactly[0], np.float64))
        x = graph.node("Mul", x, graph.constant("scale", exactly[1], np.float64))
        x = graph.node("Cast", x, to=_FLOAT)
    elif of_columns:
        x = graph.node("Cast", x, to=_FLOAT)
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


def _outputs(graph: Graph, model: Model, x: str) -> list[tuple[str, Any, list[Any]]]:
    """Add the nodes after the scores; return the value, dtype and shape of each output."""
    views, count = view_columns(model), model.mlp.sizes[-1]
    P = x
    if model.output == "softmax":
        P = graph.node("Softmax", x, axis=-1)
    elif model.output == "logistic":
        P = graph.node("Sigmoid", x)
    elif model.output == "exp":
        P = graph.node("Exp", x)
    if model.networks is not None:
        P = graph.mean(P, "networks_axis", 0, keepdims=0)
    if views is not None:
        P = graph.node("Reshape", P, graph.constant("views_shape", [-1, len(views), count]))
        P = graph.mean(P, "views_axis", 1, keepdims=0)
    if model.task == "regression":
        return [_in_units(graph, model, P)]

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
    return [
        (scores, np.dtype(np.float32), ["rows", count]),
        (P, np.dtype(np.float32), ["rows", len(model.class_names)]),
        (label, np.dtype(np.int64), ["rows", *columns]),
    ]


def _in_units(graph: Graph, model: Model, x: str) -> tuple[str, Any, list[Any]]:
    """Add the nodes that convert the numbers of a network to units of the target."""
    dtype = np.dtype(np.float32 if model.target is None else np.float64)
    if model.target is not None:
        x = graph.node("Cast", x, to=_DOUBLE)
        x = graph.node("Mul", x, graph.constant("target_scale", model.target.scale, dtype))
        x = graph.node("Add", x, graph.constant("target_mean", model.target.mean, dtype))
    return x, dtype, ["rows", model.mlp.sizes[-1]]
