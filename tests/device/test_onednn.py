"""Products in bf16 on the CPU: where they are had, and that nothing else of the process is changed."""

import threading

import numpy as np
import pytest

from xpnet import Config, MLPClassifier, datasets
from xpnet.device import get_device, onednn, processor
from xpnet.errors import DeviceError
from xpnet.runs.fit import fit

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)


def here():
    """Whether this machine has it."""
    try:
        get_device("cpu", "torch", "bf16")
    except DeviceError:
        return False
    return True


having_it = pytest.mark.skipif(not here(), reason="the processor, or this PyTorch, has no bf16")


def setting():
    return torch.backends.mkldnn.matmul.fp32_precision


@pytest.fixture
def seen(monkeypatch):
    """Return the list of what the setting is at each product."""
    found, plain = [], torch.matmul

    def matmul(*given):
        found.append(setting())
        return plain(*given)

    monkeypatch.setattr(torch, "matmul", matmul)
    return found


@having_it
@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (((128, 128), (128, 128)), "bf16"),
        (((8, 64, 32), (8, 32, 64)), "bf16"),  # a stack, whose products are one call
        (((64, 128), (8, 128, 32)), "bf16"),  # that shares its rows
        (((50, 64), (64, 100)), "none"),
        (((4096, 4096), (4096,)), "none"),
    ],
)
def test_only_large_products_are_in_bf16(seen, shapes, expected):
    device = get_device("cpu", "torch", "bf16")
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype("float32") for shape in shapes)
    before = setting()
    with device.active():
        assert setting() == before
        found = device.xp.matmul(device.put(a), device.put(b))
    assert seen == [{"none": before}.get(expected, expected)]
    assert setting() == before
    assert found.dtype == torch.float32
    np.testing.assert_allclose(device.to_host(found), a @ b, atol=2.0**-7 * np.abs(a @ b).max())


@having_it
def test_what_the_user_has_set_comes_back_also_after_an_error():
    device = get_device("cpu", "torch", "bf16")
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "ieee"
        with device.active(), pytest.raises(RuntimeError):
            device.xp.matmul(device.put(np.ones((2048, 2048))), device.put(np.ones((2047, 2048))))
        assert matmul.fp32_precision == "ieee"
    finally:
        matmul.fp32_precision = before


@having_it
def test_the_last_of_several_threads_takes_it_back():
    before, entered, left = setting(), threading.Event(), threading.Event()

    def other():
        with onednn.bf16(torch):
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=other)
    with onednn.bf16(torch):
        thread.start()
        assert entered.wait(10)
    assert setting() == "bf16"
    left.set()
    thread.join()
    assert setting() == before


@having_it
def test_float64_is_as_it_was(seen):
    device, before = get_device("cpu", "torch", "bf16"), setting()
    a = device.put(np.ones((128, 128)))
    device.xp.matmul(a, a)
    assert seen == [before]
    how = {"hidden": 128, "iterations": 20, "batch_size": 400, "dtype": "float64", "backend": "torch"}
    plain, other = (fit("digits", precision=precision, **how) for precision in ("fp32", "bf16"))
    np.testing.assert_array_equal(plain.model.params["W1"], other.model.params["W1"])


@having_it
def test_every_door_takes_it(seen):
    how = {"hidden": (256,), "iterations": 20, "batch_size": 400, "backend": "torch", "precision": "bf16"}
    run = fit("digits", **how)
    assert run.config == Config.of(dataset="digits", quiet=True, **how)
    assert "bf16" in seen
    plain = fit("digits", **how | {"precision": "fp32"})
    np.testing.assert_allclose(run.model.params["W1"], plain.model.params["W1"], atol=5e-3)

    seen.clear()
    data = datasets.digits()
    net = MLPClassifier(256, max_iter=2, batch_size=400, random_state=0, backend="torch", precision="bf16")
    with pytest.warns(UserWarning, match="max_iter"):
        net.fit(data.X_train.astype("float32"), data.y_train)
    assert "bf16" in seen


@having_it
def test_a_compiled_step_is_in_bf16_as_a_whole(monkeypatch):
    seen = []

    def compile(step, **_how):
        def compiled(*given):
            seen.append(setting())
            return step(*given)

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    before = setting()
    fit("digits", iterations=3, backend="torch", precision="bf16", compile=True)
    assert set(seen) == {"bf16"}
    assert setting() == before


def test_a_processor_without_it_is_one_line(monkeypatch):
    monkeypatch.setattr(onednn, "has_bf16", lambda: False)
    with pytest.raises(DeviceError) as caught:
        get_device("cpu", "torch", "bf16")
    assert str(caught.value) == (
        "precision bf16 needs a processor with AMX-BF16 or AVX512-BF16, which this one lacks: use "
        "precision fp32"
    )


@pytest.mark.parametrize("known", [True, False])
def test_where_the_system_does_not_tell_pytorch_does(monkeypatch, known):
    monkeypatch.setattr(onednn, "has_bf16", lambda: None)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: known, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    if known and here():
        assert get_device("cpu", "torch", "bf16").options.precision == "bf16"
    else:
        with pytest.raises(DeviceError, match="use precision fp32"):
            get_device("cpu", "torch", "bf16")


class Old:
    """PyTorch as it was."""

    __version__ = "2.8.0"

    class backends:  # noqa: N801 - as there
        class mkldnn:  # noqa: N801
            pass


def test_an_old_pytorch_is_one_line(monkeypatch):
    monkeypatch.setattr(onednn, "has_bf16", lambda: True)
    with pytest.raises(DeviceError) as caught:
        onednn.check_bf16(Old)
    assert str(caught.value) == (
        "precision bf16 needs PyTorch 2.9, and this is 2.8.0: run `pip install --upgrade torch`, or use "
        "precision fp32"
    )


def test_a_pytorch_without_onednn_is_one_line(monkeypatch):
    monkeypatch.setattr(onednn, "has_bf16", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="needs oneDNN, which this build of PyTorch lacks"):
        onednn.check_bf16(torch)


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_other_libraries_name_the_one_that_has_it(monkeypatch, backend):
    for has, end in ((True, ", or backend torch"), (False, ""), (None, "")):
        monkeypatch.setattr("xpnet.device.has_bf16", lambda has=has: has)
        with pytest.raises(DeviceError) as caught:
            get_device("cpu", backend, "bf16")
        assert str(caught.value) == f"no precision 'bf16' with {backend} on device cpu: use fp32{end}"
    assert processor.has_bf16() in (True, False, None)
