"""PyTorch: a state dict as safetensors, and the Python source of the module that loads it.

For raw rows, the module returns the scores of the model, see `Model.scores`. All is float32, except the
numbers of a regression in units of its target: they are float64, because float32 would lose digits if the
target's mean is large relative to its deviation.
"""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device import to_numpy
from xpnet.errors import InputError
from xpnet.exporters.first_layer import first_layer, in_float64, view_columns
from xpnet.files import replacing
from xpnet.nn import norms
from xpnet.nn.activations import SLOPE
from xpnet.nn.mlp import MLP
from xpnet.training.model import Model

__all__ = ["export", "source_of", "state_of"]

ACTIVATIONS = {
    "relu": "nn.ReLU()",
    "leaky-relu": f"nn.LeakyReLU({SLOPE})",
    "gelu": 'nn.GELU(approximate="tanh")',
    "silu": "nn.SiLU()",
    "soft-abs": "SoftAbs()",
    "tanh": "nn.Tanh()",
    "logistic": "nn.Sigmoid()",
    "identity": "nn.Identity()",
}

SOFT_ABS = '''\
class SoftAbs(nn.Module):
    """A smooth absolute value."""

    def forward(self, x):
        return x * x.tanh()
'''

RESIDUAL = '''\
class Residual(nn.Module):
    """``x + f(x)``."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return x + self.f(x)
'''

AVERAGED = '''\
class Averaged(nn.Module):
    """The mean over networks and over views, which are the columns of the rows in other orders."""

    def __init__(self, networks, shape_of_views):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.register_buffer("views", torch.zeros(shape_of_views, dtype=torch.int64))

    def forward(self, x):
        rows = x[:, self.views].flatten(0, 1)
        P = sum(network(rows)OUTPUT for network in self.networks) / len(self.networks)
        return P.unflatten(0, (-1, len(self.views))).mean(1)SCORES
'''

AVERAGES = {
    "softmax": (".softmax(-1)", ".log()"),
    "logistic": (".sigmoid()", ".logit()"),
    "identity": ("", ""),
    "exp": (".exp()", ""),
}
"""Texts for OUTPUT and SCORES by the output of the model: from scores to what is averaged, and back."""

STANDARDIZED = '''\
class Standardized(nn.Module):
    """Rows minus their mean and scaled, in float64, then converted to float32."""

    def __init__(self, features):
        super().__init__()
        for name in ("mean", "scale"):
            self.register_buffer(name, torch.zeros(features, dtype=torch.float64))

    def forward(self, x):
        return ((x.double() - self.mean) * self.scale).float()
'''

EXP = '''\
class Exp(nn.Module):
    """Numbers, from their logarithms."""

    def forward(self, x):
        return x.exp()
'''

IN_UNITS = '''\
class InUnits(nn.Module):
    """Numbers in units of the target, in float64 unless the module is cast."""

    def __init__(self, outputs):
        super().__init__()
        for name in ("mean", "scale"):
            self.register_buffer(name, torch.zeros(outputs, dtype=torch.float64))

    def forward(self, x):
        return x.to(self.scale.dtype) * self.scale + self.mean
'''


@dataclass(frozen=True)
class _Module:
    """The source of a module, its arrays, and its inner modules by name."""

    source: str
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    inner: dict[str, "_Module"] = field(default_factory=dict)
    dtype: Any = np.float32

    def state(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """Return all arrays as the module's ``state_dict`` names them: integers in int64, else in `dtype`."""
        found = {
            f"{prefix}{name}": np.ascontiguousarray(
                value, np.int64 if value.dtype.kind == "i" else self.dtype
            )
            for name, value in self.arrays.items()
        }
        for name, module in self.inner.items():
            found |= module.state(f"{prefix}{name}.")
        return found


def export(model: Model, path: Path) -> str:
    """Write the state dict of a model; return the source of the module that loads it.

    Parameters
    ----------
    model
        The model.
    path
        The file to create or replace.

    Raises
    ------
    InputError
        The model takes a table.
    OSError
        The file cannot be written.
    """
    from safetensors.numpy import save

    content = save(state_of(model), {"format": "pt"})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return source_of(model, path)


def state_of(model: Model) -> dict[str, NDArray[Any]]:
    """Return the state dict of a model, as NumPy arrays."""
    return _module_of(model).state()


def source_of(model: Model, path: Path) -> str:
    """Return Python that makes a module called ``model`` and loads its state dict from ``path``."""
    made = _module_of(model).source
    output, scores = AVERAGES[model.output]
    averaged = AVERAGED.replace("OUTPUT", output).replace("SCORES", scores)
    known = {"Standardized": STANDARDIZED, "Residual": RESIDUAL, "Averaged": averaged}
    known |= {"SoftAbs": SOFT_ABS, "Exp": EXP, "InUnits": IN_UNITS}
    dtype = "float64" if model.preprocessing.exact else "float32"
    classes = [text for name, text in known.items() if name in made]
    lines = ["import torch", "from safetensors.torch import load_file", "from torch import nn", "", ""]
    lines += [line for text in classes for line in [*text.splitlines(), "", ""]]
    if not classes:
        lines.pop()
    return "\n".join(
        [
            *lines,
            f"# {model.num_features} raw {dtype} features in, {_what_comes_out(model)} out",
            f"model = {made}",
            f"model.load_state_dict(load_file({str(path)!a}))",
            "model.eval()",
            "",
        ]
    )


def _what_comes_out(model: Model) -> str:
    outputs = model.mlp.sizes[-1]
    if model.task == "regression":
        return f"{outputs} numbers"
    if model.output == "softmax":
        return f"scores of {outputs} classes"
    of = f"{outputs} labels" if model.task == "multilabel" else "the second of 2 classes"
    return f"scores of {of} (sigmoid turns them into probabilities)"


def _module_of(model: Model) -> _Module:
    if model.preprocessing.kind == "table":
        raise InputError(
            "the model takes a table, but PyTorch has no layers for text and gaps: use --format onnx"
        )
    first, views = first_layer(model), view_columns(model)
    params = {name: np.asarray(to_numpy(value), np.float64) for name, value in model.params.items()}
    params |= {"W1": first.W, "b1": first.b}
    before = []
    if (exactly := in_float64(model)) is not None:
        arrays = dict(zip(("mean", "scale"), exactly, strict=True))
        before.append(_Module(f"Standardized({model.num_features})", arrays, dtype=np.float64))
    if first.contrast is not None:
        # A layer norm without parameters is contrast normalisation.
        source = f"nn.LayerNorm({model.num_features}, eps={first.contrast!r}, elementwise_affine=False)"
        before.append(_Module(source))
    if first.mean is not None:
        # A batch norm without parameters, and with variances of 1, subtracts the mean.
        source = f"nn.BatchNorm1d({model.num_features}, eps=0.0, affine=False)"
        before.append(_Module(source, _statistics(first.mean, np.ones_like(first.mean))))
    after = [_Module("Exp()")] if model.output == "exp" and not model.is_averaged else []
    if model.target is not None:
        source = f"InUnits({model.mlp.sizes[-1]})"
        after.append(_Module(source, model.target._asdict(), dtype=np.float64))
    if not model.is_averaged:
        return _sequential([*before, *_layers(model.mlp, params), *after])
    each = (
        [params]
        if model.networks is None
        else [{name: value[k] for name, value in params.items()} for k in range(model.networks)]
    )
    networks = [_sequential([*before, *_layers(model.mlp, one)]) for one in each]
    views = np.arange(model.num_features)[None] if views is None else views
    listed = "".join(f"\n{textwrap.indent(network.source, '    ')}," for network in networks)
    source = f"Averaged(\n    [{textwrap.indent(listed, '    ')}\n    ],\n    {views.shape},\n)"
    inner = {f"networks.{k}": network for k, network in enumerate(networks)}
    averaged = _Module(source, {"views": views}, inner)
    return _sequential([averaged, *after]) if after else averaged


def _layers(mlp: MLP, params: dict[str, NDArray[np.float64]]) -> list[_Module]:
    """Return the layers of one network, as `xpnet.nn.mlp.MLP` describes them."""

    def affine(name: str) -> _Module:
        W, b = params[f"W{name}"], params[f"b{name}"]
        return _Module(f"nn.Linear({W.shape[0]}, {W.shape[1]})", {"weight": W.T, "bias": b})

    def norm(i: int) -> list[_Module]:
        if mlp.norm == "none":
            return []
        of_layer = {"weight": params[f"g{i}"], "bias": params[f"s{i}"]}
        units = len(of_layer["bias"])
        if mlp.norm == "layer":
            return [_Module(f"nn.LayerNorm({units}, eps={norms.EPSILON})", of_layer)]
        statistics = _statistics(params[f"m{i}"], params[f"v{i}"])
        return [_Module(f"nn.BatchNorm1d({units}, eps={norms.EPSILON})", of_layer | statistics)]

    activate = _Module(ACTIVATIONS[mlp.activation])
    last = mlp.depth
    layers = [affine("1")]
    if not mlp.residual:
        for i in range(1, last):
            layers += [*norm(i), activate, affine(f"{i + 1}")]
        return layers
    for i in range(2, last):
        f = _sequential([*norm(i), affine(f"{i}a"), activate, affine(f"{i}b")])
        layers.append(_Module(f"Residual({f.source})", inner={"f": f}))
    return [*layers, *norm(last), affine(f"{last}")]


def _sequential(layers: list[_Module]) -> _Module:
    lines = "".join(f"{textwrap.indent(layer.source, '    ')},\n" for layer in layers)
    return _Module(f"nn.Sequential(\n{lines})", inner={str(k): layer for k, layer in enumerate(layers)})


def _statistics(mean: NDArray[Any], variance: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {"running_mean": mean, "running_var": variance, "num_batches_tracked": np.array(0)}
