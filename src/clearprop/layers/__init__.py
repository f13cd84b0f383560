"""Layers and combinators. See `clearprop.layers.base` for the contract that explains them all."""

from clearprop.layers.base import (
    BackwardRecord,
    ForwardRecord,
    Layer,
    NoiseSource,
    Parameter,
    Tree,
    chain_backward,
    chain_draw,
    chain_forward,
    layers,
    size_chain,
)
from clearprop.layers.combinators import CombinatorBackward, CombinatorForward, Concatenate, Residual
from clearprop.layers.dense import (
    Activation,
    ActivationBackward,
    ActivationForward,
    ActivationOwner,
    Dense,
    DenseBackward,
    DenseForward,
)
from clearprop.layers.noise import AlphaDropout, Dropout, DropoutBackward, DropoutForward
from clearprop.layers.normalization import BatchNorm, LayerNorm, NormBackward, NormForward

__all__ = [
    "Activation",
    "ActivationBackward",
    "ActivationForward",
    "ActivationOwner",
    "AlphaDropout",
    "BackwardRecord",
    "BatchNorm",
    "CombinatorBackward",
    "CombinatorForward",
    "Concatenate",
    "Dense",
    "DenseBackward",
    "DenseForward",
    "Dropout",
    "DropoutBackward",
    "DropoutForward",
    "ForwardRecord",
    "Layer",
    "LayerNorm",
    "NoiseSource",
    "NormBackward",
    "NormForward",
    "Parameter",
    "Residual",
    "Tree",
    "chain_backward",
    "chain_draw",
    "chain_forward",
    "layers",
    "size_chain",
]
