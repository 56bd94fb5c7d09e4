"""`python -m policy RUN_DIR` runs a trainer of the policy; `python -m policy serve` is the model server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from training import program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from policy.config import PPOConfig
    from policy.rewards import Judge
    from policy.rollout import Answer, Prompt
    from training.program import Run


def _pretrain(run: Run) -> None:
    from policy.pretrain import pretrain  # noqa: PLC0415 - each kind loads only what it needs

    pretrain(run)


def _sft(run: Run) -> None:
    from policy.sft import sft  # noqa: PLC0415

    if not run.has_input("reward"):
        sft(run)
        return
    from rewardmodel import scoring  # noqa: PLC0415 - as in PPO, the trainer knows a function only

    scorer = scoring.load(run.input("reward"), run.job.device)
    sft(run, lambda prompts, texts, ended: scorer.score(prompts, texts, finished=ended))


def _ppo(run: Run) -> None:
    from policy import rewards  # noqa: PLC0415
    from policy.config import PPOConfig  # noqa: PLC0415
    from policy.ppo import ppo  # noqa: PLC0415
    from training import config as configs  # noqa: PLC0415
    from training.lm import distributed  # noqa: PLC0415

    config = configs.parse(PPOConfig, run.config)
    distributed.start(run, config.processes)  # each rank's judges lie on its own device
    judges: list[Judge] = []
    who: list[str] = []
    critic_from: Path | Any | None = None
    for name in sorted((name for name in run.job.inputs if name.partition("_")[0] == "reward"), key=_number):
        judge, origin = _reward_model(run, run.input(name), config, is_first=not judges)
        critic_from = critic_from if judges else origin
        judges.append(judge)
        who.append(name.replace("_", " "))
    if config.reward_function:
        judges.append(rewards.by_function(rewards.function_named(config.reward_function)))
        who.append(f"the function {config.reward_function}")
    if config.reward_url:
        patience = config.reward_timeout_seconds
        judges.append(rewards.Remote(config.reward_url, model=config.reward_url_model, timeout_seconds=patience))
        who.append(config.reward_url)
    reward = rewards.ensemble(judges, config)
    how = f", combined as {config.reward_combination.replace('_', ' ')}" if len(who) > 1 else ""
    run.reporter.note(f"Judged by {', '.join(who)}{how}.")
    ppo(run, reward, critic_from=critic_from)


def _number(name: str) -> int:
    """Of `reward` 1, of `reward_2` 2."""
    return int(name.partition("_")[2] or 1)


def _reward_model(run: Run, folder: Path, config: PPOConfig, *, is_first: bool) -> tuple[Judge, Path | Any | None]:
    """A reward model as a judge, and what the critic can start from: its folder, the loaded model, or nothing.

    With adapters the critic is the reward model with adapters on, so one copy of its weights serves both; it cannot
    under fsdp, where the critic's weights lie in parts.
    """
    import torch  # noqa: PLC0415

    from rewardmodel import scoring  # noqa: PLC0415 - the two rooms meet here; PPO knows a function only
    from training.lm import adapters, backbone  # noqa: PLC0415

    scorer = scoring.load(folder, run.job.device)
    same_ids = scorer.shares_tokenizer(backbone.load_encoder(run.input("policy")))

    def judge(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> torch.Tensor:
        with adapters.without(scorer.model):
            if same_ids:
                ids = [prompt.ids for prompt in prompts], [[answer.ids for answer in row] for row in answers]
                if scorer.knows_doubt:
                    return torch.cat([votes(doubted) for doubted in scorer.score_ids_with_spread(*ids)], dim=1)
                return torch.cat(scorer.score_ids(*ids))
            ended = [[answer.finished for answer in row] for row in answers]
            said = [prompt.messages for prompt in prompts], [[answer.text for answer in row] for row in answers]
            if scorer.knows_doubt:
                return torch.cat([votes(d) for d in scorer.score_with_spread(*said, finished=ended)], dim=1)
            return torch.cat(scorer.score(*said, finished=ended))

    def votes(doubted: scoring.Doubted) -> torch.Tensor:
        """The score, then what each head says; heads may put a whole prompt higher or lower, so that is taken off."""
        shift = doubted.score.mean() - doubted.members.mean(1, keepdim=True)
        return torch.cat([doubted.score.unsqueeze(0), doubted.members + shift])

    if not same_ids:
        then = ", and the critic starts from the policy" if is_first else ""
        run.reporter.note(f"A reward model has another tokenizer: it is given texts{then}.")
        return judge, None
    shares = config.lora_rank > 0 and config.value_model == "separate" and config.parallel != "fsdp"
    return judge, scorer.model if is_first and shares else folder


def _sample(run: Run) -> None:
    from policy.sample import sample  # noqa: PLC0415

    sample(run)


def serve(arguments: list[str]) -> int:
    """Answer chats and rewards over HTTP until stopped."""
    from policy.serve import main  # noqa: PLC0415

    return main(arguments)


KINDS = {"policy.pretrain": _pretrain, "policy.sft": _sft, "policy.ppo": _ppo, "policy.sample": _sample}

if __name__ == "__main__":
    program.share_processor()
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(sys.argv[2:]))
    sys.exit(program.main(KINDS))
