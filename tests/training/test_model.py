"""A model used: raw rows in, classes out, on any device; averaged, folded."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import CONTRASTS, EVERY_KIND, IMAGES, PREPROCESSINGS, make, rows

from xpnet.data import transforms
from xpnet.errors import InputError
from xpnet.nn import backprop
from xpnet.training.model import Model


def prepared(model, X):
    fitted = {name: value.astype(model.params["W1"].dtype) for name, value in model.fitted.items()}
    return transforms.apply(np, model.preprocessing, fitted, X)


def softmax(scores):
    P = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return P / P.sum(axis=-1, keepdims=True)


# Raw rows in, classes out


@pytest.mark.parametrize("how", [*PREPROCESSINGS, *CONTRASTS], ids=str)
def test_scores_of_raw_rows(device, how):
    model, X = make(how, norm="batch"), rows(2300)
    scores = model.scores(X, device)
    assert type(scores) is np.ndarray
    assert scores.dtype == np.float32
    expected = backprop.scores(np, model.mlp, model.params, prepared(model, X))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(model.predict(X, device), scores.argmax(axis=1))
    np.testing.assert_allclose(model.probabilities(X, device), softmax(scores), rtol=1e-4, atol=1e-5)


def views_by_hand(X, averaging):
    """The raw images and their mirror images, each as it is and shifted by a pixel, padded by NumPy."""
    views = []
    ways = (0,) if averaging == "flip" else (0, -1, 1)
    for down, right in itertools.product(ways, ways):
        for images in (X.reshape(-1, *IMAGES), X.reshape(-1, *IMAGES)[:, :, ::-1]):
            padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
            views.append(padded[:, 1 + down : 5 + down, 1 + right : 4 + right].reshape(len(X), 12))
    return views


@pytest.mark.parametrize("networks", [None, 1, 3])
@pytest.mark.parametrize("averaging", ["none", "flip", "flip-shift"])
@pytest.mark.parametrize("how", [PREPROCESSINGS[3], CONTRASTS[0]], ids=str)
def test_probabilities_are_the_mean_over_views_and_networks(device, networks, averaging, how):
    model, X = make(how, networks=networks, averaging=averaging, dtype="float32"), rows(40)
    views = [X] if averaging == "none" else views_by_hand(X, averaging)
    assert len(views) == {"none": 1, "flip": 2, "flip-shift": 18}[averaging]
    each = [softmax(backprop.scores(np, model.mlp, model.params, prepared(model, view))) for view in views]
    expected = np.mean(each, axis=0)
    if networks is not None:
        assert expected.shape == (networks, 40, 3)
        expected = expected.mean(axis=0)
    P = model.probabilities(X, device)
    np.testing.assert_allclose(P, expected, rtol=1e-4, atol=1e-5)
    assert model.networks == networks
    np.testing.assert_array_equal(model.predict(X, device), P.argmax(axis=1))
    if networks is not None or averaging != "none":
        np.testing.assert_allclose(model.scores(X, device), np.log(P), rtol=1e-6)


@given(count=st.integers(1, 30), networks=st.sampled_from([None, 2]), seed=st.integers(0, 99))
def test_accuracy_is_the_part_of_rows_that_are_predicted(count, networks, seed):
    model, X = make(networks=networks), rows(count, seed)
    y = np.random.default_rng(seed).integers(3, size=count)
    expected = np.mean(model.predict(X) == y)
    assert model.score(X, y) == pytest.approx(expected, rel=1e-6)


def test_a_probability_of_0_is_a_score_of_minus_infinity():
    model = make(networks=2)
    model.params["W3"] = model.params["W3"] * np.float32(1e6)
    scores = model.scores(rows(20))  # a warning would be an error
    assert np.isneginf(scores).any()
    assert not np.isnan(scores).any()


@pytest.mark.parametrize("averaging", ["none", "flip"])
def test_no_rows_and_lists(averaging):
    model = make(averaging=averaging)
    for function in (model.scores, model.probabilities):
        nothing = function(np.empty((0, 12)))
        assert (nothing.shape, nothing.dtype) == ((0, 3), np.float32)
    assert model.predict([[1] * 12]).shape == (1,)


@pytest.mark.parametrize("shape", [(12,), (4, 11), (4, 2, 2, 3)])
@pytest.mark.parametrize("function", [Model.scores, Model.probabilities, Model.predict])
def test_rows_of_another_shape_are_refused(shape, function):
    with pytest.raises(InputError, match=re.escape(f"X has shape {shape}: give (rows, 12)")):
        function(make(), np.zeros(shape))


def test_a_model_is_not_written_to():
    model, X = make(networks=2, averaging="flip"), rows(9)
    arrays = [X, *model.params.values(), *model.fitted.values()]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    model.score(X, np.zeros(9, int))
    model.fold().predict(X)
    for array, values in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, values)


# Folded


@pytest.mark.parametrize("kind", [kind for kind in EVERY_KIND if not kind["how"].contrast])
def test_a_folded_model_gives_the_same_scores(kind):
    """Raw pixels in, no preprocessing, the same scores out, to 1e-5 of the largest in float32."""
    model, X = make(**kind), rows(60, seed=3)
    folded = model.fold()
    assert folded.preprocessing.kind == "none"
    assert (folded.num_features, folded.mlp.sizes[0]) == (12, 12)
    assert folded.params["W1"].dtype == folded.params["b1"].dtype == np.float32
    assert folded.params["W1"].shape[-2:] == (12, 5)
    np.testing.assert_allclose(folded.probabilities(X), model.probabilities(X), rtol=0, atol=1e-5)
    expected = model.scores(X)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(folded.scores(X), expected, rtol=0, atol=1e-5 * scale)
    np.testing.assert_array_equal(folded.predict(X), model.predict(X))


def test_folding_is_a_matter_of_preprocessing_only():
    model = make(PREPROCESSINGS[2], norm="batch", networks=2, averaging="flip")
    folded = model.fold()
    assert (folded.averaging, folded.class_names, folded.image_shape) == (
        model.averaging,
        model.class_names,
        model.image_shape,
    )
    for name in model.params.keys() - {"W1", "b1"}:
        assert folded.params[name] is model.params[name]
    assert folded.fold().scores(rows(5)).tolist() == folded.scores(rows(5)).tolist()


@pytest.mark.parametrize("how", CONTRASTS, ids=str)
def test_contrast_normalisation_cannot_be_folded(how):
    with pytest.raises(InputError, match="contrast normalisation divides each row") as caught:
        make(how).fold()
    assert "\n" not in str(caught.value)
