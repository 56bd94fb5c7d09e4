from __future__ import annotations

from django.apps import AppConfig

from rewardmodel.config import RewardModelConfig
from training.kinds import Input, JobKind, register


class RewardmodelConfig(AppConfig):
    name = "rewardmodel"
    verbose_name = "Scales"

    def ready(self) -> None:
        """Offer the job that learns a score from rankings."""
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
