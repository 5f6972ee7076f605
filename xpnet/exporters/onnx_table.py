"""Tables in an ONNX graph: the columns as inputs by name, and their encoding for the network.

The encoding takes the same steps as `xpnet.data.table`: standardisation in double, so that a year or an id
keeps its digits, and the rest in the dtype of the model.
"""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from xpnet.columns import words
from xpnet.columns.columns import Column, Columns
from xpnet.exporters.onnx_graph import Graph
from xpnet.training.model import Model

__all__ = ["Input", "encode", "inputs_of", "matrix_of", "spellings"]

_DOUBLE = 11  # TensorProto.DataType of the format

ML_DOMAIN = "ai.onnx.ml"
"""The domain of LabelEncoder, the only operator that turns text into numbers."""


class Input(NamedTuple):
    """An input of a graph.

    Attributes
    ----------
    name
        Name in the graph.
    width
        Number of values in a row.
    column
        The column that it holds; None for a row of numbers.
    """

    name: str
    width: int
    column: Column | None = None

    @property
    def is_text(self) -> bool:
        """Whether it takes strings instead of doubles."""
        return self.column is not None and self.column.kind == "category"

    def as_json(self) -> dict[str, Any]:
        """Return what the metadata of a file say about it: where its values come from."""
        assert self.column is not None
        column = self.column
        return {
            "input": self.name,
            "column": column.origin,
            "kind": column.kind,
            "part": column.part,
            "held": column.held,
        }


def inputs_of(model: Model, outputs: Collection[str]) -> list[Input]:
    """Return the inputs of the graph of a model.

    Parameters
    ----------
    model
        The model.
    outputs
        Names of the graph's outputs, which no input can have.

    Returns
    -------
    list of Input
        One for each column of the model, in order, named after `Column.name` unless an output has that name
        or ONNX cannot hold it. For rows of numbers without names, ``X`` alone.
    """
    if model.columns is None or _are_plain(model.columns):
        return [Input("X", model.num_features)]
    columns = model.columns.columns
    taken = {*outputs, *(column.name for column in columns)}
    inputs = []
    for place, column in enumerate(columns):
        name = _valid(column.name) or f"column {place}"
        while name in taken and (name != column.name or name in outputs):
            name += "_"
        taken.add(name)
        inputs.append(Input(name, 1, column))
    return inputs


def matrix_of(graph: Graph, inputs: list[Input]) -> str:
    """Add the nodes that turn inputs into the matrix of `Columns.matrix`, in double; ``X`` stays as it is."""
    if inputs[0].column is None:
        return inputs[0].name
    parts = [graph.node("Cast", _codes(graph, of), to=_DOUBLE) if of.is_text else of.name for of in inputs]
    return graph.node("Concat", *parts, axis=1) if parts[1:] else parts[0]


def encode(graph: Graph, model: Model, x: str) -> str:
    """Add the nodes that encode the matrix for the network, as `xpnet.data.table.apply` does."""
    from onnx import helper

    dtype = np.dtype(model.dtype)
    to = {"to": helper.np_dtype_to_tensor_dtype(dtype)}
    narrow = {"to": helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))}
    fitted = model.fitted

    def constant(name: str, kind: str, row: int) -> str:
        return graph.constant(f"{kind}_{name}", fitted[kind][row], dtype)

    def source(kind: str) -> str:
        places = graph.constant(f"{kind}_source", fitted[kind][0].astype(np.int64))
        return graph.node("Gather", z, places, axis=1)

    def centred(x: str, kind: str, row: int) -> str:
        return graph.node("Sub", x, constant("mean", kind, row))

    # In double, as `xpnet.data.table.standardise` does.
    z = graph.node("Cast", x, to=_DOUBLE)
    z = graph.node("Sub", z, graph.constant("columns_mean", fitted["mean"], np.float64))
    z = graph.node("Mul", z, graph.constant("columns_scale", fitted["scale"], np.float64))
    z = z if dtype == np.float64 else graph.node("Cast", z, **to)
    parts = []
    if fitted["ramps"].size:
        value = source("ramps")
        ramp = graph.node("Sub", value, constant("start", "ramps", 1))
        ramp = graph.node("Mul", ramp, constant("slope", "ramps", 2))
        ramp = graph.node("Max", ramp, constant("least", "ramps", 3))
        ramp = graph.node("Min", ramp, constant("most", "ramps", 4))
        # Gaps are found before Max and Min, which need not keep NaN.
        gap, nothing = graph.node("IsNaN", value), graph.constant("ramps_of_gap", 0.0, dtype)
        parts.append(graph.node("Where", gap, nothing, centred(ramp, "ramps", 5)))
    if fitted["steps"].size:
        is_code = graph.node("Equal", source("steps"), constant("code", "steps", 1))
        parts.append(centred(graph.node("Cast", is_code, **to), "steps", 2))
    if fitted["gaps"].size:
        is_gap = graph.node("IsNaN", source("gaps"))
        parts.append(centred(graph.node("Cast", is_gap, **to), "gaps", 1))
    x = graph.node("Concat", *parts, axis=1) if parts[1:] else parts[0]
    return x if dtype == np.float32 else graph.node("Cast", x, **narrow)


def spellings(column: Column) -> dict[str, float]:
    """Return the spellings that a column of categories knows, with their codes; NaN is the code of a gap.

    ONNX compares text character by character, whereas `Columns.matrix` also compares its meaning: 1, 1.0 and
    01 are the same. So the spellings that libraries use for a category are listed, with their codes in the
    matrix.
    """
    forms = dict.fromkeys(words.GAPS)
    for category in column.categories:
        forms |= dict.fromkeys(_written(category))
    # The matrix strips text, which no ONNX operator does: one space before and after is listed, too.
    forms |= dict.fromkeys(spaced for form in forms for spaced in (f" {form}", f"{form} ", f" {form} "))
    known = Columns((column,), (column.name,), is_named=False)
    codes = known.matrix([[form] for form in forms])[:, 0].tolist()
    return {form: code for form, code in zip(forms, codes, strict=True) if code != -1 and _is_unicode(form)}


def _codes(graph: Graph, of: Input) -> str:
    """Add the node that turns text into codes of categories; -1 for any other text, NaN for a gap."""
    assert of.column is not None
    known = spellings(of.column)
    return graph.node(
        "LabelEncoder",
        of.name,
        domain=ML_DOMAIN,
        keys_strings=list(known),
        values_floats=list(known.values()),
        default_float=-1.0,
    )


def _written(category: str) -> Iterator[str]:
    """Yield the spellings of a category: for 1 also 1.0 and true, for true also True, TRUE and 1."""
    yield category
    first = words.key(category)
    for key in (first, words.TRUTH.get(first, first)):
        yield key
        values, is_number = words.numbers([key])
        if is_number[0] and np.isfinite(values[0]):
            value = float(values[0])
            yield from (repr(value), np.format_float_positional(value, trim="-"))
        if words.booleans([key])[1][0]:
            yield from (key.capitalize(), key.upper())


def _are_plain(columns: Columns) -> bool:
    """Return whether all columns are numbers without names."""
    return not columns.is_named and all(c.kind == "number" and not c.part for c in columns.columns)


def _is_unicode(text: str) -> bool:
    """Return whether ONNX can hold a text: UTF-8 has no lone surrogates."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _valid(name: str) -> str:
    """Return a name that ONNX can hold: without lone surrogates, and without null characters."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
