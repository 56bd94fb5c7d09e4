"""The card of a reward model for people: a README beside its weights, of what `card.json` says in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE = "README.md"
STEPS = ("rated alike", "1 step of rating apart", "2 steps apart", "3 steps apart or more")


def readable(card: Mapping[str, Any]) -> str:
    """Write the card out: how well the model agrees with people, how to ask it, and where it comes from."""
    evaluation = card["evaluation"]
    split = "test" if evaluation["test"]["prompts"] else "valid"
    zero = {"demonstrations": "demonstrations", "responses": "the responses that it learned from"}
    inputs = "".join(f"- {name}: `{ref}`\n" for name, ref in sorted(card["inputs"].items()))
    return f"""\
# A reward model

It scores a response to a conversation: the higher, the better people should like it. Made by Laurel.

## How well it agrees with people

{_measured(evaluation[split], split)}
## How to ask it

The logit of plain `transformers` is raw; the reward is (logit - reward_mean) / reward_std of `config.json`. So
{zero[evaluation["normalised_on"]]} score {evaluation["reward_mean"]:.4g} raw and 0 as a reward, and the responses that
it learned from have a deviation of {evaluation["reward_std"]:.4g} raw and 1 as a reward.

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model, tokenizer = (each.from_pretrained(".") for each in (AutoModelForSequenceClassification, AutoTokenizer))
text = tokenizer.apply_chat_template(
    [{{"role": "user", "content": "…"}}], tokenize=False, add_generation_prompt=True
) + "the response" + tokenizer.eos_token
logit = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, 0]
reward = (logit - model.config.reward_mean) / model.config.reward_std
```

## Where it comes from

- trained for {evaluation["steps"]:,} steps, of which the weights are those of step {evaluation["best_step"]:,}
- seed {card["seed"]}, code revision {card["code_revision"] or "unknown"}
{inputs}- settings, versions, every figure, and the errors that it was surest of: `card.json`
"""


def _measured(figures: Mapping[str, Any], split: str) -> str:
    if not figures["prompts"]:
        return "Nobody knows: no rankings were held out to measure it on.\n"
    rows = "".join(f"| {name} | {value} |\n" for name, value in _rows(figures))
    return (
        f"On {figures['comparisons']:,} comparisons of {figures['prompts']:,} prompts of the split {split}, which it "
        f"never learned from. Intervals are of 95 %.\n\n| | |\n| --- | --- |\n{rows}"
    )


def _rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "accuracy", _share(figures["accuracy"])
    ceiling = figures["ceiling"]
    if ceiling:
        best = {"value": ceiling["accuracy"]} | {end: ceiling[end] for end in ("low", "high") if end in ceiling}
        agreed = f"annotators agree on {ceiling['agreement']:.1%} of {ceiling['pairs']:,} pairs"
        yield "the best that annotators' agreement allows", f"{_share(best)}; {agreed}"
    loss = figures["log_loss"]
    interval = f" ({loss['low']:.3f} to {loss['high']:.3f})" if "low" in loss else ""
    yield "log-loss", f"{loss['value']:.3f}{interval}" + (f"; at best {ceiling['log_loss']:.3f}" if ceiling else "")
    if figures["kendall_tau"] is not None:
        yield "Kendall's τ", f"{figures['kendall_tau']:.3f}"
    yield "calibration error (ECE)", f"{figures['calibration']['ece']:.1%}"
    for row in figures["by_strength"]:
        yield f"accuracy, {STEPS[int(row['steps'])]}", _share(row)
    yield "accuracy where the shorter was preferred", _share(figures["shorter_preferred"])
    yield "accuracy where the longer was preferred", _share(figures["longer_preferred"])
    if figures["length_correlation"] is not None:
        yield "correlation of score and length", f"{figures['length_correlation']:.3f}"
    if figures["unseen_annotators"]["annotators"]:
        yield "accuracy with annotators it never learned from", _share(figures["unseen_annotators"]["accuracy"])


def _share(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "no comparison"
    interval = f" ({figure['low']:.1%} to {figure['high']:.1%})" if "low" in figure else ""
    return f"{figure['value']:.1%}{interval}"
