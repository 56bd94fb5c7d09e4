"""The scales' door to the worker."""

from __future__ import annotations

from training.launcher import answer

train = answer("rewardmodel.train")
score = answer("rewardmodel.score")
