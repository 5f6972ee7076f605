"""Pictures of a run: what is drawn, and that anything a run leaves can be drawn."""

import io
import subprocess
import sys

import numpy as np
import pytest

from xpnet.errors import InputError
from xpnet.reporting import metrics, plots
from xpnet.training.history import History, Row

pytest.importorskip("matplotlib")


def history(num_epochs, steps_per_epoch=5, loss=lambda step: 2.0 / step):
    losses = [np.float64(loss(step)) for step in range(1, num_epochs * steps_per_epoch + 1)]
    rows = []
    for epoch in range(1, num_epochs + 1):
        end = epoch * steps_per_epoch
        mean = float(np.mean(losses[end - steps_per_epoch : end]))
        accuracy = 1 - 1 / (epoch + 1)
        rows.append(Row(end, epoch, 0.1, mean, accuracy, mean + 0.1, accuracy - 0.1, 1.0 * epoch))
    return History(rows, losses)


def schedule(steps=20):
    return np.arange(1, steps + 1), np.linspace(0.1, 0.0, steps)


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_curves_show_loss_and_accuracy_of_both_splits():
    h = history(4)
    figure = plots.curves(h, schedule(40))
    loss, accuracy, rate = figure.axes
    drawn = lines(loss)
    np.testing.assert_allclose(drawn["train, each step"][:, 0], np.arange(1, 21))
    np.testing.assert_allclose(drawn["train, each step"][:, 1], h.losses)
    # The mean of steps 1 to 5 stands over step 3; what was measured after step 5, over step 5.
    np.testing.assert_allclose(drawn["train, mean of an epoch"][:, 0], [3, 8, 13, 18])
    np.testing.assert_allclose(drawn["validation"][:, 0], [5, 10, 15, 20])
    np.testing.assert_allclose(drawn["validation"][:, 1], [r.val_loss for r in h.rows])
    drawn = lines(accuracy)
    np.testing.assert_allclose(drawn["train, last batch"][:, 1], [r.train_score for r in h.rows])
    np.testing.assert_allclose(drawn["validation"][:, 1], [r.val_score for r in h.rows])
    assert png(figure).startswith(b"\x89PNG")
    # A run that ended early is drawn as far as it came, and so is its schedule.
    np.testing.assert_allclose(lines(rate)["learning rate"], np.transpose(schedule(40))[:20])
    for axes in (loss, accuracy, rate):
        left, right = axes.get_xlim()
        assert 0 < left <= 1
        assert 20 <= right < 21


@pytest.mark.parametrize(
    ("num_epochs", "loss"),
    [
        (1, lambda _: 2.3),
        (300, lambda step: 2.3 / step),
        (2, lambda _: 0.0),
        (2, lambda _: np.nan),
        (3, lambda step: np.inf if step > 8 else 10.0 ** (4 * step)),
        (3, lambda step: np.nan if step > 8 else 1e38),
    ],
    ids=["one epoch", "300 epochs", "zero", "NaN from the start", "overflow", "huge"],
)
def test_any_history_can_be_drawn(num_epochs, loss):
    figure = plots.curves(history(num_epochs, loss=loss), schedule(num_epochs * 5))
    assert len(png(figure)) > 5000
    for axes in figure.axes:
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_no_accuracy_is_beyond_its_limits(accuracy):
    h = history(4)
    h.rows = [row._replace(train_score=accuracy, val_score=accuracy) for row in h.rows]
    bottom, top = plots.curves(h, schedule()).axes[1].get_ylim()
    assert 0 <= bottom <= accuracy <= top <= 1
    assert bottom < top


@pytest.mark.parametrize(("best", "least"), [(0.5, -1.0), (-1.25, -3.5), (-400.0, -801.0)])
def test_an_axis_of_r2_has_the_best_value_of_each_line(best, least):
    h = history(4)
    h.rows = [
        row._replace(train_score=0.9, val_score=value)
        for row, value in zip(h.rows, [-1e6, -1e4, best, best - 0.25], strict=True)
    ]
    axes = plots.curves(h, schedule(), "r2").axes[1]
    assert axes.get_ylim()[0] == least < best


@pytest.mark.parametrize(
    ("loss", "scale"),
    [
        (lambda step: 2.3 - step / 100, "linear"),
        (lambda step: 2.3 / step, "log"),
        (lambda step: 1e30 * step**9, "linear"),  # nothing that can be drawn
    ],
)
def test_a_loss_that_falls_far_is_drawn_on_a_logarithmic_scale(loss, scale):
    figure = plots.curves(history(10, loss=loss), schedule())
    assert figure.axes[0].get_yscale() == scale


def test_a_tile_by_hand():
    rows = np.array([[0.0, 1.0], [5.0, 3.0], [-1.0, -1.0]])
    grid = plots.tile(rows, (1, 2, 1))
    expected = np.zeros((5, 7), np.uint8)
    expected[1, 1:3] = [0, 255]  # each image in its own contrast
    expected[1, 4:6] = [255, 0]
    np.testing.assert_array_equal(grid, np.repeat(expected[..., None], 3, axis=2))


def test_a_tile_keeps_colours_and_drops_opacity():
    image = np.array([[[0.0, 1.0, 2.0, 9.0]]])
    grid = plots.tile(image.reshape(1, 4), (1, 1, 4))
    assert grid.shape == (3, 3, 3)
    np.testing.assert_array_equal(grid[1, 1], [0, 128, 255])


def test_a_tile_of_numbers_that_are_none():
    grid = plots.tile(np.array([[np.nan, np.inf, 1.0, 2.0]]), (2, 2, 1))
    np.testing.assert_array_equal(grid[1:3, 1:3, 0], [[0, 0], [128, 255]])


@pytest.mark.parametrize("units", [1, 300])
def test_the_picture_of_weights_is_the_tile_enlarged(units):
    from matplotlib.image import imread

    W = np.random.default_rng(0).standard_normal((64, units))
    picture = imread(io.BytesIO(png(plots.weights(W, (8, 8, 1)))))
    grid = plots.tile(W.T, (8, 8, 1))
    zoom = picture.shape[0] // grid.shape[0]
    assert picture.shape[1] >= plots.WIDTH
    assert (picture.shape[1], picture.shape[0]) == (grid.shape[1] * zoom, grid.shape[0] * zoom)
    pixels = np.rint(255 * picture[::zoom, ::zoom, :3])
    np.testing.assert_array_equal(pixels, grid)


@pytest.mark.parametrize(
    ("image_shape", "reason"), [(None, "are not images"), ((2, 2, 2), "images of 2 channels")]
)
def test_rows_that_are_no_images(image_shape, reason):
    with pytest.raises(InputError, match=reason) as caught:
        plots.weights(np.zeros((8, 3)), image_shape)
    assert "leave out --weights-image" in str(caught.value)


def test_neither_pyplot_nor_a_window_is_loaded():
    code = """if True:
        import sys
        import numpy as np
        from xpnet.reporting import plots
        assert "matplotlib" not in sys.modules
        plots.weights(np.zeros((4, 2)), (2, 2, 1)).savefig(sys.stdout.buffer, format="png")
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def classes(num_classes, rows=300):
    rng = np.random.default_rng(0)
    y = rng.integers(0, num_classes, rows)
    predicted = np.where(rng.random(rows) < 0.6, y, rng.integers(0, num_classes, rows))
    return metrics.confusion(y, predicted, num_classes), metrics.per_class(y, predicted, num_classes)


@pytest.mark.parametrize("num_classes", [1, 10, 40, 300])
def test_any_confusion_matrix_can_be_drawn(num_classes):
    counts, found = classes(num_classes)
    # Of names like these matplotlib would make formulas, if it could.
    figure = plots.confusion(counts, found, [f"$\\bad{k}$ \x1b" * (k % 3 + 1) for k in range(num_classes)])
    assert png(figure).startswith(b"\x89PNG")
    matrix = figure.axes[0]
    np.testing.assert_allclose(
        matrix.images[0].get_array(), counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    )
    if num_classes <= plots.MOST_NUMBERED:
        assert [int(text.get_text()) for text in matrix.texts] == counts[counts > 0].tolist()
        table = [text.get_text() for text in figure.axes[1].texts]
        assert table[3::4] == [str(support) for support in found.support]
        assert r"\x1b" in matrix.get_yticklabels()[0].get_text()


def test_what_is_unknown_of_a_class_is_a_dash():
    y = np.array([0, 0])
    figure = plots.confusion(metrics.confusion(y, y, 2), metrics.per_class(y, y, 2), ["a", "b"])
    assert [t.get_text() for t in figure.axes[1].texts] == [*["100.0 %"] * 3, "2", *["–"] * 3, "0"]


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (4, 3), (7, 4), (25, 3)])
def test_mistakes(count, channels):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (count, 12 * channels)).astype(np.uint8)
    P = np.full((count, 3), 0.05)
    P[:, 2] = 0.9
    figure = plots.mistakes(rows, (4, 3, channels), np.zeros(count, int), P, ["a", "b", "$x$" * 20])
    assert png(figure).startswith(b"\x89PNG")
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == count
    title = drawn[0].get_title()
    assert title.startswith("a\npredicted $x$")
    assert title.endswith("…, 90 %")
    pixels = np.stack([axes.images[0].get_array() for axes in drawn])
    assert pixels.shape == (count, 4, 3, 3)
    seen = rows.reshape(count, 4, 3, channels)[..., :3].astype(float)
    seen = 255 * (seen - seen.min()) / (seen.max() - seen.min())
    np.testing.assert_allclose(pixels, np.broadcast_to(seen, pixels.shape), atol=0.5)


def test_predicted_numbers_by_hand():
    y, predicted = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 30.0]]), np.array([[1.5, 10], [2, 22], [3, 30]])
    figure = plots.predictions(y, predicted, ("height", "$evil"))
    assert figure.get_suptitle() == ""
    for k in range(2):
        scatter, residuals = figure.axes[2 * k : 2 * k + 2]
        np.testing.assert_allclose(
            scatter.collections[0].get_offsets(), np.stack([y[:, k], predicted[:, k]], axis=1)
        )
        drawn = residuals.collections[0].get_offsets()
        np.testing.assert_allclose(drawn, np.stack([predicted[:, k], y[:, k] - predicted[:, k]], axis=1))
        assert scatter.get_xlim() == scatter.get_ylim()
    assert [axes.get_title() for axes in figure.axes[::2]] == ["height", "$evil"]
    assert png(figure).startswith(b"\x89PNG")


def test_of_many_numbers_some_are_drawn():
    y = np.random.default_rng(0).normal(size=(plots.MOST_POINTS + 1, plots.MOST_OUTPUTS + 3))
    figure = plots.predictions(y, y, [str(k) for k in range(y.shape[1])])
    assert len(figure.axes) == 2 * plots.MOST_OUTPUTS
    assert len(figure.axes[0].collections[0].get_offsets()) == plots.MOST_POINTS
    assert figure.get_suptitle() == "5,000 of 5,001 rows, drawn at random; the first 4 of 7 outputs"


@pytest.mark.parametrize("y", [[0.0], [5.0, 5.0], [1e300, -1e300], [1e-300, 0.0], [np.inf, np.nan]])
def test_any_numbers_can_be_drawn(y):
    y = np.array(y)[:, None]
    assert len(png(plots.predictions(y, y[:, 0], ["a"]))) > 5000
