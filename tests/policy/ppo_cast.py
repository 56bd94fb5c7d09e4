"""PPO's cast for tests: tiny models, one rollout, and a whole job in a second."""

from __future__ import annotations

from dataclasses import replace

import torch

from policy.config import PPOConfig
from policy.learner import Learner
from policy.ppo import credit, ppo
from policy.rollout import Prompt, Verdict, _measure, roll_out
from policy.team import assemble
from rewardmodel import scoring
from training.lm.generation import Sampling
from training.lm.trees import TreeBatch

FAST = {
    "steps": 3,
    "critic_warmup_steps": 0,
    "rollout_prompts": 4,
    "responses_per_prompt": 3,
    "minibatch_prompts": 2,
    "max_new_tokens": 10,
    "evaluations": 1,
    "evaluation_prompts": 3,
    "learning_rate": 1e-3,
    "value_learning_rate": 1e-3,
    "missing_end": "score",
}


def reward_of(inputs):
    scorer = scoring.load(inputs["reward"])

    def reward(prompts, answers):
        return torch.cat(scorer.score_ids([p.ids for p in prompts], [[a.ids for a in row] for row in answers]))

    return reward


def share_of_vowels(_prompts, answers):
    return torch.tensor([sum(c in "aeiou" for c in a.text) / max(len(a.text), 1) for row in answers for a in row])


def teach(run, inputs):
    ppo(run, reward_of(inputs), critic_from=inputs["reward"])
    return run


class Cast:
    """Policy, reference, critic and one rollout."""

    def __init__(self, inputs, *, critic_from="reward", text=None, **settings):
        self.config = PPOConfig(**FAST | settings)
        torch.manual_seed(1)
        start = inputs.get(critic_from)
        self.team = assemble(inputs["policy"], self.config, torch.device("cpu"), critic_from=start)
        self.policy, self.critic, self.encoder, self.text = self.team.policy, self.team.critic, self.team.encoder, text
        prompts = [
            Prompt(f"p{i}", (), tuple(self.encoder.prompt_ids([{"role": "user", "content": "say " * (i + 1)}])))
            for i in range(self.config.rollout_prompts)
        ]
        sampling = Sampling(
            max_new_tokens=self.config.max_new_tokens,
            min_new_tokens=self.config.min_new_tokens,
            temperature=self.config.temperature,
            seed=3,
        )
        self.rollout = roll_out(
            self.team,
            prompts,
            keys=[p.id for p in prompts],
            responses_per_prompt=self.config.responses_per_prompt,
            sampling=sampling,
            micro_batch_tokens=70,
            stop=lambda: False,
        )
        self.raw = reward_of(inputs)(prompts, self.rollout.answers)
        self.verdict = Verdict.of(self.raw)
        self.experience = credit(self.rollout, self.verdict, self.config, self.config.kl_coef)

    def learner(self, **settings):
        return Learner(self.team, replace(self.config, **settings), stop=lambda: False, text=self.text)

    def again(self):
        """Measure the same responses by the models as they are now."""
        trees, sampled = self.rollout.trees, self.rollout.sampled_logprobs
        measured = _measure(self.team, trees, sampled, self.config.temperature, 4096, stop=lambda: False)
        batch = TreeBatch(trees)
        with torch.no_grad():
            now = self.team.policy_logprobs(batch, self.team.policy_hidden(batch), self.config.temperature)
        return replace(self.rollout, **measured | {"logprobs": now, "sampled_logprobs": now})
