"""The contenders of benchmarks/peers.py: the same networks trained by clearprop and by its peers."""

CONTENDERS = {
    "clearprop": ("ours", "Clearprop"),
    "numpy": ("plain", "NumpyLoop"),
    "nielsen-loop": ("plain", "NielsenLoop"),
    "torch": ("with_torch", "TorchEager"),
    "torch-fused": ("with_torch", "TorchFused"),
    "torch-compiled": ("with_torch", "TorchCompiled"),
    "jax-jit": ("with_jax", "JaxSteps"),
    "jax-scan": ("with_jax", "JaxScan"),
    "scikit-learn": ("with_scikit", "Scikit"),
    "keras": ("with_keras", "Keras"),
}
"""Module and class of each, by the name in the tables."""
