"""scikit-learn estimators (extra ``sklearn``).

`MLPClassifier` and `MLPRegressor` have the parameters of scikit-learn's own. `TableClassifier` and
`TableRegressor`, in ``tables``, train as `xpnet.fit` does. `MLPSearchCV`, in ``search``, fits many networks
``together``.

May import: device, nn, columns, data, training, reporting, exporters, runs.
"""

try:
    import sklearn  # noqa: F401 - only whether it is there
except ModuleNotFoundError as error:
    raise ImportError(
        'the estimators of xpnet need scikit-learn: run `pip install "xpnet[sklearn]"`'
    ) from error

from xpnet.estimator.classifier import MLPClassifier
from xpnet.estimator.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
