"""scikit-learn estimators: `MLPClassifier` and `MLPRegressor` (extra ``sklearn``).

May import: device, nn, data, training.
"""

try:
    import sklearn  # noqa: F401 - only whether it is there
except ModuleNotFoundError as error:
    raise ImportError(
        'xpnet.MLPClassifier and MLPRegressor need scikit-learn: run `pip install "xpnet[sklearn]"`'
    ) from error

from xpnet.estimator.classifier import MLPClassifier
from xpnet.estimator.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
