"""Some of scikit-learn's digits."""

import numpy as np

import robench


@robench.card(summary="the first few of scikit-learn's 8×8 digits, zero to three")
def few_digits(*, image_size=None, count=300):
    if image_size not in (None, 8):
        raise robench.UserError("few-digits has one size", got=image_size, expected="8")
    from sklearn.datasets import load_digits  # here, so that listing this data set is quick

    scans = load_digits(n_class=4)
    images = np.rint(scans.images[:count] * (255 / 16)).astype(np.uint8)
    return robench.Dataset.from_arrays(
        images, scans.target[:count], class_names=["zero", "one", "two", "three"],
        split={"train": 0.6, "test": 0.4}, name="few-digits",
    )
