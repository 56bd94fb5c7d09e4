"""What the losses may learn of those who judged: how often each means what they say, and how readily people tie.

Christiano et al. (1706.03741, §2.2.3) let everyone answer at random with probability 10 %. Here that share is one
minus an annotator's reliability, which may be learned with the rewards: few errors where the model is sure speak for
it. It is held to be 0.9 by a few imagined judgements, so that an annotator of few words is not condemned by them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from rewardmodel.data import Judged

RaterModel = Literal["none", "fixed", "learned"]
IMAGINED = 10.0
"""Judgements that the prior belief in an annotator weighs as much as."""


class Raters(nn.Module):
    """Reliability r_a = sigmoid(logit_reliability[a]) of each of A annotators, and log δ, the readiness to tie."""

    def __init__(
        self,
        annotators: Iterable[str],
        *,
        model: RaterModel,
        error_share: float,
        tied_share: float | None,
    ) -> None:
        super().__init__()
        self.names = sorted(set(annotators))
        self.model: RaterModel = model
        self.prior = 1 - error_share
        self._place = {name: place for place, name in enumerate(self.names)}
        start = torch.full((len(self.names),), math.log(self.prior / error_share))
        self.logit_reliability = nn.Parameter(start, requires_grad=model == "learned")
        # Of two equal responses a share δ / (2 + δ) are tied.
        odds = None if tied_share is None else 2 * tied_share / (1 - min(tied_share, 0.99))
        self.log_tie = nn.Parameter(torch.tensor(math.log(odds) if odds else -math.inf), requires_grad=bool(odds))

    def of(self, judged: Sequence[Judged], device: torch.device) -> Tensor | None:
        """Reliability (J,) of those who said these judgements; None where everyone always means what they say."""
        if self.model == "none":
            return None
        places = [self._place.get(one.annotator, -1) for one in judged]
        known = F.pad(self.logit_reliability.sigmoid(), (0, 1), value=self.prior)  # the last is for strangers
        return known[torch.tensor(places, dtype=torch.int64, device=known.device)].to(device)

    def tie(self) -> Tensor | None:
        """Log δ, or None where no tie was ever said."""
        return self.log_tie if self.log_tie.requires_grad else None

    def reliability(self, annotator: str) -> float:
        """How often an annotator means what they say: one minus the share of error; the prior's for a stranger."""
        if self.model == "none":
            return 1.0
        place = self._place.get(annotator)
        return self.prior if place is None else float(self.logit_reliability[place].detach().sigmoid())

    def surprise(self) -> Tensor:
        """Negative log-density of the reliabilities under the prior, up to a constant: added once an epoch."""
        r = self.logit_reliability
        right, wrong = self.prior * IMAGINED, (1 - self.prior) * IMAGINED
        return -(right * F.logsigmoid(r) + wrong * F.logsigmoid(-r)).sum()
