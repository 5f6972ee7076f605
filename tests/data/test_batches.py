"""The draws of batches and the ends of epochs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data.batches import batches_per_epoch, draw_batches, epoch_ends, in_blocks

sources = pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng])


@sources
@pytest.mark.parametrize(("num_rows", "batch_size"), [(5, 200), (1797, 7), (49_000, 400), (1, 3)])
def test_a_block_with_replacement_is_one_choice_after_another(source, num_rows, batch_size):
    (block,) = draw_batches(source(3), num_rows, batch_size, 9, "replacement")
    rng = source(3)
    assert block.shape == (9, batch_size)
    for batch in block:
        np.testing.assert_array_equal(batch, rng.choice(num_rows, batch_size))


@sources
def test_blocks_after_each_other_go_on_with_the_draws(source):
    """However the epochs cut the run, its batches are the same."""
    rng = source(4)
    blocks = [draw_batches(rng, 11, 3, count, "replacement")[0] for count in (1, 4, 2)]
    (whole,) = draw_batches(source(4), 11, 3, 7, "replacement")
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@sources
@given(num_rows=st.integers(1, 50), batch_size=st.integers(1, 50), seed=st.integers(0, 2**32 - 1))
def test_a_shuffled_epoch_has_each_row_at_most_once(source, num_rows, batch_size, seed):
    count = num_rows // batch_size
    tables = draw_batches(source(seed), num_rows, batch_size, count, "shuffle")
    assert len(tables) == (count > 0)
    block = tables[0] if tables else np.empty((0, batch_size), int)
    assert block.shape == (count, batch_size)
    assert set(block.flat) <= set(range(num_rows))
    assert len(set(block.flat)) == block.size > num_rows - batch_size


@sources
def test_every_epoch_is_shuffled_anew(source):
    rng = source(5)
    first, second = (draw_batches(rng, 100, 10, 10, "shuffle")[0] for _ in range(2))
    assert (first != second).any()
    assert set(first.flat) == set(second.flat) == set(range(100))


@sources
def test_a_short_epoch_takes_the_first_batches_of_the_shuffle(source):
    (whole,) = draw_batches(source(6), 100, 10, 10, "shuffle")
    np.testing.assert_array_equal(draw_batches(source(6), 100, 10, 3, "shuffle")[0], whole[:3])


@sources
@given(num_rows=st.integers(1, 50), batch_size=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_an_epoch_of_all_rows_has_each_of_them_once(source, num_rows, batch_size, seed):
    count = batches_per_epoch(num_rows, batch_size, "all")
    tables = draw_batches(source(seed), num_rows, batch_size, count, "all")
    assert sum(len(table) for table in tables) == count
    sizes = [row.size for table in tables for row in table]
    assert sizes[:-1] == [batch_size] * (count - 1)
    assert sizes[-1] == num_rows - batch_size * (count - 1)
    order = np.concatenate([table.ravel() for table in tables])
    np.testing.assert_array_equal(order, source(seed).permutation(num_rows))


@sources
@given(num_rows=st.integers(1, 50), batch_size=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_a_filled_batch_takes_up_the_first_rows_again(source, num_rows, batch_size, seed):
    """Each row is in the epoch, and none twice in a batch."""
    count = batches_per_epoch(num_rows, batch_size, "all")
    (table,) = draw_batches(source(seed), num_rows, batch_size, count, "all", filled=True)
    assert table.shape == (count, min(batch_size, num_rows))
    order = source(seed).permutation(num_rows)
    np.testing.assert_array_equal(table.ravel(), np.concatenate([order, order])[: table.size])
    assert all(len(set(batch)) == len(batch) for batch in table.tolist())
    rests = draw_batches(source(seed), num_rows, batch_size, count, "all")
    if num_rows % min(batch_size, num_rows) == 0:  # nothing to fill
        np.testing.assert_array_equal(table, rests[0])


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_other_batches_are_full_as_they_are(sampling):
    of = [draw_batches(np.random.default_rng(0), 11, 3, 3, sampling, filled)[0] for filled in (False, True)]
    np.testing.assert_array_equal(*of)


@pytest.mark.parametrize(
    ("rows", "size", "sampling", "steps"),
    [(10, 3, "all", 4), (9, 3, "all", 3), (2, 3, "all", 1), (10, 3, "shuffle", 3), (2, 3, "replacement", 1)],
)
def test_batches_of_an_epoch(rows, size, sampling, steps):
    assert batches_per_epoch(rows, size, sampling) == steps


@pytest.mark.parametrize(
    ("num_steps", "steps_per_epoch", "sampling", "ends"),
    [
        # With replacement an epoch of one step comes first, as in the original.
        (10, 3, "replacement", [1, 4, 7, 10]),
        (9, 3, "replacement", [1, 4, 7, 9]),
        (8, 3, "replacement", [1, 4, 7, 8]),
        (7, 3, "replacement", [1, 4, 7]),
        (1, 3, "replacement", [1]),
        (2, 3, "replacement", [1, 2]),
        (4, 1, "replacement", [1, 2, 3, 4]),
        (10, 3, "shuffle", [3, 6, 9, 10]),
        (9, 3, "shuffle", [3, 6, 9]),
        (3, 3, "shuffle", [3]),
        (2, 3, "shuffle", [2]),
        (4, 1, "shuffle", [1, 2, 3, 4]),
        (1600, 122, "replacement", [1, *range(123, 1600, 122), 1600]),
    ],
)
def test_epoch_ends(num_steps, steps_per_epoch, sampling, ends):
    assert epoch_ends(num_steps, steps_per_epoch, sampling) == ends


@given(
    num_steps=st.integers(1, 100),
    steps_per_epoch=st.integers(1, 30),
    sampling=st.sampled_from(["replacement", "shuffle", "all"]),
)
def test_epochs_cover_all_steps_and_none_is_longer_than_an_epoch(num_steps, steps_per_epoch, sampling):
    lengths = np.diff([0, *epoch_ends(num_steps, steps_per_epoch, sampling)])
    assert sum(lengths) == num_steps
    assert all(0 < length <= steps_per_epoch for length in lengths)


@sources
@given(blocks=st.lists(st.integers(1, 9), min_size=1, max_size=12), buffer=st.integers(1, 40))
def test_an_order_in_blocks_has_each_row_once_and_reads_each_block_once(source, blocks, buffer):
    order = in_blocks(source(5), np.array(blocks), buffer)
    np.testing.assert_array_equal(np.sort(order), np.arange(sum(blocks)))
    of = np.repeat(np.arange(len(blocks)), blocks)[order]
    last = {block: place for place, block in enumerate(of)}
    first = {block: len(of) - 1 - place for place, block in enumerate(of[::-1])}
    for place in range(len(of)):  # the blocks that are begun and not ended are few
        begun = [block for block in first if first[block] <= place <= last[block]]
        assert sum(blocks[block] for block in begun) < buffer + max(blocks)


@sources
def test_blocks_are_shuffled_with_others_and_anew(source):
    rng = source(6)
    first, second = (in_blocks(rng, np.full(20, 50), 200) for _ in range(2))
    assert not np.array_equal(first, second)
    for order in (first, second):
        assert len(set(order[:200] // 50)) == 4
        assert np.abs(np.diff(order)).mean() > 50


@sources
@pytest.mark.parametrize("blocks", [None, np.full(20, 5)])
def test_an_order_is_the_same_in_half_of_the_memory(source, blocks):
    orders = [
        draw_batches(source(7), 100, 10, 10, "shuffle", blocks=blocks, buffer=30, dtype=dtype)[0]
        for dtype in (np.int64, np.int32)
    ]
    assert [order.dtype for order in orders] == [np.int64, np.int32]
    np.testing.assert_array_equal(*orders)
    if blocks is None:
        np.testing.assert_array_equal(orders[0].ravel(), source(7).permutation(100))
