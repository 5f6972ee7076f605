"""Networks set up one by one and trained as a stack: each is what it is alone, and leaves at its end."""

from dataclasses import replace

import numpy as np
from fits import MLP_543, random_params, sources

from xpnet.data.feed import Feed
from xpnet.training import together
from xpnet.training.loop import fit
from xpnet.training.regime import Hyper, Known, Regime
from xpnet.training.scale import Scale
from xpnet.training.step import initial_state
from xpnet.training.stopping import Patience
from xpnet.training.together import Job, kind_of, train_together

REGIME = Regime(num_steps=24, batch_size=6, sampling="all", solver="adam", monitor="val_loss")


class After:
    """Ends a network after so many epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def ends(self, epoch):
        return np.full(np.shape(epoch.train_loss), epoch.number + 1 >= self.epochs)


def some_job(device, dtype, seed, regime=REGIME, stopping=None, validates=True, members=1, **hyper):
    """A job with rows, weights and parameters of its own."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((22, 5)), rng.integers(3, size=22)
    feed = Feed(device.put(X, dtype), device.put(y), weight=device.put(rng.random(22) + 0.5, dtype))
    validation = Feed(device.put(X[:7] + 1, dtype), device.put(y[:7])) if validates else None
    nets = () if members == 1 else (members,)
    hyper = Hyper(**{"learning_rate": 0.01 * (1 + seed), "reg": 0.1 * seed} | hyper)
    params = {name: device.put(value, dtype) for name, value in random_params(rng, nets).items()}
    copied = {name: device.xp.asarray(value, copy=True) for name, value in params.items()}
    streams = [sources(100 * seed + k) for k in range(members)]
    return Job(
        MLP_543,
        {"params": copied},
        feed,
        validation,
        regime,
        hyper,
        streams,
        Known(regime, hyper, nets),
        stopping or Patience(None),
    )


def alone(device, job):
    """The same by `fit`."""

    def each(stream, epoch):
        drawn = [of(stream, epoch) for of in job.streams]
        return drawn[0] if job.members == 1 else drawn

    with device.active():
        copied = {n: device.xp.asarray(a, copy=True) for n, a in job.state["params"].items()}
        return fit(
            job.mlp,
            initial_state(device, copied, job.regime, job.hyper),
            job.feed,
            job.validation,
            device=device,
            regime=job.regime,
            hyper=job.hyper,
            sources=each,
            schedule=job.schedule,
            stopping=job.stopping,
            target=job.target,
        )


def assert_alike(device, found, expected, assert_close, rows=None):
    for name, value in expected.params.items():
        assert_close(found.params[name], device.to_host(value))
    assert found.diverged_at.tolist() == expected.diverged_at.tolist()
    assert found.stopped_at.tolist() == expected.stopped_at.tolist()
    count = len(expected.history.rows) if rows is None else rows
    for ours, theirs in zip(found.history.rows[:count], expected.history.rows, strict=True):
        for a, b in zip(ours[:-1], theirs[:-1], strict=True):
            np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-4, atol=1e-6)
    if expected.best is not None:
        np.testing.assert_array_equal(found.best.epoch, expected.best.epoch)
        assert_close(found.best.params["W1"], device.to_host(expected.best.params["W1"]))


def test_each_is_what_it_is_alone(device, dtype, assert_close):
    jobs = [some_job(device, dtype, seed) for seed in range(3)]
    jobs.append(some_job(device, dtype, 3, members=2))
    expected = [alone(device, job) for job in jobs]
    for found, one in zip(train_together(jobs, device), expected, strict=True):
        assert_alike(device, found, one, assert_close)


def test_one_that_has_ended_leaves(device, dtype, assert_close, monkeypatch):
    sizes = []
    plain = together.fit

    def noted(mlp, state, *args, **options):
        sizes.append(state["params"]["W1"].shape[0])
        return plain(mlp, state, *args, **options)

    monkeypatch.setattr(together, "fit", noted)
    monkeypatch.setattr(together, "LEAVING", 2)
    regime = replace(REGIME, monitor=None)
    ends = [1, 4, 2, 9]
    jobs = [
        some_job(device, dtype, seed, regime, After(end), validates=False, members=1 + (seed == 1))
        for seed, end in enumerate(ends)
    ]
    expected = [alone(device, job) for job in jobs]
    results = train_together(jobs, device)
    assert sizes == ([5, 4, 3, 1] if device.is_host else [5, 3, 1])  # the members of one leave together
    for found, one, end in zip(results, expected, ends, strict=True):
        assert_alike(device, found, one, assert_close, min(end, 6))


def test_one_that_diverges_leaves(device, dtype, assert_close):
    jobs = [some_job(device, dtype, seed, replace(REGIME, solver="sgd")) for seed in range(2)]
    wild = some_job(device, dtype, 2, replace(REGIME, solver="sgd"), learning_rate=1e9)
    jobs.insert(1, wild)
    expected = [alone(device, job) for job in jobs]
    assert [int(one.diverged_at > 0) for one in expected] == [0, 1, 0]
    for found, one in zip(train_together(jobs, device), expected, strict=True):
        assert_alike(device, found, one, assert_close, len(one.history.rows))


def test_targets_on_a_scale_of_their_own():
    from xpnet.device import Device

    device, regime = Device(), replace(REGIME, loss="squared-error", monitor="val_rmse")
    jobs = []
    for seed in range(2):
        job = some_job(device, "float64", seed, regime)
        y = np.random.default_rng(seed).standard_normal((22, 3))
        jobs.append(
            replace(
                job,
                feed=replace(job.feed, y=y),
                validation=replace(job.validation, y=y[:7]),
                target=Scale(np.zeros(3), np.full(3, 10.0 ** (seed + 1))),
            )
        )
    expected = [alone(device, job) for job in jobs]
    for found, one in zip(train_together(jobs, device), expected, strict=True):
        np.testing.assert_array_equal(found.best.value, one.best.value)
    assert expected[1].best.value < 5 * expected[0].best.value  # in the units of before


def test_a_stack_that_is_stopped_returns_what_there_is():
    from xpnet.device import Device

    device, asked = Device(), []

    def should_stop():
        asked.append(None)
        return len(asked) > 9

    jobs = [some_job(device, "float64", seed) for seed in range(2)]
    results = train_together(jobs, device, should_stop=should_stop)
    assert [one.interrupted for one in results] == [True, True]
    assert len(results[0].history.losses) == 9


def test_what_the_jobs_of_a_stack_have_in_common():
    from xpnet.device import Device

    device = Device()
    job = some_job(device, "float64", 0)
    assert kind_of(job) == kind_of(some_job(device, "float64", 1, members=3, dropout=0.1))
    feed = job.feed
    others = [
        some_job(device, "float32", 0),
        some_job(device, "float64", 0, replace(REGIME, num_steps=12)),
        some_job(device, "float64", 0, validates=False),
        replace(job, feed=replace(feed, X=feed.X[:-1], y=feed.y[:-1], weight=feed.weight[:-1])),
        replace(job, feed=replace(feed, weight=None)),
        replace(job, feed=replace(feed, prepare=lambda rows: rows)),
        replace(job, state=job.state | {"gradients": job.state["params"]}),
        replace(job, updates=5),
    ]
    for other in others:
        assert kind_of(other) != kind_of(job)
