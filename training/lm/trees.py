"""A prompt and its K responses as one tree: every token is computed once.

The prompt is the trunk and each response a branch that sees the trunk and itself. The trees of a batch lie end to end
in one row, without padding, so that a backbone's matrix products run on real tokens only; only attention, which is a
small share, pads its operands. Positions are those that the tokens would have alone: a branch starts where its trunk
ends.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from training.lm import attention
from training.lm.tree_attention import TreeLayout, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from training.lm.attention import Row


@dataclass(frozen=True, slots=True)
class Tree:
    """Token ids of one prompt and of its responses, each at least one token long."""

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("a tree's prompt has no tokens: encode at least the turn that the response answers")
        if not self.responses or not all(self.responses):
            raise ValueError("a tree needs at least one response, and each response at least one token")

    @property
    def token_count(self) -> int:
        """Tokens that are computed for this tree."""
        return len(self.prompt) + sum(map(len, self.responses))


class TreeBatch:
    """Trees end to end. T tokens in all, B trees, N responses in the order of the trees, R the longest of them.

    ids, position_ids: (1, T). tree_of: (N,) which tree each response belongs to.
    response_at: (N, R) where each response's tokens lie in the row; predicted_at: (N, R) where the token before each
    lies, whose hidden state predicts it. response_ids: (N, R). response_mask: (N, R), True on real tokens.
    read_at: (M,) the tokens after which something of a response comes or has come, in the order of the row: all but
    those of the prompts before their last.
    """

    def __init__(self, trees: Sequence[Tree], *, device: torch.device | str = "cpu") -> None:
        if not trees:
            raise ValueError("a batch needs at least one tree")
        ids: list[int] = []
        positions: list[int] = []
        spans: list[tuple[tuple[int, int], list[tuple[int, int]]]] = []
        for tree in trees:
            trunk = (len(ids), len(ids) + len(tree.prompt))
            branches = []
            ids.extend(tree.prompt)
            positions.extend(range(len(tree.prompt)))
            for response in tree.responses:
                branches.append((len(ids), len(ids) + len(response)))
                ids.extend(response)
                positions.extend(range(len(tree.prompt), len(tree.prompt) + len(response)))
            spans.append((trunk, branches))
        self.trees = list(trees)
        self.ids = torch.tensor([ids], device=device)
        self.position_ids = torch.tensor([positions], device=device)
        owners = [number for number, (_, branches) in enumerate(spans) for _ in branches]
        self.tree_of = torch.tensor(owners, device=device)
        prompt_at, prompt_mask = places([trunk for trunk, _ in spans], device)
        self.response_at, self.response_mask = places([branch for _, each in spans for branch in each], device)
        self.response_ids = self.ids[0, self.response_at]
        trunk_end = torch.tensor([end - 1 for (_, end), _ in spans], device=device)[self.tree_of]
        self.predicted_at = torch.cat([trunk_end.unsqueeze(1), self.response_at[:, :-1]], dim=1)
        heard = torch.zeros(len(ids), dtype=torch.bool, device=device)
        heard[trunk_end], heard[self.response_at] = True, True
        self.read_at = heard.nonzero().squeeze(1)
        self._place = heard.cumsum(0) - 1
        where = (prompt_at, prompt_mask, self.response_at, self.response_mask)
        self.layout = TreeLayout(spans, where, self.tree_of)

    @property
    def token_count(self) -> int:
        """T: real tokens, each computed once."""
        return int(self.ids.shape[1])

    @property
    def response_lengths(self) -> Tensor:
        """(N,) tokens of each response."""
        return self.response_mask.sum(-1)

    @property
    def last_at(self) -> Tensor:
        """(N,) where each response's last token lies in the row."""
        return self.response_at.gather(1, self.response_lengths.unsqueeze(1) - 1).squeeze(1)

    @property
    def before_each(self) -> Tensor:
        """(N, R) among the tokens of `read_at`, the one before each response token."""
        return self._place[self.predicted_at]

    @property
    def after_last(self) -> Tensor:
        """(N,) among the tokens of `read_at`, the last of each response."""
        return self._place[self.last_at]

    def sequences(self, pad_id: int) -> tuple[Tensor, Tensor]:
        """Each response after its prompt, for backbones that cannot read trees: ids and mask (N, P + R)."""
        rows = [torch.tensor([*tree.prompt, *response]) for tree in self.trees for response in tree.responses]
        ids = pad_sequence(rows, batch_first=True, padding_value=pad_id)
        lengths = torch.tensor([len(row) for row in rows]).unsqueeze(1)
        mask = torch.arange(ids.shape[1]) < lengths
        return ids.to(self.ids.device), mask.to(self.ids.device)


def read(trunk: Any, row: Row) -> Tensor:
    """Give the hidden state of every token, (T, D), as `transformers` computes it in a backbone without its head."""
    hidden: Tensor = trunk(
        input_ids=row.ids, position_ids=row.position_ids, use_cache=False, layout=row.layout
    ).last_hidden_state
    return hidden[0]


@torch.no_grad()
def adopt(model: Any) -> bool:
    """Make a model read trees if its backbone can, and tell whether it does.

    It can if it is causal, uses `transformers`' attention interface, and every state of a tree is what it would be
    alone: tried out on a few tokens rather than believed of a name. A window shorter than the model's context would
    show on long texts only, so it counts as a no.
    """
    trunk = model.base_model
    before = model.config._attn_implementation  # noqa: SLF001 - transformers offers no public way to ask
    if not _is_causal(trunk) or _has_window(model.config):
        return False
    prompt, responses = [5, 6, 7], [[8, 9, 10], [11, 12]]
    alone = [_states(trunk, [*prompt, *ids])[-1] for ids in responses]
    try:
        model.set_attn_implementation(attention.NAME)
        batch = TreeBatch([Tree(prompt, responses)], device=trunk.device)
        together = read(trunk, batch)[batch.last_at]
    except (TypeError, ValueError, RuntimeError, AttributeError):
        model.set_attn_implementation(before)
        return False
    expected = torch.stack(alone)
    tolerance = 1e-4 if expected.dtype == torch.float32 else 0.05
    if float((together - expected).norm() / expected.norm()) < tolerance:
        return True
    model.set_attn_implementation(before)
    return False


def _is_causal(trunk: Any) -> bool:
    """Whether no state changes with what comes after it."""
    one, other = (_states(trunk, [5, 6, 7, last]) for last in (8, 9))
    return torch.equal(one[:-1], other[:-1])


def _has_window(config: Any) -> bool:
    """Whether some layer sees only part of what came before."""
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None) or ["sliding_attention" if window else "full_attention"]
    whole = getattr(config, "max_position_embeddings", sys.maxsize)
    return any(layer != "full_attention" for layer in layers) and (window or 0) < whole


def _states(trunk: Any, ids: list[int]) -> Tensor:
    states: Tensor = trunk(input_ids=torch.tensor([ids], device=trunk.device), use_cache=False).last_hidden_state
    return states[0]


def by_tokens(trees: Iterable[tuple[int, Tree]], limit: int) -> Iterator[list[int]]:
    """Group numbered trees, in their order, into batches of at most `limit` tokens; a larger tree goes alone."""
    group: list[int] = []
    tokens = 0
    for number, tree in trees:
        if group and tokens + tree.token_count > limit:
            yield group
            group, tokens = [], 0
        group.append(number)
        tokens += tree.token_count
    if group:
        yield group
