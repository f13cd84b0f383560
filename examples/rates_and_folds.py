"""Which rate is best? Four rates times five folds, twenty networks trained in one call.

Each network gets the bits that its own fit would give it; together they take all cores.

    python examples/rates_and_folds.py
"""

import numpy as np

import clearprop as cp
from clearprop.random import Purpose, stream

RATES, FOLDS = [0.3, 0.03, 0.003, 0.0003], 5

X, y = cp.datasets.moons(300, noise=0.2, seed=0)
fold_of = stream(0, Purpose.SPLIT).permutation(len(X)) % FOLDS
grid = [(rate, fold) for rate in RATES for fold in range(FOLDS)]

networks = [cp.Network([cp.Dense(16, "relu"), cp.Dense(2, "softmax")], n_in=2, seed=fold) for _, fold in grid]
histories = cp.fit_many(
    networks,
    X,
    y,
    rows=[fold_of != fold for _, fold in grid],
    validation_rows=[fold_of == fold for _, fold in grid],
    each={"eta": [rate for rate, _ in grid]},
    optimizer="adam",
    epochs=20,
)

accuracy = np.array([history["val_accuracy"][-1] for history in histories]).reshape(len(RATES), FOLDS)
for rate, of_folds in zip(RATES, accuracy, strict=True):
    print(
        f"rate {rate:g}: accuracy {of_folds.mean():.1%} (folds {of_folds.min():.0%} to {of_folds.max():.0%})"
    )
best = RATES[int(accuracy.mean(axis=1).argmax())]
print(f"best: {best:g}")
assert accuracy.mean(axis=1).max() > 0.9

# The same bits as alone:
rate, fold = grid[7]
alone = cp.Network([cp.Dense(16, "relu"), cp.Dense(2, "softmax")], n_in=2, seed=fold)
alone.fit(X[fold_of != fold], y[fold_of != fold], optimizer="adam", eta=rate, epochs=20)
assert np.array_equal(alone.theta, networks[7].theta)
