"""JAX as an array library: what its device takes, how it compiles, and what it complains of."""

import numpy as np
import pytest
from fits import MLP_543, REGIME, begin, learnable, on_host, random_params, train
from imports import fail_to_import

from xpnet.data.feed import Feed
from xpnet.device import get_device
from xpnet.errors import DeviceError
from xpnet.training.regime import Hyper
from xpnet.training.step import make_advance, make_step

jax = pytest.importorskip("jax", reason="JAX is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def cpu():
    return get_device("cpu", "jax")


def test_describes_itself(cpu):
    assert (cpu.name, cpu.is_host) == ("cpu", False)
    assert cpu.backend == f"jax {jax.__version__}"
    assert get_device(*cpu.options).options == cpu.options == ("cpu", "jax", "fp32", False)


def test_64_bits_are_there_where_we_compute_and_nowhere_else(cpu):
    before = jax.config.jax_enable_x64
    assert cpu.put(np.array([2**40, 1])).dtype == "int64"
    with cpu.active():
        assert (jax.numpy.zeros(2, "float32") * 2.0).dtype == "float32"
        assert jax.numpy.zeros(2, "float64").dtype == "float64"
    assert jax.config.jax_enable_x64 == before


def test_products_are_of_the_precision_asked_for(cpu):
    """On a GPU JAX would take TF32 for float32; what it compiles tells."""
    x = cpu.put(np.ones((2, 2), np.float32))
    with cpu.active():
        assert "precision = [HIGHEST, HIGHEST]" in jax.jit(jax.numpy.matmul).lower(x, x).as_text()


def test_out_of_memory_is_a_memory_error(cpu):
    with pytest.raises(MemoryError, match=r"RESOURCE_EXHAUSTED|emory"), cpu.active():
        jax.numpy.zeros(2**50, "uint8").block_until_ready()
    with pytest.raises(ZeroDivisionError), cpu.active():
        raise ZeroDivisionError


def advance_of(device, rows=30):
    """What takes steps on so many rows, its first state, and the draws of that many steps."""
    X, y = learnable()[:2]
    X, y = np.resize(X, (rows, 5)), np.resize(y, rows)
    hyper = Hyper(0.3, 0.9, 0.01)
    state = begin(device, random_params(np.random.default_rng(2)), "float32", REGIME, hyper)
    feed = Feed(device.put(X, "float32"), device.put(y))
    advance = make_advance(device, feed, make_step(device, MLP_543, feed, REGIME, hyper, state["params"]))

    def draws(steps):
        return {
            "index": device.put(np.random.default_rng(3).integers(rows, size=(steps, 6))),
            "rate": device.put(np.full(steps, 0.3), "float32"),
            "count": device.put(np.arange(1, steps + 1), "float32"),
        }

    return advance, state, draws


def compilations(caplog):
    return sum(
        "Compiling" in record.getMessage() and "advance" in record.getMessage() for record in caplog.records
    )


def test_epochs_of_all_lengths_are_one_program(cpu, caplog):
    with cpu.active(), jax.log_compiles():
        advance, state, draws = advance_of(cpu)
        for steps in (1, 2, 17, 40):
            table = draws(steps)
            for first, end in ((0, 1), (1, steps)):
                if end > first:
                    state, losses = advance(state, table, first, end)
                    assert losses.shape == (end - first,)
    assert compilations(caplog) == 1


def test_the_training_rows_are_no_constants_of_the_program(cpu):
    before = jax.config.jax_captured_constants_warn_bytes
    jax.config.update("jax_captured_constants_warn_bytes", 1000)
    try:
        with cpu.active():
            big = cpu.put(np.zeros((100, 100)))
            with pytest.warns(UserWarning, match="constants"):  # the alarm works
                jax.jit(lambda x: x + big)(1.0)
            advance, state, draws = advance_of(cpu, rows=1000)
            advance(state, draws(2), 0, 2)  # any warning is an error
    finally:
        jax.config.update("jax_captured_constants_warn_bytes", before)


def test_the_state_is_consumed_and_nothing_else(cpu):
    with cpu.active():
        advance, state, draws = advance_of(cpu)
        table = draws(3)
        params = dict(state["params"])
        before = on_host(cpu, {k: v.copy() for k, v in table.items()})
        advance(state, table, 0, 3)
        assert all(value.is_deleted() for value in params.values())
        for name, value in before.items():
            np.testing.assert_array_equal(table[name], value)


def test_what_was_read_stays_when_training_goes_on(cpu):
    """A host's view of donated memory would change under its reader."""
    kept = []

    def on_fit(fit):
        kept.append(on_host(cpu, fit.params))

    params = random_params(np.random.default_rng(16))
    with cpu.active():
        train(cpu, params, learnable(), "float32", on_fit=on_fit)
        again = train(cpu, params, learnable(), "float32", num_steps=6)
    for name, value in on_host(cpu, again.params).items():
        np.testing.assert_array_equal(kept[1][name], value)


def test_jax_is_not_installed(monkeypatch):
    fail_to_import(monkeypatch, "jax", ModuleNotFoundError("No module named 'jaxlib'", name="jaxlib"))
    with pytest.raises(DeviceError, match=r'pip install "xpnet\[jax\]"'):
        get_device("cpu", "jax")


def test_jax_that_cannot_be_imported(monkeypatch):
    fail_to_import(monkeypatch, "jax", RuntimeError("jaxlib is version 1,\n but this needs 2"))
    with pytest.raises(DeviceError, match=r"cannot be imported \(jaxlib is version 1, but this needs 2\)"):
        get_device("cpu", "jax")


def test_gpus_that_jax_has_not():
    count = len(jax.devices("cuda")) if any(d.platform == "gpu" for d in jax.devices()) else 0
    expected = f"there is no GPU cuda:99: this machine has {count}" if count else "finds no usable GPU"
    with pytest.raises(DeviceError, match=expected):
        get_device("cuda:99", "jax")


def test_what_the_user_forbids_for_code_of_his_own(cpu):
    with jax.numpy_rank_promotion("raise"), jax.transfer_guard("disallow"):
        train(cpu, random_params(np.random.default_rng(1)), learnable(), "float32", num_steps=3)
    np.testing.assert_array_equal(cpu.put(np.arange(3, dtype=">i4")), [0, 1, 2])
