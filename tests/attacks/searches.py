"""Attacks with settings for few steps and for many."""

from __future__ import annotations

from typing import Any

SEARCHES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("deepfool", {"steps": 2}, {"steps": 8}),
    ("deepfool", {"steps": 2, "norm": "linf", "candidates": 2}, {"steps": 8, "norm": "linf",
                                                               "candidates": 2}),
    ("fmn", {"steps": 20}, {"steps": 60}), ("fmn", {"steps": 20, "norm": "l0"},
                                            {"steps": 60, "norm": "l0"}),
    ("fab", {"steps": 5}, {"steps": 15}), ("fab", {"steps": 5, "norm": "l1"},
                                           {"steps": 15, "norm": "l1"}),
    ("cw", {"steps": 10, "abort_early": False}, {"steps": 30, "abort_early": False}),
    ("cw", {"steps": 10, "binary_search_steps": 2}, {"steps": 30, "binary_search_steps": 4}),
    ("jsma", {"max_steps": 4}, {"max_steps": 12}),
    ("jsma", {"max_steps": 4, "pairs_per_step": 4}, {"max_steps": 12, "pairs_per_step": 4}),
    ("lbfgs", {"steps": 4}, {"steps": 12}),
]
"""Searches that end by themselves."""
DRAWN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("boundary", {"steps": 20}, {"steps": 60}), ("hop-skip-jump", {"steps": 3}, {"steps": 9}),
    ("one-pixel", {"generations": 4, "population": 8}, {"generations": 12, "population": 8}),
]
"""Those that draw random numbers on the host."""
BOUNDED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((name, {"steps": 20, **settings}, {"steps": 60, **settings}) for name, settings in [
        ("bim", {}), ("pgd", {}), ("pgd", {"norm": "l2"}), ("pgd", {"loss": "dlr"}),
        ("mi-fgsm", {}), ("di-fgsm", {}), ("ti-fgsm", {}), ("apgd", {}),
        ("apgd", {"norm": "l2", "loss": "dlr"}),
    ]),
    ("fab", {"steps": 5, "targeted": True}, {"steps": 15, "targeted": True}),
    ("patch", {"steps": 5, "locations": 2}, {"steps": 15, "locations": 2}),
    ("spsa", {"steps": 3, "samples": 64}, {"steps": 9, "samples": 64}),
    ("square", {"queries": 40}, {"queries": 100}),
    ("autoattack", {"steps": 5, "queries": 20}, {"steps": 15, "queries": 60}),
    ("autoattack-rand", {"steps": 5, "eot": 3}, {"steps": 15, "eot": 3}),
]
"""Those in a ball."""
