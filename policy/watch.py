"""PPO looks at itself: alarms with names, from the figures that each step reports.

A reward model that is taught against is sooner or later wrong (Gao et al. 2022, 2210.10760): the reward goes on rising
while what people would say falls. What can be seen from inside are the KL, the length and the entropy of what is
written, and whether several judges still agree. Plain numbers only: nothing here knows a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.config import AlarmAction, AlarmsConfig

ALARMS = (
    "kl_running_away",
    "length_drifting",
    "entropy_collapsing",
    "reward_up_while_ensemble_disagrees",
    "negative_kl",
)
FIGURES = ("kl", "kl_error", "length", "entropy", "reward", "reward_error", "disagreement")
"""What is remembered of each step; `disagreement` is missing where one judge judges alone."""
CHANCE = 3.0
"""Standard errors beyond which chance is no explanation."""
SMALLEST = 1e-3
"""Nats of KL, and shares of a reward's size, below which a difference is rounding."""
SEVERITY: tuple[AlarmAction, ...] = ("note", "pause", "stop", "roll_back")


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm that has just gone off: its name, what was seen, and what is to be done about it."""

    name: str
    text: str
    action: AlarmAction


class Watch:
    """Remembers the figures of each step and says which alarms go off; each goes off once until it has been quiet."""

    def __init__(self, config: AlarmsConfig) -> None:
        self.config = config
        self.history: list[dict[str, float]] = []
        self.up: set[str] = set()

    def see(self, figures: Mapping[str, float]) -> list[Alarm]:
        """Take in a step's figures (plain names, without `ppo/`); return the alarms that go off now."""
        self.history.append({name: float(figures[name]) for name in FIGURES if name in figures})
        found = {name: text for name in ALARMS if (text := getattr(self, f"_{name}")())}
        new = [Alarm(name, text, getattr(self.config, name)) for name, text in found.items() if name not in self.up]
        self.up = set(found)
        return new

    @property
    def is_quiet(self) -> bool:
        """Whether no alarm is up."""
        return not self.up

    def state_dict(self) -> dict[str, Any]:
        """Give everything that the next step depends on."""
        return {"history": [dict(step) for step in self.history], "up": sorted(self.up)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.history, self.up = [dict(step) for step in state["history"]], set(state["up"])

    # --- What each alarm sees: a sentence, or nothing ---

    def _kl_running_away(self) -> str:
        kl, limit, window = self._last("kl"), self.config.kl_limit, self.config.window
        if kl > limit:
            return f"The KL to the reference is {kl:.3g} nats a response, more than {limit:g}."
        if len(self.history) > window:
            ahead = 2 * kl - self.history[-1 - window]["kl"]
            if ahead > limit:
                return (
                    f"The KL to the reference is {kl:.3g} nats a response; at its present pace it passes {limit:g} "
                    f"within {window} steps."
                )
        return ""

    def _length_drifting(self) -> str:
        if not self._can_compare():
            return ""
        first, now, drift = self._first("length"), self._recent("length"), 1 + self.config.length_drift
        if first / drift <= now <= first * drift:
            return ""
        return f"Responses have {now:.0f} tokens on average; at first they had {first:.0f}."

    def _entropy_collapsing(self) -> str:
        if not self._can_compare():
            return ""
        first, now = self._first("entropy"), self._recent("entropy")
        if now > first * self.config.entropy_left:
            return ""
        return f"The entropy is {now:.3g} nats a token; at first it was {first:.3g}."

    def _reward_up_while_ensemble_disagrees(self) -> str:
        if not self._can_compare() or "disagreement" not in self.history[-1]:
            return ""
        rise = self._recent("reward") - self._first("reward")
        error = math.hypot(self._recent("reward_error"), self._first("reward_error")) / math.sqrt(self.config.window)
        least, now = self._least("disagreement"), self._recent("disagreement")
        grown = now > least * self.config.disagreement_growth and now > SMALLEST
        if rise <= CHANCE * error or not grown:
            return ""
        return (
            f"The reward has risen by {rise:.3g}, while its judges' standard deviation went from {least:.3g} to "
            f"{now:.3g}: they no longer know what is being written."
        )

    def _negative_kl(self) -> str:
        recent = self.history[-self.config.window :]
        below = all(step["kl"] < -CHANCE * step["kl_error"] - SMALLEST for step in recent)
        if len(recent) < self.config.window or not below:
            return ""
        return (
            f"The KL to the reference was below 0 in {len(recent)} steps running, by more than chance: responses are "
            "not drawn from the distribution that is learnt from (other sampling settings, or another temperature)."
        )

    def _last(self, name: str) -> float:
        return self.history[-1][name]

    def _can_compare(self) -> bool:
        """Whether the first window and the last one do not overlap."""
        return len(self.history) >= 2 * self.config.window

    def _first(self, name: str) -> float:
        return _mean(self.history[: self.config.window], name)

    def _least(self, name: str) -> float:
        """The lowest mean of a window before the last one: judges agree best where the policy writes what they know."""
        window = self.config.window
        return min(_mean(self.history[i : i + window], name) for i in range(len(self.history) - 2 * window + 1))

    def _recent(self, name: str) -> float:
        return _mean(self.history[-self.config.window :], name)


def strongest(alarms: list[Alarm]) -> Alarm | None:
    """The alarm whose action outweighs the others' (roll_back over stop over pause); None when all are mere notes."""
    acting = [alarm for alarm in alarms if alarm.action != "note"]
    return max(acting, key=lambda alarm: SEVERITY.index(alarm.action), default=None)


def _mean(steps: list[dict[str, float]], name: str) -> float:
    return sum(step[name] for step in steps) / len(steps)
