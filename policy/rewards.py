"""Who judges what the policy writes: reward models, functions with a name, an address; one of them or several at once.

PPO takes any callable from prompts and answers to rewards. A job cannot carry code, so it names its judges: reward
checkpoints by digest, a function that is registered here or by an installed package, an address that the installation
allows. Several judges are an ensemble, and its disagreement warns of a reward that is being fooled (Coste et al. 2023,
2310.02743: worst case, and the mean less λ times the variance).
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import httpx
import torch

from policy.config import refuse_reward_url
from policy.rollout import Verdict
from training.config import ConfigError
from training.lm import distributed

if TYPE_CHECKING:
    from torch import Tensor

    from policy.config import PPOConfig
    from policy.rollout import Answer, Prompt, RewardFunction

Judge = Callable[["Sequence[Prompt]", "Sequence[Sequence[Answer]]"], torch.Tensor]
"""Gives one vote (N,) for each answer, or several (M, N), in the order of the answers."""
NamedFunction = Callable[[list[dict[str, str]], list[str]], Sequence[float]]
"""Judges the responses to one conversation (`role` and `content` a turn): a number for each."""

ENTRY_POINTS = "laurel.reward_functions"
"""Packages offer functions under this group of entry points; a job names one, and installing it is the admin's word."""
URLS_VARIABLE, AUTHORIZATION_VARIABLE = "LAUREL_REWARD_URLS", "LAUREL_REWARD_AUTHORIZATION"
ITEMS_AT_ONCE = 64
TRIES = 4
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class NoJudge(ValueError):  # noqa: N818
    """Nobody was named who could judge."""

    code = "no_judge"


class RewardUnavailable(RuntimeError):  # noqa: N818
    """The address that judges does not answer."""

    code = "reward_unavailable"


class BadReward(ValueError):  # noqa: N818
    """A judge answered with something that is no reward for each response."""

    code = "bad_reward"


def ensemble(judges: Sequence[Judge], config: PPOConfig) -> RewardFunction:
    """One reward function of several judges: their votes, combined as the configuration says."""
    if not judges:
        raise NoJudge(
            "nobody judges: name a reward model as the input reward, a reward_function or a reward_url in the settings"
        )

    def reward(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> Verdict:
        count = sum(map(len, answers))
        votes = torch.cat([_checked(judge(prompts, answers), count) for judge in judges])
        return Verdict(combined(votes, config.reward_combination, config.reward_variance_coef), votes)

    return reward


def combined(votes: Tensor, how: str, variance_coef: float) -> Tensor:
    """Make rewards (N,) of votes (M, N); the variance is that of the votes themselves, divided by M."""
    if how == "worst":
        return votes.amin(0)
    mean = votes.mean(0)
    return mean if how == "mean" else mean - variance_coef * votes.var(0, correction=0)


def _checked(votes: Tensor, count: int) -> Tensor:
    """Votes as (M, N), finite; anything else is refused by name."""
    rows = votes.float().cpu().view(-1, votes.shape[-1])
    if rows.shape[1] != count:
        raise BadReward(f"a judge gave {rows.shape[1]} rewards for {count} responses")
    if not bool(torch.isfinite(rows).all()):
        raise BadReward("a judge gave a reward that is not a finite number")
    return rows


# --- Functions with a name ---------------------------------------------------------------------

_functions: dict[str, NamedFunction] = {}


def register(name: str) -> Callable[[NamedFunction], NamedFunction]:
    """Offer a function under a name, to Python programs that start PPO themselves."""

    def keep(function: NamedFunction) -> NamedFunction:
        if _functions.setdefault(name, function) is not function:
            raise ValueError(f"a reward function called {name} is registered already")
        return function

    return keep


def function_named(name: str) -> NamedFunction:
    """The function of that name: registered in this process, or offered by an installed package."""
    offered = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name in _functions:
        return _functions[name]
    if name in offered:
        found: NamedFunction = offered[name].load()
        return found
    known = ", ".join(sorted({*_functions, *offered}))
    raise ConfigError(
        f"there is no reward function called {name!r}; known here: {known}. A package offers one as an entry point of "
        f"the group {ENTRY_POINTS}",
        {"reward_function": "is not registered"},
    )


def by_function(function: NamedFunction) -> Judge:
    """Let a function of plain texts judge."""

    def ask(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> Tensor:
        said: list[float] = []
        for prompt, row in zip(prompts, answers, strict=True):
            numbers = [float(number) for number in function(_messages(prompt), [answer.text for answer in row])]
            if len(numbers) != len(row):
                raise BadReward(f"the reward function gave {len(numbers)} numbers for {len(row)} responses")
            said += numbers
        return torch.tensor(said)

    return _once(ask)


def _once(judge: Judge) -> Judge:
    """Of several processes let the first ask, and tell the others."""

    def ask(prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> Tensor:
        return distributed.gather(judge(prompts, answers) if distributed.is_first() else torch.empty(0))[0]

    return ask


@register("no_repetition")
def no_repetition(_messages: list[dict[str, str]], responses: list[str]) -> list[float]:
    """Minus the share of each response's three-word runs that it has said before: 0 at best, -1 at worst."""
    return [-repeated_share(response.split()) for response in responses]


def repeated_share(items: Sequence[Any], length: int = 3) -> float:
    """Share of the runs of `length` items that occurred earlier in the sequence."""
    runs = Counter(tuple(items[i : i + length]) for i in range(len(items) - length + 1))
    total = sum(runs.values())
    return 1 - len(runs) / total if total else 0.0


# --- An address --------------------------------------------------------------------------------


class Remote:
    """A judge behind an address, asked as `POST /api/v1/rewards` of this API is: items in, `rewards` out.

    Only addresses that LAUREL_REWARD_URLS allows are asked; LAUREL_REWARD_AUTHORIZATION is sent along where it is set.
    Redirects are not followed. What passes (no connection, a time-out, a status that says "later") is tried again.
    """

    def __init__(
        self, url: str, *, model: str = "", timeout_seconds: float, client: httpx.Client | None = None
    ) -> None:
        refuse_reward_url(url, os.environ.get(URLS_VARIABLE, "").split(","))
        authorization = os.environ.get(AUTHORIZATION_VARIABLE, "").strip()
        self.url, self.model, self.timeout_seconds = url, model, timeout_seconds
        self.client = client or httpx.Client(
            timeout=httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, 10)),
            headers={"Authorization": authorization} if authorization else {},
            follow_redirects=False,
            trust_env=False,
        )

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> Tensor:
        """Judge answers; of several processes the first asks."""
        return _once(self._judge)(prompts, answers)

    def _judge(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Answer]]) -> Tensor:
        """Send the answers, at most 64 in a request."""
        items = [
            {"messages": _messages(prompt), "response": answer.text}
            for prompt, row in zip(prompts, answers, strict=True)
            for answer in row
        ]
        said: list[float] = []
        for start in range(0, len(items), ITEMS_AT_ONCE):
            said += self._rewards(items[start : start + ITEMS_AT_ONCE])
        return torch.tensor(said)

    def _rewards(self, items: list[dict[str, Any]]) -> list[float]:
        body: dict[str, Any] = {"items": items} | ({"model": self.model} if self.model else {})
        answer = self._ask(body)
        try:
            rewards = answer.json()["rewards"]
            numbers = [float(reward) for reward in rewards]
        except (ValueError, KeyError, TypeError) as error:
            raise BadReward(
                f'{self.url} did not answer with {{"rewards": [number, …]}}: {answer.text[:200]!r}'
            ) from error
        if len(numbers) != len(items) or not all(map(math.isfinite, numbers)):
            raise BadReward(
                f"{self.url} answered {len(items)} items with {len(numbers)} rewards: {answer.text[:200]!r}"
            )
        return numbers

    def _ask(self, body: dict[str, Any]) -> httpx.Response:
        why, pause = "", FIRST_PAUSE_SECONDS
        for attempt in range(TRIES):
            if attempt:
                time.sleep(min(pause, LONGEST_PAUSE_SECONDS))
                pause *= 4
            try:
                answer = self.client.post(self.url, json=body)
            except httpx.TimeoutException:
                why = f"no answer within {self.timeout_seconds:g} s"
                continue
            except httpx.HTTPError as error:
                why = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return answer
            why = f"status {answer.status_code}: {answer.text[:200]}"
            if answer.status_code not in TRY_AGAIN:
                raise BadReward(f"{self.url} refused to judge ({why}); mend it there, then retry this job")
        raise RewardUnavailable(
            f"{self.url} was asked {TRIES} times and did not judge ({why}). Nothing is lost: retry this job when it "
            "answers again, and it goes on from its last savepoint"
        )


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt.messages]
