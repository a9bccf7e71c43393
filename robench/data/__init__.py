"""Data sets: images as uint8, with labels, ids, groups and class names."""

from robench.data.dataset import Dataset
from robench.data.sources import ImageSource, LazyImages
from robench.data.split import Split

__all__ = ["Dataset", "ImageSource", "LazyImages", "Split"]
