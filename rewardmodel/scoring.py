"""A reward model as a function: from prompts and responses to scores. The only door into this room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from rewardmodel.data import fit, tree_of
from training.lm import attention, backbone
from training.lm.trees import Tree, TreeBatch, by_tokens, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from training.lm.encoder import Encoder
    from training.records import Message

MICRO_BATCH_TOKENS = 8192


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked
    """Scoring was asked to stop before it was done."""


def raw_scores(model: Any, batch: TreeBatch) -> Tensor:
    """Raw logits (N,) of the responses of a batch, each read at its last token."""
    logits: Tensor = model.score(read(model.base_model, batch)[batch.last_at])
    return logits.squeeze(-1)


class Scorer:
    """A loaded reward model. Scores are (raw logit - reward_mean) / reward_std of its config."""

    def __init__(self, model: Any, encoder: Encoder) -> None:
        model.set_attn_implementation(attention.NAME)
        self.model, self.encoder = model.eval(), encoder
        self.device = next(model.parameters()).device
        self.mean, self.std = float(model.config.reward_mean), float(model.config.reward_std)
        self.max_tokens: int = model.config.max_position_embeddings

    def score(
        self,
        prompts: Sequence[Sequence[Message] | Sequence[dict[str, str]]],
        responses: Sequence[Sequence[str]],
        *,
        finished: Sequence[Sequence[bool]] | None = None,
    ) -> list[Tensor]:
        """Score the responses of each prompt (an empty prompt is one): a tensor (K,) a prompt.

        `finished` says which responses ended by themselves; by default all did.
        """
        ended: Sequence[Sequence[bool] | None] = [None] * len(prompts) if finished is None else finished
        return self.score_trees(
            [
                tree_of(self.encoder, prompt, texts, max_tokens=self.max_tokens, finished=end)[0]
                for prompt, texts, end in zip(prompts, responses, ended, strict=True)
            ]
        )

    def score_ids(
        self,
        prompt_ids: Sequence[Sequence[int]],
        response_ids: Sequence[Sequence[Sequence[int]]],
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Tensor]:
        """Score token ids of this model's own tokenizer; each response with its end token if it has one."""
        trees = [Tree(prompt, ids) for prompt, ids in zip(prompt_ids, response_ids, strict=True)]
        return self.score_trees([fit(tree, self.max_tokens)[0] for tree in trees], stop=stop)

    @torch.no_grad()
    def score_trees(self, trees: Sequence[Tree], *, stop: Callable[[], bool] = lambda: False) -> list[Tensor]:
        """Score encoded trees, in their order. Raises Stopped between micro-batches when `stop` says so."""
        scores: list[Tensor] = [torch.empty(0)] * len(trees)
        order = sorted(range(len(trees)), key=lambda i: trees[i].token_count)
        for group in by_tokens(((i, trees[i]) for i in order), MICRO_BATCH_TOKENS):
            if stop():
                raise Stopped
            batch = TreeBatch([trees[i] for i in group], device=self.device)
            normal = (raw_scores(self.model, batch).float().cpu() - self.mean) / self.std
            parts = torch.split(normal, [len(trees[i].responses) for i in group])
            for i, part in zip(group, parts, strict=True):
                scores[i] = part
        return scores

    def shares_tokenizer(self, encoder: Encoder) -> bool:
        """Tell whether another encoder gives the same ids for every conversation, so that ids may be passed on."""
        mine, other = self.encoder.tokenizer, encoder.tokenizer
        return bool(
            mine.chat_template == other.chat_template
            and (self.encoder.eos_id, self.encoder.pad_id) == (encoder.eos_id, encoder.pad_id)
            and mine.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
        )


def load(path: Path | str, device: torch.device | str = "cpu") -> Scorer:
    """Load a reward model's folder."""
    return Scorer(*backbone.load_scorer(path, device))
