"""The tiny Keras model of the tests, as Keras itself trained and saved it.

    python tests/keras_fixture.py        writes tests/keras_small.keras and .npz anew

needs Keras 3 with a backend; the tests of what is read need neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
STEM = HERE / "keras_small"


def data() -> tuple[Any, Any]:
    """Return 40 examples with 4 features and 3 classes."""
    X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    return X, np.argmax(X[:, :3], axis=1)


def trained(keras: Any, dtype: str = "float32") -> Any:
    """Return a model of all the kinds of layers that are carried over, trained for two epochs."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    X, y = data()
    scaled = layers.Normalization(dtype=dtype)
    scaled.adapt(X)
    model = keras.Sequential(
        [
            keras.Input((4,), dtype=dtype),
            scaled,
            layers.Dense(6, use_bias=False, dtype=dtype),
            layers.BatchNormalization(scale=False, dtype=dtype),
            layers.Activation("swish", dtype=dtype),
            layers.Dropout(0.2, dtype=dtype),
            layers.Dense(5, "leaky_relu", dtype=dtype),
            layers.LayerNormalization(dtype=dtype),
            layers.Dense(5, dtype=dtype),
            layers.PReLU(dtype=dtype),
            layers.Dense(4, "gelu", dtype=dtype),
            layers.Dense(3, "softmax", dtype=dtype),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(X, y, epochs=2, batch_size=10, verbose=0)
    return model


def main() -> None:
    import keras

    model = trained(keras)
    model.save(f"{STEM}.keras", include_optimizer=False)
    X, _ = data()
    arrays = {f"weight_{i:02}": w for i, w in enumerate(model.get_weights())}
    np.savez_compressed(f"{STEM}.npz", outputs=model.predict(X, verbose=0), **arrays)


if __name__ == "__main__":
    main()
