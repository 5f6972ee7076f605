"""Unknown parameters of estimators: what they probably mean, and where it can be set."""

import functools
import inspect
from collections.abc import Collection
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, ClassVar, Self, TypeVar

from sklearn.base import BaseEstimator

from xpnet.errors import InputError
from xpnet.estimator.cards import Carded
from xpnet.runs.config import Config
from xpnet.runs.names import meant

__all__ = ["Named", "hint_of_network", "hint_of_table", "named"]

T = TypeVar("T", bound="type[Named]")

OF_NETWORKS = {
    "beta2": "beta_2",
    "epochs": "max_iter",
    "hidden": "hidden_layer_sizes",
    "iterations": "max_iter",
    "learning_rate": "learning_rate_init",
    "min_delta": "tol",
    "patience": "n_iter_no_change",
    "quiet": "verbose",
    "reg": "alpha",
    "schedule": "learning_rate",
    "seed": "random_state",
}
"""Settings of a run that have another name as parameters of `xpnet.MLPClassifier`."""

OF_TABLES = {"quiet": "verbose", "seed": "random_state"}
"""The same for `xpnet.TableClassifier`."""

CORES = ": training uses the cores it needs; set the variable OMP_NUM_THREADS to limit them"


def hint_of_network(word: str, known: Collection[str]) -> str:
    """Return a hint about an unknown parameter of `xpnet.MLPClassifier` or `xpnet.MLPRegressor`."""
    if word == "n_jobs":
        return CORES
    close = get_close_matches(word, known, n=1, cutoff=0.8)
    close += [name for name in (OF_NETWORKS.get(name, name) for name in meant(word)) if name in known]
    close += get_close_matches(word, known, n=1)
    return f": did you mean {close[0]}?" if close else ""


def hint_of_table(word: str, known: Collection[str]) -> str:
    """Return a hint for `xpnet.TableClassifier` or `TableRegressor`, which take all settings by name."""
    if word == "n_jobs":
        return CORES
    settings = [f.name for f in fields(Config)]
    close = [name for name in meant(word) if OF_TABLES.get(name, name) in known or name in settings]
    close = close or get_close_matches(word, [*known, *settings], n=1)
    if not close:
        return ""
    name = OF_TABLES.get(close[0], close[0])
    return f": did you mean {name}?" if name in known else f': give settings={{"{name}": …}}'


class Named(Carded, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator that gives a hint about unknown parameters."""

    _known_names: ClassVar[list[str]]

    def _hint(self, word: str, known: Collection[str]) -> str:
        return hint_of_network(word, known)

    def _refuse_others(self, words: Collection[str], known: Collection[str]) -> None:
        for word in words:
            if word not in known:
                name = type(self).__name__
                hint = self._hint(word, known) or f": help(xpnet.{name}) lists them all"
                raise InputError(f"{name} has no parameter {word!r}{hint}")

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Return the parameters' names, cached because scikit-learn reads the signature each time."""
        if "_known_names" not in vars(cls):
            cls._known_names = super()._get_param_names()
        return list(cls._known_names)

    def set_params(self, **params: Any) -> Self:
        """Set parameters by their names.

        Raises
        ------
        InputError
            There is no such parameter.
        """
        self._refuse_others([name.partition("__")[0] for name in params], self.get_params(deep=False))
        found: Self = super().set_params(**params)
        return found


def named(cls: T) -> T:
    """Add the hint to a class's constructor; keep its signature, which scikit-learn reads."""
    plain = cls.__init__
    known = list(inspect.signature(plain).parameters)[1:]

    @functools.wraps(plain)
    def begin(self: Any, *args: Any, **params: Any) -> None:
        self._refuse_others(params, known)
        plain(self, *args, **params)

    cls.__init__ = begin  # type: ignore[method-assign]
    return cls
