"""Splitting: properties that hold for any labels, groups and order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robench.data.allocation import allocate, clusters, hash_order

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def ids(count: int) -> np.ndarray:
    return np.array([f"image-{index}" for index in range(count)])


def split_of(labels: np.ndarray, names: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    return allocate(labels, names, cluster, FRACTIONS, salt="s", where="here")


labels_of_any_size = hnp.arrays(np.int64, st.integers(20, 200), elements=st.integers(0, 3))


@settings(max_examples=50, deadline=None)
@given(labels_of_any_size)
def test_each_class_is_divided_by_the_fractions(labels: np.ndarray) -> None:
    names = ids(len(labels))
    chosen = split_of(labels, names, np.arange(len(labels)))
    for label in np.unique(labels):
        held = chosen[labels == label]
        for name, fraction in FRACTIONS.items():
            count = (held == name).sum()
            assert abs(count - fraction * len(held)) <= 1 + 1e-9 or count == 1
            assert count >= 1 or len(held) < 3
    if np.bincount(labels).min() >= 14:
        for name, fraction in FRACTIONS.items():
            assert abs((chosen == name).sum() - fraction * len(labels)) < 1.5


@pytest.mark.parametrize("grouped", [True, False])
@settings(max_examples=30, deadline=None)
@given(labels_of_any_size, st.integers(0, 2**32 - 1), st.integers(8, 40))
def test_the_order_of_the_images_changes_nothing(grouped, labels, seed, count) -> None:
    random = np.random.default_rng(seed)
    names = ids(len(labels))
    cluster = random.integers(0, count, len(labels)) if grouped else np.arange(len(labels))
    chosen = split_of(labels, names, cluster)
    shuffled = random.permutation(len(labels))
    relabelled = np.unique(cluster[shuffled], return_inverse=True)[1]
    again = split_of(labels[shuffled], names[shuffled], relabelled)
    assert (again == chosen[shuffled]).all()


@settings(max_examples=50, deadline=None)
@given(labels_of_any_size, st.integers(0, 2**32 - 1), st.integers(8, 40))
def test_a_cluster_is_never_divided(labels, seed, count) -> None:
    cluster = np.random.default_rng(seed).integers(0, count, len(labels))
    chosen = split_of(labels, ids(len(labels)), cluster)
    for number in np.unique(cluster):
        assert len(set(chosen[cluster == number])) == 1


def test_groups_of_mixed_classes_stay_near_the_fractions() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 4000)
    cluster = np.unique(random.integers(0, 500, 4000), return_inverse=True)[1]
    chosen = split_of(labels, ids(4000), cluster)
    for label in range(4):
        held = chosen[labels == label]
        for name, fraction in FRACTIONS.items():
            assert abs((held == name).mean() - fraction) < 0.02


def test_a_group_larger_than_the_small_splits_goes_to_train() -> None:
    cluster = np.concatenate([np.zeros(60, int), np.arange(1, 41)])
    chosen = split_of(np.tile([0, 1], 50), ids(100), cluster)
    assert set(chosen[:60]) == {"train"}
    assert (chosen == "test").sum() == (chosen == "validation").sum() == 15


@pytest.mark.parametrize("sizes", [(34, 33, 33), (98, 1, 1), (50, 49, 1), (90, 6, 4)])
def test_three_groups_fill_three_splits(sizes) -> None:
    cluster = np.repeat(np.arange(3), sizes)
    chosen = split_of(np.arange(100) % 2, ids(100), cluster)
    assert len(set(chosen)) == 3
    assert set(chosen[cluster == 0]) == {"train"}


def test_hash_order_is_nested_under_removal_and_looks_uniform() -> None:
    names = ids(1000)
    order = names[hash_order(names, salt="limit")]
    half = np.random.default_rng(0).permutation(names)[:500]
    assert list(half[hash_order(half, salt="limit")]) == [name for name in order if name in half]
    assert list(order) != list(names[hash_order(names, salt="other")])
    positions = np.searchsorted(np.sort(names), order[:200])
    assert 400 < positions.mean() < 600


def test_clusters_join_groups_through_copies() -> None:
    groups = np.array(["a", "a", "b", "c", "c", "d"])
    digests = np.array([b"1", b"2", b"2", b"3", b"4", b"5"])
    assert clusters(groups, digests).tolist() == [0, 0, 0, 1, 1, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=20))
def test_clusters_are_the_connected_components(pairs) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group, content = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (group, content + 9)), shape=(18, 18))
    expected = connected_components(graph, directed=False)[1][group]
    found = clusters(group.astype(str), content.astype("S"))
    assert ((found[:, None] == found) == (expected[:, None] == expected)).all()
