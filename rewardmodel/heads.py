"""An ensemble of small heads on one backbone, so that each score comes with a spread (an epistemic network).

Member m scores r_m = r + f_m(h) + p_m(h): r is the main head's score, f_m a small network that learns, p_m one of the
same shape with fixed random weights, its prior (Osband et al. 2018, 1806.03335; 2021, 2107.08924). Where there is data
the members learn to agree; elsewhere their priors keep them apart. Nothing flows back into the backbone, so the heads
cost next to nothing and change no score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FILE = "heads.safetensors"
HIDDEN = 32


class Heads(nn.Module):
    """H heads over states h of D numbers.

    learned_in, prior_in: (H·32, D); learned_out, prior_out: (H, 32). centre (H,): what each member scores above the
    main head on average, over the responses that the checkpoint is normalised on.
    """

    prior_in: Tensor
    prior_out: Tensor
    centre: Tensor

    def __init__(self, width: int, count: int, *, prior_scale: float, seed: int) -> None:
        super().__init__()
        dice = torch.Generator().manual_seed(seed)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=dice)

        self.register_buffer("prior_in", drawn(count * HIDDEN, width) * (2 / width) ** 0.5)
        self.register_buffer("prior_out", drawn(count, HIDDEN) * prior_scale * (1 / HIDDEN) ** 0.5)
        self.register_buffer("centre", torch.zeros(count))
        self.learned_in = nn.Parameter(drawn(count * HIDDEN, width) * (2 / width) ** 0.5)
        self.learned_out = nn.Parameter(torch.zeros(count, HIDDEN))  # at first the members are their priors

    @property
    def count(self) -> int:
        """H, the number of members."""
        return self.learned_out.shape[0]

    def forward(self, states: Tensor, scores: Tensor) -> Tensor:
        """Scores of every member: states (N, D), main scores (N,) to (H, N). Both are taken as given."""
        h = F.layer_norm(states.detach().float(), states.shape[-1:])
        spread = self._network(h, self.learned_in, self.learned_out)
        with torch.no_grad():
            prior = self._network(h, self.prior_in, self.prior_out)
        return scores.detach().float() + spread + prior

    def _network(self, h: Tensor, inward: Tensor, outward: Tensor) -> Tensor:
        hidden = F.linear(h, inward).relu().view(len(h), self.count, HIDDEN)
        return torch.einsum("nhw,hw->hn", hidden, outward)


def save(heads: Heads, folder: Path) -> None:
    """Write the heads beside a model; plain `transformers` never looks at the file."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in heads.state_dict().items()}
    save_file(state, folder / FILE)


def load(folder: Path, device: torch.device | str) -> Heads | None:
    """Read the heads of a model's folder; None where it has none."""
    path = folder / FILE
    if not path.is_file():
        return None
    with safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    heads = Heads(state["learned_in"].shape[1], len(state["learned_out"]), prior_scale=0.0, seed=0)
    heads.load_state_dict(state)
    return heads.to(device).eval()
