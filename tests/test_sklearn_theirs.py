"""scikit-learn's own tests of its MLP classes, run against ours."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from unittest import mock

import pytest

sklearn_network = pytest.importorskip("sklearn.neural_network")

from clearprop.sklearn import MLPClassifier, MLPRegressor  # noqa: E402


def _theirs() -> ModuleType:
    """Return a copy of scikit-learn's test module in which the two names are our classes."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
    with mock.patch.multiple(sklearn_network, **ours):
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def global_random_seed() -> int:
    """The seed that scikit-learn's own conftest gives to tests that should hold for any."""
    return 42


LEFT_OUT = {
    "test_gradient": "calls _loss_grad_lbfgs; clearprop's own tests compare gradients with differences"
}
for _name, _test in vars(_theirs()).items():
    if _name.startswith("test_") and _name not in LEFT_OUT:
        globals()[_name] = _test
