"""Training base classifiers for smoothing."""

from .gaussian_augmentation import shown, train_with_noise

__all__ = ["shown", "train_with_noise"]
