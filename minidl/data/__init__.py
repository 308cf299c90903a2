"""Arrays for a training: mini-batches, splits, weights of classes, scaling, as `dl.data`."""

from minidl.data.loader import DataLoader
from minidl.data.scaling import Standardize
from minidl.data.splitting import split
from minidl.data.weights import balanced_weights

__all__ = ["DataLoader", "Standardize", "balanced_weights", "split"]
