"""A reward model as a function: from prompts and responses to scores. The only door into this room."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from rewardmodel import heads as epistemic
from rewardmodel.data import fit, tree_of
from rewardmodel.scales import Scales
from training.lm import backbone, distributed
from training.lm.trees import Tree, TreeBatch, by_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from rewardmodel.heads import Heads
    from training.lm.encoder import Encoder
    from training.records import Message

    Prompts = Sequence[Sequence[Message] | Sequence[dict[str, str]]]
    Texts = Sequence[Sequence[str]]

T = TypeVar("T")

MICRO_BATCH_TOKENS = 8192
log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked
    """Scoring was asked to stop before it was done."""


class NoSpread(ValueError):  # noqa: N818 - named for what is missing
    """The reward model knows no doubt."""

    code = "no_spread"

    def __init__(self) -> None:
        super().__init__("this reward model has no ensemble of heads: train one with the setting heads above 0")


@dataclass(frozen=True, slots=True)
class Doubted:
    """Scores of the K responses to one prompt, with the doubt about each.

    score: (K,). members: (H, K), what each member of the ensemble says, in the same units, of which one is so many
    nats. A member is free to put all responses to one prompt higher or lower, since no comparison tells; so take
    differences within a prompt first.
    """

    score: Tensor
    members: Tensor
    nats: float

    def of(self, responses: Sequence[int]) -> Doubted:
        """The same of some of the responses only, in this order."""
        return Doubted(self.score[responses], self.members[:, responses], self.nats)

    @property
    def spread(self) -> Tensor:
        """Standard deviation over the members of each score, (K,)."""
        return self.members.std(dim=0, correction=0)

    @property
    def disagreement(self) -> Tensor:
        """Standard deviation over the members of each difference of two scores, (K, K)."""
        return self._differences.std(dim=0, correction=0)

    @property
    def doubt(self) -> float:
        """How unsure the order of these responses is, 0 to ½: the mean over pairs of how far the members are apart.

        Of a pair it is the standard deviation over the members of the probability that one response beats the other,
        whose square Dwaracherla et al. 2024 (2402.00396) call infomax. 0 where there is no pair.
        """
        K = len(self.score)
        apart = torch.sigmoid(self._differences * self.nats).std(dim=0, correction=0)
        return float(apart.sum()) / max(K * (K - 1), 1)

    @property
    def _differences(self) -> Tensor:
        """(H, K, K)."""
        return self.members.unsqueeze(2) - self.members.unsqueeze(1)


class Scorer:
    """A loaded reward model. Scores are (raw logit - reward_mean) / reward_std of its config."""

    def __init__(self, model: Any, encoder: Encoder, heads: Heads | None = None) -> None:
        self.scales = Scales(model, heads).eval()
        self.model, self.encoder = model, encoder
        self.device = next(model.parameters()).device
        self.mean, self.std = float(model.config.reward_mean), float(model.config.reward_std)
        self.max_tokens = backbone.context_of(model)

    @property
    def knows_doubt(self) -> bool:
        """Whether it has an ensemble, so that `score_with_spread` can be asked."""
        return self.scales.heads is not None

    def score(
        self, prompts: Prompts, responses: Texts, *, finished: Sequence[Sequence[bool]] | None = None
    ) -> list[Tensor]:
        """Score the responses of each prompt (an empty prompt is one): a tensor (K,) a prompt.

        `finished` says which responses ended by themselves; by default all did.
        """
        return self.score_trees(self._trees(prompts, responses, finished))

    def score_with_spread(
        self, prompts: Prompts, responses: Texts, *, finished: Sequence[Sequence[bool]] | None = None
    ) -> list[Doubted]:
        """Score as `score` does, and say how sure that is. Raises NoSpread where the model has no ensemble."""
        return self._doubted(self._trees(prompts, responses, finished))

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

    def score_ids_with_spread(
        self, prompt_ids: Sequence[Sequence[int]], response_ids: Sequence[Sequence[Sequence[int]]]
    ) -> list[Doubted]:
        """Score as `score_ids` does, and say how sure that is. Raises NoSpread where the model has no ensemble."""
        trees = [Tree(prompt, ids) for prompt, ids in zip(prompt_ids, response_ids, strict=True)]
        return self._doubted([fit(tree, self.max_tokens)[0] for tree in trees])

    def score_trees(self, trees: Sequence[Tree], *, stop: Callable[[], bool] = lambda: False) -> list[Tensor]:
        """Score encoded trees, in their order. Raises Stopped between micro-batches when `stop` says so."""
        return [self._normal(raw) for raw, _ in raw_scores(self.scales, trees, stop=stop)]

    def shares_tokenizer(self, encoder: Encoder) -> bool:
        """Tell whether another encoder gives the same ids for every conversation, so that ids may be passed on."""
        mine, other = self.encoder.tokenizer, encoder.tokenizer
        return bool(
            mine.chat_template == other.chat_template
            and (self.encoder.eos_id, self.encoder.pad_id) == (encoder.eos_id, encoder.pad_id)
            and mine.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
        )

    def _doubted(self, trees: Sequence[Tree]) -> list[Doubted]:
        if self.scales.heads is None:
            raise NoSpread
        centre = self.scales.heads.centre.cpu().unsqueeze(1)
        return [
            Doubted(self._normal(raw), self._normal(members - centre), self.std)
            for raw, members in raw_scores(self.scales, trees)
            if members is not None
        ]

    def _trees(self, prompts: Prompts, responses: Texts, finished: Sequence[Sequence[bool]] | None) -> list[Tree]:
        ended: Sequence[Sequence[bool] | None] = [None] * len(prompts) if finished is None else finished
        return [
            tree_of(self.encoder, prompt, texts, max_tokens=self.max_tokens, finished=end)[0]
            for prompt, texts, end in zip(prompts, responses, ended, strict=True)
        ]

    def _normal(self, raw: Tensor) -> Tensor:
        return (raw - self.mean) / self.std


def plainly(compute: Callable[[], T]) -> T:
    """Compute in this process, with a model that lies here whole."""
    return compute()


@torch.no_grad()
def raw_scores(
    scales: Scales,
    trees: Sequence[Tree],
    *,
    stop: Callable[[], bool] = lambda: False,
    spread: Callable[[Callable[[], Any]], Any] = plainly,
    together: bool = False,
) -> list[tuple[Tensor, Tensor | None]]:
    """Raw logits (K,) of each tree, and its members' (H, K), in the order of the trees.

    `together` says that all processes of a job were given the same trees: then each computes a share and all get
    the whole. `spread` is how a model that lies in parts computes. Raises Stopped between micro-batches when `stop`
    says so.
    """
    device = next(scales.parameters()).device
    order = sorted(range(len(trees)), key=lambda i: trees[i].token_count)
    groups = list(by_tokens(((i, trees[i]) for i in order), MICRO_BATCH_TOKENS))
    own: dict[int, tuple[Tensor, Tensor | None]] = {}
    for group in [group for group, _ in distributed.deal(groups)] if together and groups else groups:
        if stop():
            raise Stopped
        batch = TreeBatch([trees[i] for i in group], device=device)
        scores, members = spread(partial(scales, batch))
        sizes = [len(trees[i].responses) for i in group]
        by_member = [None] * len(group) if members is None else members.cpu().split(sizes, dim=1)
        own |= dict(zip(group, zip(scores.cpu().split(sizes), by_member, strict=True), strict=True))
    found = {i: said for part in distributed.gather(own) for i, said in part.items()} if together else own
    return [found[i] for i in range(len(trees))]


def load(path: Path | str, device: torch.device | str = "cpu") -> Scorer:
    """Load a reward model's folder."""
    model, encoder = backbone.load_scorer(path, device)
    scorer = Scorer(model, encoder, epistemic.load(Path(path), device))
    if scorer.scales.caveat:
        log.warning(scorer.scales.caveat)
    return scorer
