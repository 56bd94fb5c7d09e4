from __future__ import annotations

from django.apps import AppConfig

from policy.config import PPOConfig, PretrainConfig, SampleConfig, SFTConfig
from training.kinds import Input, JobKind, register


class PolicyConfig(AppConfig):
    name = "policy"
    verbose_name = "Workshop"

    def ready(self) -> None:
        """Offer the jobs that teach a policy and let it write."""
        from policy.tasks import place_samples  # noqa: PLC0415 (it reads models, which are ready only now)

        register(
            JobKind(
                name="policy.pretrain",
                title="Pre-train a policy",
                description="Next-word prediction on plain text, from nothing or on from a policy.",
                config=PretrainConfig,
                inputs=(Input("text", "text", default="latest"), Input("policy", "policy", required=False)),
                program="policy",
                output="policy",
            )
        )
        register(
            JobKind(
                name="policy.sft",
                title="Fine-tune on demonstrations",
                description="Learn to answer the way that annotators did.",
                config=SFTConfig,
                inputs=(
                    Input("policy", "policy", default="champion"),
                    Input("demonstrations", "demonstrations", default="snapshot"),
                    Input("text", "text", required=False),
                ),
                program="policy",
                output="policy",
            )
        )
        register(
            JobKind(
                name="policy.ppo",
                title="Improve with PPO",
                description="Teach the policy to write what the reward model scores high, close to where it started.",
                config=PPOConfig,
                inputs=(
                    Input("policy", "policy", default="champion"),
                    Input("reward", "reward", default="latest"),
                    Input("prompts", "prompts", default="snapshot"),
                ),
                program="policy",
                output="policy",
            )
        )
        register(
            JobKind(
                name="policy.sample",
                title="Sample responses",
                description="Write responses to each prompt; they become ranking tasks, blind.",
                config=SampleConfig,
                inputs=(Input("policy", "policy", default="champion"), Input("prompts", "prompts", default="snapshot")),
                program="policy",
                output="samples",
                deliver=place_samples,
            )
        )
