from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from policy.config import (
    AdoptConfig,
    PPOConfig,
    PretrainConfig,
    SampleConfig,
    SFTConfig,
    refuse_reward_url,
    refuse_server,
)
from training.kinds import Input, JobKind, register


def allowed_here(config: PPOConfig) -> None:
    """Refuse, before a job starts, an address that its trainer would refuse to send responses to."""
    if config.reward_url:
        refuse_reward_url(config.reward_url, settings.REWARD_URLS)


def server_allowed_here(config: SampleConfig) -> None:
    """Refuse, before a job starts, a server that its trainer would refuse to send prompts to."""
    if config.server:
        refuse_server(config.server, settings.SAMPLE_SERVERS)


class PolicyConfig(AppConfig):
    name = "policy"
    verbose_name = "Workshop"

    def ready(self) -> None:
        """Offer the jobs that bring a policy in, teach it and let it write."""
        from policy import adoption  # noqa: PLC0415 (it reads models, which are ready only now)
        from policy.tasks import place_samples  # noqa: PLC0415 (so does this)

        register(
            JobKind(
                name="policy.adopt",
                title="Publish a base policy",
                description="Take a model that exists already: the project's first becomes its champion.",
                config=AdoptConfig,
                inside=adoption.adopt,
                output="policy",
                deliver=adoption.enthrone,
            )
        )
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
                    Input("reward", "reward", required=False),
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
                    Input("reward", "reward", required=False, default="latest", many=True),
                    Input("prompts", "prompts", default="snapshot"),
                    Input("text", "text", required=False),
                ),
                check=allowed_here,
                program="policy",
                output="policy",
            )
        )
        register(
            JobKind(
                name="policy.sample",
                title="Sample responses",
                description="Write responses to each prompt, half of them a rival's if wanted; people rank them blind.",
                config=SampleConfig,
                check=server_allowed_here,
                inputs=(
                    Input("policy", "policy", default="champion"),
                    Input("prompts", "prompts", default="snapshot"),
                    Input("rival", "policy", required=False),
                    Input("reward", "reward", required=False, default="latest"),
                ),
                program="policy",
                output="samples",
                deliver=place_samples,
            )
        )
