"""`python -m policy RUN_DIR` runs a trainer of the policy; `python -m policy serve` is the model server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from training import program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policy.rollout import Answer, Prompt
    from training.program import Run


def _pretrain(run: Run) -> None:
    from policy.pretrain import pretrain  # noqa: PLC0415 - each kind loads only what it needs

    pretrain(run)


def _sft(run: Run) -> None:
    from policy.sft import sft  # noqa: PLC0415

    sft(run)


def _ppo(run: Run) -> None:
    import torch  # noqa: PLC0415

    from policy.ppo import ppo  # noqa: PLC0415
    from rewardmodel import scoring  # noqa: PLC0415 - the two rooms meet here; PPO knows a function only
    from training.lm import backbone  # noqa: PLC0415

    folder = run.input("reward")
    scorer = scoring.load(folder, run.job.device)
    same_ids = scorer.shares_tokenizer(backbone.load_encoder(run.input("policy")))

    def reward(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> torch.Tensor:
        if same_ids:
            return torch.cat(scorer.score_ids([p.ids for p in prompts], [[a.ids for a in row] for row in answers]))
        ended = [[answer.finished for answer in row] for row in answers]
        texts = [[answer.text for answer in row] for row in answers]
        return torch.cat(scorer.score([prompt.messages for prompt in prompts], texts, finished=ended))

    if not same_ids:
        run.reporter.note("The reward model has another tokenizer: it is given texts, and the critic starts untrained.")
    ppo(run, reward, critic_from=folder if same_ids else None)


def _sample(run: Run) -> None:
    from policy.sample import sample  # noqa: PLC0415

    sample(run)


def serve(arguments: list[str]) -> int:
    """Answer chats and rewards over HTTP until stopped."""
    from policy.serve import main  # noqa: PLC0415

    return main(arguments)


KINDS = {"policy.pretrain": _pretrain, "policy.sft": _sft, "policy.ppo": _ppo, "policy.sample": _sample}

if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(sys.argv[2:]))
    sys.exit(program.main(KINDS))
