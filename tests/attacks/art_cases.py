"""The attacks of ART that have a card, with settings that take a moment on small images."""

from __future__ import annotations

from typing import Any

from robench.attacks.base import Attack

QUICK: dict[str, dict[str, Any]] = {
    "art/momentum-iterative": {"max_iter": 5},
    "art/auto-projected-gradient-descent": {"max_iter": 5, "nb_random_init": 1},
    "art/auto-conjugate-gradient": {"max_iter": 20, "nb_random_init": 1},
    "art/rescaling-auto-conjugate-gradient": {"max_iter": 20, "nb_random_init": 1},
    "art/auto-attack": {"max_iter": 3, "nb_random_init": 1, "square_max_iter": 3,
                        "square_nb_restarts": 1},
    "art/deepfool": {"max_iter": 8},
    "art/newtonfool": {"max_iter": 20, "eta": 0.1},
    "art/carlini-l2": {"max_iter": 4, "binary_search_steps": 4, "initial_const": 1.0,
                       "learning_rate": 0.1},
    "art/carlini-l0": {"max_iter": 3, "binary_search_steps": 2, "initial_const": 4.0,
                       "learning_rate": 0.1},
    "art/carlini-linf": {"max_iter": 3, "learning_rate": 0.1, "initial_const": 1.0,
                         "const_factor": 10.0, "decrease_factor": 0.5},
    "art/elastic-net": {"max_iter": 6, "binary_search_steps": 3, "initial_const": 1.0,
                        "learning_rate": 0.1},
    "art/saliency-map": {"theta": 0.5, "gamma": 0.3},
    "art/boundary": {"max_iter": 2, "num_trial": 3, "sample_size": 4},
    "art/hop-skip-jump": {"max_iter": 2, "init_eval": 5, "max_eval": 10},
    "art/geo-da": {"max_iter": 300, "sub_dim": 4},
    "art/sign-opt": {"max_iter": 1, "k": 3, "num_trial": 5},
    "art/square": {"max_iter": 5},
    "art/simba": {"max_iter": 20, "epsilon": 0.3},
    "art/zoo": {"max_iter": 10, "learning_rate": 0.3, "initial_const": 10.0, "nb_parallel": 32},
    "art/pixel-attack": {"th": 8, "max_iter": 2},
    "art/threshold-attack": {"th": 100, "max_iter": 1},
    "art/virtual-adversarial": {"max_iter": 1},
    "art/spatial-transformation": {"num_translations": 2, "num_rotations": 2},
    "art/shadow": {"nb_steps": 30, "batch_size": 4, "learning_rate": 0.5, "lambda_tv": 0.03},
    "art/composite-adversarial": {"max_iter": 1, "max_inner_iter": 2},
    "art/wasserstein": {"max_iter": 3, "conjugate_sinkhorn_max_iter": 10,
                        "projected_sinkhorn_max_iter": 10},
}

# Those that mean the same as the native ones, and name their settings alike.
AS_NATIVE: dict[str, dict[str, Any]] = {
    "art/fgsm": {}, "art/bim": {"steps": 4}, "art/pgd": {"steps": 2},
}
ALL = AS_NATIVE | QUICK
# Those that are fitted before, on other images.
LEARNED: dict[str, dict[str, Any]] = {
    "art/universal-perturbation": {"attacker": "fgsm", "max_iter": 2},
    "art/targeted-universal-perturbation": {"target": 3, "max_iter": 2},
}

# At these distances, an image counts as broken wherever the attack broke it at all.
FAR = {"linf": 1.0, "l2": 8.0, "l1": 64.0, "l0": 64.0}


def at(attack: Attack, *epsilons: float) -> list[float] | None:
    """`epsilons` as `attack` takes them: none where it keeps to no ball."""
    return list(epsilons) if attack.bounded else None


def far(attack: Attack) -> list[float] | None:
    """An epsilon within which it counts whatever a search breaks."""
    return at(attack, FAR[attack.norm])
