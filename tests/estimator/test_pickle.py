"""Estimators that were given a device, in a pickle, a copy and a clone."""

import copy
import pickle

import numpy as np
import pytest
from estimators import classes, fitted
from sklearn.base import clone

from xpnet import MLPClassifier
from xpnet.device import get_device


@pytest.fixture(params=["numpy", "torch"])
def of_backend(request):
    pytest.importorskip(request.param, exc_type=ImportError)
    return get_device("cpu", request.param)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda estimator: pickle.loads(pickle.dumps(estimator))])
def test_an_estimator_that_holds_a_device(of_backend, make):
    X, y = classes("multiclass")
    estimator = fitted(
        MLPClassifier(hidden_layer_sizes=(5,), max_iter=3, random_state=0, device=of_backend), X, y
    )
    other = make(estimator)
    np.testing.assert_array_equal(other.predict_proba(X), estimator.predict_proba(X))
    assert other.device.options == of_backend.options
    assert clone(estimator).device.options == of_backend.options
