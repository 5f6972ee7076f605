"""Several processes train one network, here as threads: by the same numbers as one process does."""

import dataclasses

import numpy as np
import pytest
from fits import (
    EVERYTHING,
    HERE,
    MLP_543,
    assert_same,
    begin,
    image_feed,
    learnable,
    own_sources,
    random_params,
    sources,
    train,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from teams import in_processes, on_devices

from xpnet.data.feed import Feed
from xpnet.data.host_rows import HostRows
from xpnet.datasets.npy_rows import NpyRows
from xpnet.device import Device
from xpnet.errors import DeviceError
from xpnet.nn.mlp import MLP
from xpnet.training.loop import fit
from xpnet.training.regime import Hyper, Regime
from xpnet.training.sharing import check_equal

CLOSE = 1e-10


def assert_close(found, expected):
    """The same parameters but for the order of sums."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=CLOSE * np.abs(value).max(), err_msg=name)


def compare(size, work):
    """See that all processes come out the same to the bit, and as one process does."""
    alone, each = work(HERE), on_devices(size, work)
    for other in each[1:]:
        assert_same(other.params, each[0].params)
        np.testing.assert_array_equal(other.history.losses, each[0].history.losses)
        for ours, theirs in zip(other.history.rows, each[0].history.rows, strict=True):
            for a, b in zip(ours[:-1], theirs[:-1], strict=True):
                np.testing.assert_array_equal(a, b)
    assert_close(each[0].params, alone.params)
    np.testing.assert_allclose(each[0].history.losses, alone.history.losses, rtol=CLOSE)
    for ours, theirs in zip(each[0].history.rows, alone.history.rows, strict=True):
        for a, b in zip(ours[:-1], theirs[:-1], strict=True):
            np.testing.assert_allclose(a, b, rtol=CLOSE)
    np.testing.assert_array_equal(each[0].stopped_at, alone.stopped_at)
    np.testing.assert_array_equal(each[0].diverged_at, alone.diverged_at)
    return alone, each


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("solver", ["sgd", "nesterov", "adam", "lion"])
def test_a_network_is_the_one_of_one_process(size, solver):
    params = random_params(np.random.default_rng(1))
    compare(
        size, lambda device: train(device, params, learnable(), solver=solver, patience=4, sources=sources(7))
    )


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("nets", [(), (2,)])
def test_with_everything_at_once(norm, nets):
    """Augmentation, mixup, both dropouts, smoothing, clipping, decay, an average: of one and of a stack."""
    mlp = dataclasses.replace(EVERYTHING["mlp"], norm=norm)
    # Adam makes steps of the rounding of gradients that are 0, as of a bias before a batch norm.
    solver = "nesterov" if norm == "batch" else "adam"
    regime, hyper = dataclasses.replace(EVERYTHING["regime"], solver=solver), EVERYTHING["hyper"]
    params = random_params(np.random.default_rng(31), nets, mlp)

    def work(device):
        with device.active():
            return fit(
                mlp,
                begin(device, params, "float64", regime, hyper),
                image_feed(device, "float64", EVERYTHING["augmentation"]),
                device=device,
                regime=regime,
                hyper=hyper,
                sources=own_sources(32, 33) if nets else sources(34),
            )

    compare(2, work)


@given(
    size=st.integers(1, 5),
    rows=st.integers(3, 30),
    batch=st.integers(1, 11),
    sampling=st.sampled_from(["replacement", "shuffle", "all"]),
    norm=st.sampled_from(["none", "batch"]),
    mixup=st.sampled_from([0.0, 0.5]),
    dropout=st.sampled_from([0.0, 0.4]),
)
@settings(max_examples=40)
def test_shares_of_any_size(size, rows, batch, sampling, norm, mixup, dropout):
    """Of batches that do not divide, also of fewer rows than processes, as an epoch's last may be."""
    batch = min(batch, rows)
    if norm == "batch":
        batch = max(batch, size, 2)
        rows = max(rows, batch)
    mlp, rng = MLP((5, 4, 3), norm=norm), np.random.default_rng(2)
    X, y = rng.standard_normal((rows, 5)), rng.integers(3, size=rows)
    data, params = (X, y, X[: rows // 2], y[: rows // 2]), random_params(rng, mlp=mlp)
    hyper = Hyper(0.1, 0.9, 0.01, dropout=dropout, input_dropout=dropout)
    regime = Regime(9, batch, sampling, mixup=mixup)

    def work(device):
        return train(device, params, data, mlp=mlp, regime=regime, hyper=hyper, sources=sources(3))

    compare(size, work)


@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("kind", ["cross-entropy", "squared-error"])
def test_weights_of_rows(by_batch, kind):
    """Whichever process has the heavy rows; some batches have none that weighs anything."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((30, 5))
    y = rng.integers(3, size=30) if kind == "cross-entropy" else rng.standard_normal((30, 3))
    weight = rng.exponential(size=30) * (rng.random(30) < 0.5)
    params = random_params(rng)
    regime = Regime(20, 3, "shuffle", loss=kind, weighs_by_batch=by_batch, reg_per_row=by_batch)

    def work(device):
        feed = Feed(device.put(X), device.put(y), weight=device.put(weight))
        validation = Feed(device.put(X[:9]), device.put(y[:9]), weight=device.put(weight[:9]))
        hyper = Hyper(0.05, 0.9, 0.01)
        state = begin(device, params, "float64", regime, hyper)
        return fit(
            MLP((5, 4, 3)), state, feed, validation,
            device=device, regime=regime, hyper=hyper, sources=sources(6),
        )  # fmt: skip

    compare(2, work)


@pytest.mark.parametrize("monitor", ["val_loss", "val_roc_auc", "val_balanced_accuracy"])
def test_all_stop_after_the_same_epoch(monitor):
    params = random_params(np.random.default_rng(8), (3,))
    alone, each = compare(
        3, lambda device: train(
            device, params, learnable(), monitor=monitor, patience=2, num_steps=200, sources=sources(9)
        )
    )  # fmt: skip
    assert alone.stopped_at.any()
    for other in each:
        assert_same(other.best.params, each[0].best.params)
        np.testing.assert_array_equal(other.best.epoch, alone.best.epoch)


def test_a_network_that_diverges_does_so_in_all():
    params = random_params(np.random.default_rng(8), (2,))
    hyper = Hyper(np.array([0.1, 1e30]), 0.9, 0.01)
    alone = train(HERE, params, learnable(), hyper=hyper, sources=sources(9))
    assert list(alone.diverged_at > 0) == [False, True]
    for each in on_devices(2, lambda d: train(d, params, learnable(), hyper=hyper, sources=sources(9))):
        np.testing.assert_array_equal(each.diverged_at, alone.diverged_at)
        assert_close(each.params, alone.params)


@pytest.mark.parametrize("who", [0, 1])
def test_whoever_is_asked_to_stop_ends_the_run_of_all(who):
    params = random_params(np.random.default_rng(8))

    def work(device):
        asked = []

        def should_stop():
            asked.append(True)
            return device.team.rank == who and len(asked) > 7

        return train(device, params, learnable(), should_stop=should_stop)

    each = on_devices(2, work)
    assert [(result.interrupted, len(result.history.losses)) for result in each] == [(True, 7)] * 2


def test_whose_time_is_up_ends_the_run_of_all():
    params = random_params(np.random.default_rng(8))

    def work(device):
        limit = 0.05 if device.team.rank == 1 else 1e6
        return train(device, params, learnable(), max_time=limit, num_steps=10**6)

    each = on_devices(2, work)
    assert [result.timed_out for result in each] == [True] * 2
    assert len({len(result.history.losses) for result in each}) == 1


def test_a_run_goes_on_from_an_epoch_with_any_number_of_processes():
    params = random_params(np.random.default_rng(8))
    whole = train(HERE, params, learnable(), sources=sources(4), num_steps=20)

    def half(device):
        kept = []

        def keep(now):
            kept.append(now)
            return len(kept) == 2

        train(device, params, learnable(), sources=sources(4), num_steps=20, on_fit=keep)
        return kept[-1]

    def rest(after):
        return lambda device: train(
            device, params, learnable(), sources=sources(4), num_steps=20, after=after, state=after.state
        )

    (after,) = on_devices(2, half)[:1]
    assert 0 < len(after.history.losses) < 20
    after.state["params"] = {name: np.array(value) for name, value in after.state["params"].items()}
    assert_close(rest(after)(HERE).params, whole.params)


def test_parameters_that_differ_end_the_run_of_all():
    def work(device):
        value = np.ones(3) + (1e-16 if device.team.rank else 2e-16)
        check_equal(device, {"W1": np.ones((3, 3))}, np.ones(2))
        with pytest.raises(DeviceError, match=r"no longer have the same parameters.*use identical machines"):
            check_equal(device, {"W1": value})
        with pytest.raises(DeviceError):
            check_equal(device, {"W1": np.ones(3)}, np.array([device.team.rank]))

    on_devices(2, work)
    check_equal(Device(), {"W1": np.ones(3)})


@given(rows=st.integers(1, 40), size=st.integers(1, 9))
def test_shares_make_up_the_batch(rows, size):
    shares = in_processes(size, lambda team: team.share(rows))
    assert sum(share.part for share in shares) == pytest.approx(1.0)
    counted = [row for share in shares if share.part for row in range(share.begin, share.end)]
    assert counted == list(range(rows))
    assert all(0 <= share.begin < share.end <= rows for share in shares)
    sizes = [share.end - share.begin for share in shares]
    assert max(sizes) - min(sizes) <= 1
    for share in shares:
        assert share.of(np.arange(rows)).tolist() == share.mirrored().of(np.arange(rows)[::-1]).tolist()[::-1]


@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_rows_on_the_disk_are_read_by_share(tmp_path, monkeypatch, mixup):
    """Each process reads its part of each batch, and the network is the one of rows in memory."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((60, 5)), rng.integers(3, size=60)
    np.save(tmp_path / "X.npy", X)
    params, regime = random_params(rng), Regime(20, 7, "all", mixup=mixup)
    asked = []
    read = HostRows.read

    def counted(self, index, into):
        asked.append(len(index))
        return read(self, index, into)

    def work(device, on_disk):
        rows = HostRows(NpyRows(tmp_path / "X.npy"), device, "float64") if on_disk else X
        state = {"params": {name: value.copy() for name, value in params.items()}}
        feed, hyper = Feed(rows, y), Hyper(learning_rate=0.1)
        return fit(MLP_543, state, feed, device=device, regime=regime, hyper=hyper, sources=sources(5))

    in_memory = on_devices(2, lambda device: work(device, False))
    monkeypatch.setattr(HostRows, "read", counted)
    from_disk = on_devices(2, lambda device: work(device, True))
    for found, expected in zip(from_disk, in_memory, strict=True):
        assert_same(found.params, expected.params)
    assert sum(asked) < 1.5 * regime.num_steps * 7 + 2 * 7
