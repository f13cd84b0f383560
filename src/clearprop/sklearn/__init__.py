"""scikit-learn estimators: its multi-layer perceptrons, trained by clearprop's network.

``from clearprop.sklearn import MLPClassifier`` in the place of ``from sklearn.neural_network import …``:
parameters, attributes, methods, warnings and, with the same `random_state`, the loss curve are
scikit-learn's. Beyond that they take what clearprop's networks take: see docs/sklearn.md.

    classifier.py   MLPClassifier
    regressor.py    MLPRegressor
    base.py         the course of a fit
    looking.py      embed, explain, diagnose, the view in notebooks
    parameters.py   what each parameter may be, and what goes together
    classes.py      what a classifier's loss means for its classes
    building.py     layers, cost and optimiser of an estimator's parameters
    drawing.py      initial weights, orders and splits, drawn as scikit-learn draws them
    course.py       what happens after each epoch: losses, scores, rates, when to stop
    losses.py       the losses that are reported
    minimizing.py   the solver "lbfgs"
    outputs.py      predictions
    running.py      a run of the training loop
"""

try:
    import sklearn as _scikit_learn
except ModuleNotFoundError:
    from clearprop.errors import MissingDependencyError

    raise MissingDependencyError(
        "clearprop.sklearn needs scikit-learn. Run: pip install 'clearprop[sklearn]'"
    ) from None

from clearprop.sklearn.classifier import MLPClassifier
from clearprop.sklearn.regressor import MLPRegressor

del _scikit_learn
__all__ = ["MLPClassifier", "MLPRegressor"]
