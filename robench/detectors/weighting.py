"""Several numbers for each image made one: logistic regression, which stays differentiable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Weighting:
    """Columns N×L to a score N: (columns − `centre`)/`scale` · `weights` + `bias`, all float64."""

    centre: Tensor
    scale: Tensor
    weights: Tensor
    bias: float

    @classmethod
    def fit(cls, clean: Tensor, adversarial: Tensor) -> Weighting:
        """Logistic regression, by scikit-learn: the log odds of being adversarial.

        The penalty is that of the best AUROC in threefold cross-validation.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV

        table = torch.cat([clean, adversarial]).double().cpu().numpy()
        truth = np.repeat([0, 1], [len(clean), len(adversarial)])
        centre, scale = table.mean(axis=0), table.std(axis=0) + 1e-12
        search = GridSearchCV(
            LogisticRegression(class_weight="balanced", max_iter=1000),
            {"C": np.geomspace(1e-4, 1e4, 9)}, scoring="roc_auc", cv=3,
        )
        model = search.fit((table - centre) / scale, truth).best_estimator_
        return cls(torch.from_numpy(centre), torch.from_numpy(scale),
                   torch.from_numpy(model.coef_[0].copy()), float(model.intercept_[0]))

    def __call__(self, columns: Tensor) -> Tensor:
        centre, scale, weights = (each.to(columns.device)
                                  for each in (self.centre, self.scale, self.weights))
        return ((columns.double() - centre) / scale) @ weights + self.bias
