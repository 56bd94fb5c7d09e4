"""`python -m rewardmodel RUN_DIR` trains; `python -m rewardmodel score FILE --model PATH` scores a JSON-lines file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import program
from training.records import RecordError, has_half_pair, numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.program import Run

BATCH = 64


def _train(run: Run) -> None:
    from rewardmodel.train import train  # noqa: PLC0415 - `--help` need not wait for torch

    train(run)


def _score(run: Run) -> None:
    from rewardmodel.score import score  # noqa: PLC0415

    score(run)


KINDS = {"rewardmodel.train": _train, "rewardmodel.score": _score}


def score(arguments: list[str]) -> int:
    """Read lines {"prompt": text or messages, "response": text} (or "responses") and print them with their rewards.

    Where the reward model has an ensemble, each reward comes with its spread.
    """
    from rewardmodel import scoring  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m rewardmodel score", description=score.__doc__)
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="JSON lines, plain or .gz; each with a prompt and response(s)"
    )
    parser.add_argument("--model", type=Path, required=True, metavar="PATH", help="folder of a reward model")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    try:
        scorer = scoring.load(options.model, options.device)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{options.model} cannot be loaded as a reward model: {error}\n")
        return program.FAILED
    try:
        for lines in _batches(options.file):
            prompts = [_messages(line.get("prompt", "")) for line in lines]
            responses = [line.get("responses", [line.get("response")]) for line in lines]
            if scorer.knows_doubt:
                found = scorer.score_with_spread(prompts, responses)
                said = [{"reward": one.score.tolist(), "spread": one.spread.tolist()} for one in found]
            else:
                said = [{"reward": one.tolist()} for one in scorer.score(prompts, responses)]
            for line, values in zip(lines, said, strict=True):
                sys.stdout.write(json.dumps(line | _named(line, values), ensure_ascii=False) + "\n")
    except RecordError as error:
        sys.stderr.write(f"{options.file}, {error}\n")
        return program.FAILED
    except (OSError, EOFError) as error:
        sys.stderr.write(f"{options.file} cannot be read: {error}\n")
        return program.FAILED
    return program.FINISHED


def _named(line: dict[str, Any], values: dict[str, list[float]]) -> dict[str, Any]:
    """What is said of a line: one number each for its response, or lists for its responses."""
    if "responses" in line:
        return {f"{name}s": numbers for name, numbers in values.items()}
    return {name: numbers[0] for name, numbers in values.items()}


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    for number, text in numbered_lines(path):
        lines.append(_line(text, number))
        if len(lines) == BATCH:
            yield lines
            lines = []
    if lines:
        yield lines


def _line(text: str, number: int) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"is not JSON: {error}", line_number=number) from error
    if not isinstance(line, dict):
        raise RecordError("is not an object", line_number=number)
    prompt = line.get("prompt", "")
    turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    if not all(
        isinstance(turn, dict) and _is_text(turn.get("role")) and _is_text(turn.get("content")) for turn in turns
    ):
        raise RecordError("must be text or a list of messages", field="prompt", line_number=number)
    responses = line.get("responses", [line.get("response")])
    if not isinstance(responses, list) or not responses or not all(map(_is_text, responses)):
        name = "responses" if "responses" in line else "response"
        raise RecordError("must be text (responses: a list of texts)", field=name, line_number=number)
    return line


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not has_half_pair(value)


def _messages(prompt: str | list[dict[str, str]]) -> list[dict[str, str]]:
    if isinstance(prompt, list):
        return prompt
    return [{"role": "user", "content": prompt}] if prompt else []


if __name__ == "__main__":
    program.share_processor()
    if sys.argv[1:2] == ["score"]:
        sys.exit(score(sys.argv[2:]))
    sys.exit(program.main(KINDS))
