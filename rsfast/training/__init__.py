"""Training base classifiers for smoothing."""

from .gaussian_augmentation import train_with_noise

__all__ = ["train_with_noise"]
