"""`python -m rewardmodel RUN_DIR` trains; `python -m rewardmodel score FILE --model PATH` scores a JSON-lines file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import program
from training.records import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.program import Run

BATCH = 64


def _train(run: Run) -> None:
    from rewardmodel.train import train  # noqa: PLC0415 - `--help` need not wait for torch

    train(run)


KINDS = {"rewardmodel.train": _train}


def score(arguments: list[str]) -> int:
    """Read lines {"prompt": text or messages, "response": text} (or "responses") and print them with their rewards."""
    from rewardmodel import scoring  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m rewardmodel score", description=score.__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON lines; each with a prompt and response(s)")
    parser.add_argument("--model", type=Path, required=True, metavar="PATH", help="folder of a reward model")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    scorer = scoring.load(options.model, options.device)
    try:
        for lines in _batches(options.file):
            responses = [line.get("responses", [line.get("response")]) for line in lines]
            rewards = scorer.score([_messages(line.get("prompt", "")) for line in lines], responses)
            for line, values in zip(lines, rewards, strict=True):
                said = {"rewards": values.tolist()} if "responses" in line else {"reward": float(values)}
                sys.stdout.write(json.dumps(line | said, ensure_ascii=False) + "\n")
    except RecordError as error:
        sys.stderr.write(f"{options.file}, {error}\n")
        return program.FAILED
    return program.FINISHED


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                lines.append(_line(text, number))
            if len(lines) == BATCH:
                yield lines
                lines = []
    if lines:
        yield lines


def _line(text: str, number: int) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise RecordError(f"is not JSON: {error}", line_number=number) from error
    if not isinstance(line, dict):
        raise RecordError("is not an object", line_number=number)
    prompt = line.get("prompt", "")
    turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    if not all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in turns
    ):
        raise RecordError("must be text or a list of messages", field="prompt", line_number=number)
    responses = line.get("responses", [line.get("response")])
    if not isinstance(responses, list) or not responses or not all(isinstance(one, str) for one in responses):
        name = "responses" if "responses" in line else "response"
        raise RecordError("must be text (responses: a list of texts)", field=name, line_number=number)
    return line


def _messages(prompt: str | list[dict[str, str]]) -> list[dict[str, str]]:
    if isinstance(prompt, list):
        return prompt
    return [{"role": "user", "content": prompt}] if prompt else []


if __name__ == "__main__":
    if sys.argv[1:2] == ["score"]:
        sys.exit(score(sys.argv[2:]))
    sys.exit(program.main(KINDS))
