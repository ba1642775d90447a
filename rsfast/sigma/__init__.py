"""Noise levels that depend on the input, each with the rate at which it is proven to vary."""

from .neighbors import NearestNeighbors
from .training_sets import TrainingSet

__all__ = ["NearestNeighbors", "TrainingSet"]
