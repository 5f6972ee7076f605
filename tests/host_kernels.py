"""CUDA kernels on the host: what of CuPy they need, made of NumPy and a C++ compiler.

Blocks run one after the other, and the threads of a block by turns, each until it waits for the others. Slow,
and the same C++.
"""

import ctypes
import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")

SHARED = """
#include <math.h>
#include <ucontext.h>
#include <functional>
#include <vector>
#define __global__
#define __device__ static
#define __shared__ static
struct Three { long long x, y, z; };
static Three threadIdx, blockIdx, gridDim;
static ucontext_t scheduler, threads_at[1024];
static std::vector<char> stacks(1024 * 16384);
static std::function<void()> kernel;
static long long current, left;
static void next_thread() { swapcontext(&threads_at[current], &scheduler); threadIdx.x = current; }
#define __syncthreads() next_thread()
static void run_one() { threadIdx.x = current; kernel(); left--; }
static void run_block(long long threads) {
    for (current = 0; current < threads; current++) {
        ucontext_t& at = threads_at[current];
        getcontext(&at);
        at.uc_stack.ss_sp = &stacks[current * 16384];
        at.uc_stack.ss_size = 16384;
        at.uc_link = &scheduler;
        makecontext(&at, run_one, 0);
    }
    // Each goes on to where it waits for the others, and all wait equally often.
    for (left = threads; left > 0;)
        for (current = 0; current < threads; current++) swapcontext(&scheduler, &threads_at[current]);
}
"""

LAUNCH = """
extern "C" void launch_{name}(long long nets, long long blocks, long long threads, void** given) {{
    gridDim = {{nets, blocks, 1}};
    kernel = [=] {{ {name}({arguments}); }};
    for (long long net = 0; net < nets; net++)
        for (long long block = 0; block < blocks; block++) {{
            blockIdx = {{net, block, 0}};
            run_block(threads);
        }}
}}
"""

ELEMENTS = """
#include <math.h>
extern "C" void launch_{name}(long long size, void** given) {{
    for (long long i = 0; i < size; i++) {{
        {elements}
        {body}
    }}
}}
"""

C_TYPES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int32": "int",
    "int64": "long long",
    "float32": "float",
    "float64": "double",
}


@functools.cache
def folder():
    """Return where libraries go: they stay open until the process ends, and go with it."""
    kept = tempfile.TemporaryDirectory(prefix="xpnet-kernels-")
    folder.kept = kept
    return Path(kept.name)


@functools.cache
def compiled(source):
    """Return a library of this C++."""
    path = folder() / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}.so"
    path.with_suffix(".cpp").write_text(source, encoding="utf-8")
    how = ["-std=c++20", "-O1", "-shared", "-fPIC", "-Wall", "-Wno-unused", "-Werror"]
    made = subprocess.run(
        [COMPILER, *how, "-o", path, path.with_suffix(".cpp")], capture_output=True, text=True, check=False
    )
    assert not made.returncode, made.stderr + source
    return ctypes.CDLL(str(path))


def address(array):
    return array.ctypes.data


class ElementwiseKernel:
    """A kernel of one element, done to each."""

    def __init__(self, inputs, outputs, body, name):
        self.inputs, self.outputs = (re.findall(r"(\w+) (\w+)", text) for text in (inputs, outputs))
        elements = [
            f"{C_TYPES[dtype]}& {variable} = (({C_TYPES[dtype]}*)given[{k}])[i];"
            for k, (dtype, variable) in enumerate(self.inputs + self.outputs)
        ]
        source = ELEMENTS.format(name=name, elements="\n        ".join(elements), body=body)
        self.launch = getattr(compiled(source), f"launch_{name}")

    def __call__(self, *args):
        given = zip(args, self.inputs + self.outputs, strict=True)
        args = [np.array(a, dtype) if isinstance(a, float) else a for a, (dtype, _) in given]
        outputs = args[len(self.inputs) :]
        shape = outputs[0].shape
        assert np.broadcast_shapes(*(a.shape for a in args)) == shape
        assert all(a.shape == shape and a.flags.writeable for a in outputs)
        for array, (dtype, _) in zip(args, self.inputs + self.outputs, strict=True):
            assert array.dtype == dtype
        flat = [np.array(np.broadcast_to(np.asarray(a), shape), order="C") for a in args]
        self.launch(ctypes.c_longlong(outputs[0].size), pointers(flat))
        for output, values in zip(outputs, flat[len(self.inputs) :], strict=True):
            output[...] = values


class RawModule:
    """Kernels in C++."""

    def __init__(self, code):
        self.source = SHARED + code
        self.types = {}
        for name, given in re.findall(r"__global__ void (\w+)\(([^)]*)\)", code):
            types = [" ".join(argument.split()[:-1]) for argument in given.split(",")]
            self.types[name] = types
            arguments = ", ".join(f"*(({kind}*)given[{k}])" for k, kind in enumerate(types))
            self.source += LAUNCH.format(name=name, arguments=arguments)

    def get_function(self, name):
        launch, types = getattr(compiled(self.source), f"launch_{name}"), self.types[name]

        def call(grid, block, args):
            assert len(args) == len(types)
            values = []
            for arg, kind in zip(args, types, strict=True):
                if isinstance(arg, np.ndarray):
                    assert kind.endswith("*")
                    assert arg.flags.c_contiguous
                    arg = np.uintp(address(arg))
                assert arg.dtype.itemsize == (4 if kind == "int" else 8)
                values.append(np.array(arg))
            launch(*(ctypes.c_longlong(n) for n in (*grid, *block)), pointers(values))

        return call


def pointers(arrays):
    return (ctypes.c_void_p * len(arrays))(*map(address, arrays))


class Cupy:
    """CuPy as far as `fusing` and `kernels` need it."""

    ElementwiseKernel, RawModule = ElementwiseKernel, RawModule

    def __init__(self, ndarray):
        self.ndarray = ndarray

    def empty(self, shape, dtype):
        empty = np.empty(shape, dtype)
        empty.view(np.uint8 if shape else dtype).fill(255 if shape else 0)
        return empty.view(self.ndarray)

    def ascontiguousarray(self, array, dtype=None):
        return np.array(array, dtype, order="C", copy=None).view(self.ndarray)

    def broadcast_to(self, array, shape):
        return np.broadcast_to(array, shape, subok=True)

    def sum(self, array, axis):
        return np.asarray(np.sum(np.asarray(array), axis=axis)).view(self.ndarray)
