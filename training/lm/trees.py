"""A prompt and its K responses as one tree: every token is computed once.

The prompt is the trunk and each response a branch that sees the trunk and itself. The trees of a batch lie end to end
in one row, without padding, so that a backbone's matrix products run on real tokens only; only attention, which is a
small share, pads its operands. Positions are those that the tokens would have alone: a branch starts where its trunk
ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor


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
    """

    def __init__(self, trees: Sequence[Tree], *, device: torch.device | str = "cpu") -> None:
        if not trees:
            raise ValueError("a batch needs at least one tree")
        ids: list[int] = []
        positions: list[int] = []
        prompts: list[tuple[int, int]] = []
        branches: list[tuple[int, int]] = []
        tree_of: list[int] = []
        for index, tree in enumerate(trees):
            prompts.append((len(ids), len(tree.prompt)))
            ids.extend(tree.prompt)
            positions.extend(range(len(tree.prompt)))
            for response in tree.responses:
                branches.append((len(ids), len(response)))
                tree_of.append(index)
                ids.extend(response)
                positions.extend(range(len(tree.prompt), len(tree.prompt) + len(response)))
        self.ids = torch.tensor([ids], device=device)
        self.position_ids = torch.tensor([positions], device=device)
        self.tree_of = torch.tensor(tree_of, device=device)
        prompt_at, prompt_mask = _places(prompts, device)
        self.response_at, self.response_mask = _places(branches, device)
        self.response_ids = self.ids[0, self.response_at]
        trunk_end = torch.tensor([start + count - 1 for start, count in prompts], device=device)[self.tree_of]
        self.predicted_at = torch.cat([trunk_end.unsqueeze(1), self.response_at[:, :-1]], dim=1)
        self.layout = TreeLayout(prompt_at, prompt_mask, self.response_at, self.response_mask, self.tree_of)

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


def read(trunk: Any, batch: TreeBatch) -> Tensor:
    """Give the hidden state of every token of the batch, (T, D), from a backbone without its head."""
    hidden: Tensor = trunk(
        input_ids=batch.ids, position_ids=batch.position_ids, use_cache=False, layout=batch.layout
    ).last_hidden_state
    return hidden[0]


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


class TreeLayout:
    """Attention over trees that lie end to end: trunks see themselves, branches their trunk and themselves."""

    def __init__(
        self, prompt_at: Tensor, prompt_mask: Tensor, response_at: Tensor, response_mask: Tensor, tree_of: Tensor
    ) -> None:
        self.prompt_at, self.response_at, self.tree_of = prompt_at, response_at, tree_of
        device = prompt_at.device
        R = response_at.shape[1]
        causal = torch.ones(R, R, dtype=torch.bool, device=device).tril()
        to_trunk = prompt_mask[tree_of].unsqueeze(1).expand(-1, R, -1)
        self.branch_mask = torch.cat([to_trunk, causal.expand(len(tree_of), -1, -1)], dim=-1).unsqueeze(1)
        self.back = _way_back(prompt_at, prompt_mask, response_at, response_mask)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Attend: query (1, H, T, D); key, value (1, H_kv, T, D). Returns (1, H, T, D)."""
        del layer
        gqa = query.shape[1] != key.shape[1]
        trunk_key, trunk_value = _take(key, self.prompt_at), _take(value, self.prompt_at)
        trunks = F.scaled_dot_product_attention(
            _take(query, self.prompt_at),
            trunk_key,
            trunk_value,
            is_causal=True,  # a trunk's real tokens come first, so none of them sees the padding
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=gqa,
        )
        branches = F.scaled_dot_product_attention(
            _take(query, self.response_at),
            torch.cat([trunk_key[self.tree_of], _take(key, self.response_at)], dim=2),
            torch.cat([trunk_value[self.tree_of], _take(value, self.response_at)], dim=2),
            attn_mask=self.branch_mask,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=gqa,
        )
        H, D = query.shape[1], query.shape[3]
        flat = torch.cat([trunks.transpose(1, 2).reshape(-1, H, D), branches.transpose(1, 2).reshape(-1, H, D)])
        return flat.index_select(0, self.back).transpose(0, 1).unsqueeze(0)


def _places(segments: Sequence[tuple[int, int]], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Where the tokens of segments (start, count) lie: (n, longest) indices, padded with the start, and their mask."""
    start = torch.tensor([s for s, _ in segments], device=device).unsqueeze(1)
    count = torch.tensor([c for _, c in segments], device=device).unsqueeze(1)
    steps = torch.arange(int(count.max()), device=device).unsqueeze(0)
    mask = steps < count
    return torch.where(mask, start + steps, start), mask


def _take(x: Tensor, at: Tensor) -> Tensor:
    """(1, H, T, D) at (n, L) -> (n, H, L, D)."""
    rows = x[0].transpose(0, 1).index_select(0, at.flatten())
    return rows.view(*at.shape, *rows.shape[1:]).transpose(1, 2)


def _way_back(prompt_at: Tensor, prompt_mask: Tensor, response_at: Tensor, response_mask: Tensor) -> Tensor:
    """(T,) for each token of the row, its place among the padded trunks followed by the padded branches."""
    at = torch.cat([prompt_at.flatten(), response_at.flatten()])
    real = torch.cat([prompt_mask.flatten(), response_mask.flatten()])
    back = torch.empty(int(real.sum()), dtype=torch.int64, device=at.device)
    back[at[real]] = torch.arange(len(at), device=at.device)[real]
    return back
