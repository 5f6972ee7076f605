"""cuBLAS's handles: when they are made, what they get, and when they go."""

import contextlib
import gc
import itertools
import threading
import types

import numpy as np
import pytest
from host_cublas import Cupy, Library, Stream, on_gpu

from xpnet.device.cublas import Products
from xpnet.device.handles import WORKSPACE, Handles, undisturbed


@pytest.fixture
def cupy():
    return Cupy()


@pytest.fixture
def lib():
    return Library()


@pytest.fixture
def handles(cupy, lib):
    return Handles(cupy, lib)


def in_thread(function):
    """Call it in a thread, which then ends; return what it returned."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results.pop()


def test_each_stream_and_thread_has_a_handle_whose_workspace_comes_last(handles, cupy, lib):
    first, second = Stream(7), Stream(9)
    numbers = []
    for stream in (first, first, second, first):
        cupy.stream = stream
        numbers.append(handles.current().pointer.value)
    numbers.append(in_thread(handles.current).pointer.value)
    assert numbers == [1, 1, 2, 1, 3]
    made = ((1, 7), (2, 9), (3, 7))
    told = [[("stream", n, on), ("workspace", n, WORKSPACE + 1, WORKSPACE)] for n, on in made]
    assert [call for call in lib.calls if isinstance(call, tuple)] == list(itertools.chain(*told))
    assert lib.calls.count("create") == 3


def test_each_gpu_has_a_handle_of_a_stream_of_the_same_name(handles, cupy):
    cupy.stream = Stream(0)
    numbers = []
    for gpu in (0, 1, 0):
        cupy.cuda.runtime.getDevice = lambda gpu=gpu: gpu
        numbers.append(handles.current().pointer.value)
    assert numbers == [1, 2, 1]


def test_a_handle_is_destroyed_on_its_gpu_before_its_workspace(cupy, lib):
    def memory(size):
        found = types.SimpleNamespace(ptr=size + 1)
        weak.append(found)
        return found

    weak, order = [], []
    cupy.cuda.Memory = memory
    cupy.cuda.Device = lambda gpu: order.append(gpu) or contextlib.nullcontext()
    cupy.cuda.runtime.getDevice = lambda: 3
    lib.cublasDestroy_v2 = lambda handle: order.append((handle.value, len(weak)))
    handles = Handles(cupy, lib)
    handles.current()
    assert not order
    del handles
    assert order == [3, (1, 1)]


def test_a_handle_goes_with_its_products(cupy, lib):
    products = Products(cupy, np, lib, "fp32")
    products.matmul(on_gpu(np.ones((2, 2))), on_gpu(np.ones((2, 2))))
    assert "destroy" not in lib.calls
    del products
    assert lib.calls[-1] == "destroy"


def test_a_handle_goes_with_its_thread(handles, lib):
    handles.current()
    in_thread(lambda: handles.current() and None)
    assert lib.calls.count("destroy") == 1
    assert handles.current().pointer.value == 1


@pytest.mark.parametrize(("number", "goes"), [(7, True), (0, False), (1, False), (2, False)])
def test_a_handle_goes_with_its_stream(handles, cupy, lib, number, goes):
    """But not with an object of CuPy's for one that is always there."""
    for _ in range(2):
        cupy.stream = Stream(number)
        handles.current()
    cupy.stream = Stream(9)
    assert lib.calls.count("create") == 1 + goes
    assert lib.calls.count("destroy") == 2 * goes


def test_a_handle_stays_when_only_cupys_name_of_a_strangers_stream_goes(handles, cupy, lib):
    for _ in range(2):
        cupy.stream = types.SimpleNamespace(ptr=7)
        handles.current()
    assert (lib.calls.count("create"), lib.calls.count("destroy")) == (1, 0)


def test_a_handle_that_a_graph_has_stays(cupy, lib):
    products = Products(cupy, np, lib, "fp32")
    cupy.stream = Stream(7)
    graph = [products.handle()]
    cupy.stream = Stream(9)
    del products
    assert "destroy" not in lib.calls
    graph.clear()
    assert lib.calls[-1] == "destroy"


def test_nothing_is_destroyed_during_a_capture(cupy, lib):
    """Not in the thread that captures, nor in another; afterwards, at once."""
    old, older = Handles(cupy, lib), Handles(cupy, lib)
    old.current()
    older.current()
    with undisturbed():
        del old
        gc.collect()
        assert "destroy" not in lib.calls
    assert lib.calls.count("destroy") == 1
    del older
    assert lib.calls.count("destroy") == 2


def test_other_threads_make_no_handle_during_a_capture(handles, lib):
    thread = threading.Thread(target=handles.current)
    with undisturbed():
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        assert "create" not in lib.calls
    thread.join()
    assert lib.calls.count("create") == 1


def test_a_thread_that_ends_during_a_capture_leaves_its_handle_for_later(handles, lib):
    made, captures = threading.Event(), threading.Event()

    def work():
        handles.current()
        made.set()
        captures.wait()

    thread = threading.Thread(target=work)
    thread.start()
    made.wait()
    with undisturbed():
        captures.set()
        thread.join()
        assert "destroy" not in lib.calls
    assert lib.calls.count("destroy") == 1


# Too little memory


class CUDARuntimeError(RuntimeError):
    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def failing(cupy, lib, failures, refuse):
    """Have so many handles fail; return what is called, in order."""
    calls = []

    def free_all_blocks():
        calls.append("freed")

    def create(handle):
        calls.append("create")
        if calls.count("create") <= failures:
            return refuse() or 0
        lib.__class__.cublasCreate_v2(lib, handle)
        return 0

    lib.cublasCreate_v2 = create
    cupy.get_default_memory_pool = lambda: types.SimpleNamespace(free_all_blocks=free_all_blocks)
    return calls


@pytest.mark.parametrize("status", [1, 3])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_handle_for_which_the_pool_holds_the_memory(handles, cupy, lib, status, failures):
    calls = failing(cupy, lib, failures, lambda: status)
    if failures == 1:
        assert handles.current().pointer.value == 1
    else:
        with pytest.raises(MemoryError, match=f"^out of memory for cuBLAS: status {status}$"):
            handles.current()
    assert calls == ["create", "freed", "create"]
    assert "destroy" not in lib.calls


@pytest.mark.parametrize("failures", [1, 2])
def test_a_workspace_that_the_pool_holds_is_had_back(handles, cupy, lib, failures):
    calls = []

    def memory(size):
        calls.append(size)
        if calls.count(size) <= failures:
            raise CUDARuntimeError("out of\nmemory", 2)
        return types.SimpleNamespace(ptr=size + 1)

    cupy.cuda.Memory = memory
    pool = types.SimpleNamespace(free_all_blocks=lambda: calls.append("freed"))
    cupy.get_default_memory_pool = lambda: pool
    if failures == 1:
        assert handles.current().pointer.value == 2
    else:
        with pytest.raises(MemoryError, match=r"^out of memory for cuBLAS's workspace: out of memory$"):
            handles.current()
    assert calls == [WORKSPACE, "freed", WORKSPACE]
    assert lib.calls.count("destroy") == failures  # a handle without a workspace is of no use


def test_other_errors_are_not_for_want_of_memory(handles, cupy, lib):
    lib.status = 13
    with pytest.raises(RuntimeError, match=r"^cuBLAS: status 13$"):
        handles.current()
    lib.status = 0

    def memory(_size):
        raise CUDARuntimeError("an illegal address", 700)

    cupy.cuda.Memory = memory
    with pytest.raises(CUDARuntimeError, match="illegal"):
        handles.current()
    assert lib.calls[-1] == "destroy"
