from __future__ import annotations

from django.apps import AppConfig

from rewardmodel.config import RewardModelConfig, ScoreConfig
from training.kinds import Input, JobKind, register


class RewardmodelConfig(AppConfig):
    name = "rewardmodel"
    verbose_name = "Scales"

    def ready(self) -> None:
        """Offer the job that learns a score from rankings, and the one that scores many responses."""
        register(
            JobKind(
                name="rewardmodel.train",
                title="Train a reward model",
                description="Learn a score from whole rankings; demonstrations set its zero point.",
                config=RewardModelConfig,
                inputs=(
                    Input("policy", "policy", default="champion"),
                    Input("rankings", "rankings", default="snapshot"),
                    Input("demonstrations", "demonstrations", required=False, default="latest"),
                ),
                program="rewardmodel",
                output="reward",
            )
        )
        register(
            JobKind(
                name="rewardmodel.score",
                title="Score responses",
                description="Give each response of a dataset the reward that a reward model gives it.",
                config=ScoreConfig,
                inputs=(Input("reward", "reward", default="champion"), Input("responses", "rewards", default="latest")),
                program="rewardmodel",
                output="rewards",
            )
        )
