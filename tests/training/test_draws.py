"""What is drawn for the steps of an epoch: shapes, sources, and that a network of a stack draws as alone."""

import math

import numpy as np
import pytest
from fits import EVERYTHING, HERE, NETS, image_feed, learnable, own_sources, random_params, sources

from xpnet.data.batches import draw_batches
from xpnet.data.feed import Feed
from xpnet.device import of_step
from xpnet.errors import InputError
from xpnet.training.draws import draw_epoch
from xpnet.training.regime import Hyper, Regime


def drawn(nets, source, hyper=EVERYTHING["hyper"], regime=EVERYTHING["regime"], epoch=0):
    params = random_params(np.random.default_rng(10), nets, EVERYTHING["mlp"])
    feed = image_feed(HERE, "float64", EVERYTHING["augmentation"])
    rates = regime.learning_rates(hyper, nets, range(5), epoch)
    (table,) = draw_epoch(HERE, feed, regime, hyper, params, source, epoch, 0, {"rate": rates})
    return table


@pytest.mark.parametrize("nets", NETS)
def test_shapes_of_draws_that_all_share(nets):
    shapes = {name: value.shape for name, value in drawn(nets, sources(0)).items()}
    assert shapes == {
        "index": (5, 6),
        "rate": (5, *nets),
        "count": (5,),
        "augment": (5,),
        "dropout": (5,),
        "mix": (5,),
    }


@pytest.mark.parametrize("nets", NETS[1:])
def test_draws_of_ones_own_are_those_of_each_network_alone(nets):
    count = math.prod(nets)
    together = drawn(nets, own_sources(*range(count)))
    assert together["index"].shape == (5, *nets, 6)
    for seed, net in enumerate(np.ndindex(nets)):
        alone = drawn((), sources(seed))
        for name in ("index", "augment", "dropout", "mix"):
            np.testing.assert_array_equal(together[name][(slice(None), *net)], alone[name], err_msg=name)


def test_batches_are_those_of_their_source():
    source = sources(11)("batches", 3)
    np.testing.assert_array_equal(
        drawn((), sources(11), epoch=3)["index"], draw_batches(source, 30, 6, 5, "shuffle")[0]
    )


def test_counts_go_on_from_epoch_to_epoch():
    regime, hyper, params = Regime(17, 6), Hyper(), random_params(np.random.default_rng(12))
    feed = Feed(*learnable()[:2])
    (epoch,) = draw_epoch(HERE, feed, regime, hyper, params, sources(0), 2, 6, {"rate": np.zeros(4)})
    assert [float(of_step(epoch, i)["count"]) for i in range(4)] == [7, 8, 9, 10]


@pytest.mark.parametrize("stream", ["batches", "augment", "dropout", "mixup"])
def test_not_as_many_sources_as_networks(stream):
    def source(name, epoch):
        return (own_sources(1) if name == stream else sources(1))(name, epoch)

    with pytest.raises(InputError, match=rf"1 sources of {stream} for networks \(3,\): give one for each"):
        drawn((3,), source)


@pytest.mark.parametrize("nets", NETS)
def test_the_last_batch_of_all_rows_has_a_table_of_its_own(nets):
    source = own_sources(*range(math.prod(nets))) if nets else sources(0)
    regime, hyper = Regime(8, 7, "all", mixup=0.3), Hyper(dropout=0.2)
    params = random_params(np.random.default_rng(12), nets)
    by_step = {"rate": np.arange(5.0).reshape(5, *(1 for _ in nets)) + np.zeros(nets)}
    full, rest = draw_epoch(HERE, Feed(*learnable()[:2]), regime, hyper, params, source, 0, 10, by_step)
    assert full["index"].shape == (4, *nets, 7)
    assert rest["index"].shape == (1, *nets, 2)
    together = np.concatenate([full["index"], *np.split(rest["index"], 1)], axis=None)
    assert sorted(together) == sorted(list(range(30)) * math.prod(nets))
    for name, values in full.items():
        assert len(values) == 4, name
        assert len(rest[name]) == 1, name
    assert full["count"].tolist() == [11, 12, 13, 14]
    assert rest["count"].tolist() == [15]
