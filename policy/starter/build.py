"""Rebuild the starter model: pre-train on children's books, fine-tune on the starter's stories, write its card.

The steps are ordinary jobs (`policy.pretrain`, then `policy.sft` for each lesson) done by the ordinary program in run
folders. The first lesson reads stories that were written one by one, the last one stories told from outlines
(`outlines.py`): a model of this size keeps its thread in nothing else (decision 10). A build that is stopped goes on
from its last savepoint; a step that is finished is not done again; a step whose settings or data have changed is.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from policy.starter import outlines
from training import artifacts, program
from training.lm import attention, backbone
from training.lm.generation import Generator, Sampling
from training.records import DemonstrationLine, Message, RecordError, TextLine, write_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

HERE = Path(__file__).parent
DEMONSTRATIONS, PROMPTS, MODEL = HERE / "demonstrations", HERE / "prompts.jsonl", HERE / "model"
LARGEST_MODEL_BYTES = 14_000_000
SEED = 1

NURSERY = frozenset(
    {
        "Abbie Farwell Brown",
        "Anna Sewell",
        "Carlo Collodi",
        "Edith Nesbit",
        "Gertrude Chandler Warner",
        "Hans Christian Andersen",
        "Hugh Lofting",
        "Johanna Spyri",
        "L. Frank Baum",
        "Lewis Carroll",
        "The Brothers Grimm",
    }
)
FIRST_READERS = frozenset({"Aesop", "Beatrix Potter"})
YOUNG_READERS = frozenset(
    {"Frances Hodgson Burnett", "Horatio Alger", "Howard Pyle", "Louisa May Alcott", "Lucy Maud Montgomery"}
)
CHILDHOOD_BOOKS = frozenset({"A Little Princess", "The Jungle Book", "The Secret Garden"})

PRETRAIN: dict[str, Any] = {
    "tokens": 3_000_000,
    "optimizer": "muon",
    "learning_rate": 3e-3,
    "batch_windows": 16,
    "evaluations": 16,
}
SFT: dict[str, Any] = {
    "optimizer": "muon",
    "batch_conversations": 16,
    "learning_rate": 1e-3,
    "epochs": 1,
    "dropout": 0.0,
}
RICH, PLAIN, OUTLINE = "rich", "plain", "outline"
LESSONS = ((RICH, PLAIN), (OUTLINE,))
"""The manners of the stories that each fine-tuning reads, each story once."""
OUTLINED = 96_000
"""Stories told from outlines."""
SAMPLING = Sampling(max_new_tokens=160, temperature=0.8, top_p=0.8, seed=SEED)
SAMPLES_SHOWN = 10


class BuildFailed(RuntimeError):  # noqa: N818 - named for what happened
    """A step of the build did not finish; its message says which and where to read on."""


def main(arguments: list[str] | None = None) -> int:
    """Build from the command line; return the exit status (75: stopped, and can go on)."""
    parser = argparse.ArgumentParser(prog="python -m policy.starter", description=__doc__)
    parser.add_argument("text", type=Path, metavar="TEXT", help="books as JSON lines: author, title, split, text")
    parser.add_argument("--work", type=Path, default=None, help="folder for runs (default: LAUREL_HOME/starter)")
    parser.add_argument("--out", type=Path, default=MODEL, help="where the model goes (default: policy/starter/model)")
    options = parser.parse_args(arguments)
    home = Path(os.environ.get("LAUREL_HOME", HERE.parents[1] / "var"))
    try:
        build(options.text, options.work or home / "starter", options.out)
    except program.Interrupted:
        sys.stderr.write("Stopped after a savepoint; the same command goes on from there.\n")
        return program.INTERRUPTED
    except (BuildFailed, RecordError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return program.FAILED
    return program.FINISHED


def build(text: Path, work: Path, out: Path) -> None:
    """Do every step that is not done yet, and put the finished model at `out` in one rename."""
    store = artifacts.Store(work / "store")
    books = _dataset(store, work / "text", text_lines(text), kind="text")
    compiles = shutil.which("c++") is not None or shutil.which("g++") is not None
    pretrained = _do(work, store, "policy.pretrain", {**PRETRAIN, "compile": compiles}, {"text": books})
    tuned = pretrained
    for manners in LESSONS:
        read = _dataset(store, work / "-".join(manners), stories(manners), kind="demonstrations")
        tuned = _do(work, store, "policy.sft", SFT, {"policy": store.put(tuned), "demonstrations": read})
    draft = out.parent / f".partial-{out.name}-{uuid4().hex}"
    shutil.copytree(tuned, draft, ignore=shutil.ignore_patterns("manifest.json", "card.json"))
    card = make_card(pretrained, tuned)
    (draft / "card.json").write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
    (draft / "README.md").write_text(readable(card))
    for path in draft.iterdir():
        path.chmod(0o644)
    artifacts.seal(draft)
    size = sum(path.stat().st_size for path in draft.iterdir())
    if size > LARGEST_MODEL_BYTES:
        raise BuildFailed(f"the model in {draft} has {size:,} bytes; the starter may have {LARGEST_MODEL_BYTES:,}")
    if out.exists():
        shutil.rmtree(out)
    draft.rename(out)
    sys.stdout.write(f"{out}: {size:,} bytes\n")


def text_lines(path: Path) -> Iterator[TextLine]:
    """Read books and weigh them: the simplest are read most often."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                book = json.loads(line)
                author, title, split, text = (book[name] for name in ("author", "title", "split", "text"))
            except (ValueError, KeyError, TypeError) as error:
                reason = "is not a book: it needs author, title, split and text"
                raise RecordError(reason, line_number=number) from error
            yield TextLine(
                text=text, split=split, title=title, weight=weight(author, title) if split == "train" else 1.0
            )


def weight(author: str, title: str) -> float:
    """How often a book is read for each time that a middling one is."""
    if title in CHILDHOOD_BOOKS:
        return 1.5
    if author in FIRST_READERS:
        return 4.0
    if author in NURSERY:
        return 2.5
    return 1.0 if author in YOUNG_READERS else 0.5


def demonstrations() -> Iterator[DemonstrationLine]:
    """Read the starter's stories; each file is a theme, a topic lies in one split."""
    for path in sorted(DEMONSTRATIONS.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            story = json.loads(line)
            yield DemonstrationLine(
                id=story["id"],
                split=story["split"],
                group=outlines.topic(story["prompt"]),
                prompt=(Message("user", story["prompt"]),),
                response=story["response"],
                annotator=None,
                source=story["source"],
                simulated=False,
            )


def stories(manners: Collection[str]) -> Iterator[DemonstrationLine]:
    """Give the stories of these manners: those written one by one, then those told from outlines on other topics."""
    yield from (line for line in demonstrations() if manner(line) in manners)
    if OUTLINE in manners:
        kept = {line.group for line in demonstrations()}
        kept |= {outlines.topic(json.loads(line)["prompt"]) for line in PROMPTS.read_text().splitlines()}
        yield from outlines.told(OUTLINED, seed=SEED, without=kept)


def manner(line: DemonstrationLine) -> str:
    """Say how a story is told, which its name begins with: from an outline, plainly, or richly."""
    told = re.split("[_-]", line.id.removeprefix("starter-"))[0]
    return told if told in {PLAIN, OUTLINE} else RICH


def make_card(pretrained: Path, tuned: Path) -> dict[str, Any]:
    """Gather how the model came to be and what it is worth, with samples that nobody picked."""
    base = json.loads((pretrained / "card.json").read_text())
    card: dict[str, Any] = json.loads((tuned / "card.json").read_text())
    card["name"] = "starter"
    card["demonstrations"] = sum(line.split == "train" for line in demonstrations() if manner(line) in LESSONS[0])
    card["pretraining"] = {name: base[name] for name in ("kind", "config", "seed", "inputs", "evaluation", "versions")}
    card["samples"] = {
        "sampling": {
            "temperature": SAMPLING.temperature,
            "top_p": SAMPLING.top_p,
            "max_new_tokens": SAMPLING.max_new_tokens,
            "seed": SEED,
        },
        "chosen": f"the first {SAMPLES_SHOWN} of the starter's prompts in the order of their hashes, one sample each",
        "rows": samples(tuned, shuffled_prompts()[:SAMPLES_SHOWN]),
    }
    return card


def shuffled_prompts() -> list[str]:
    """Give the starter's prompts, on whose topics no story was ever told, in the order of their hashes."""
    prompts = [json.loads(line)["prompt"] for line in PROMPTS.read_text().splitlines()]
    return sorted(prompts, key=lambda prompt: hashlib.sha256(prompt.encode()).digest())


def samples(folder: Path, prompts: Sequence[str]) -> list[dict[str, Any]]:
    """Sample one story for each prompt."""
    model, encoder = backbone.load_policy(folder)
    model.set_attn_implementation(attention.NAME)
    ids = [encoder.prompt_ids([Message("user", prompt)]) for prompt in prompts]
    generator = Generator(model, end_id=encoder.eos_id, pad_id=encoder.pad_id)
    written = generator.generate(ids, keys=prompts, responses_per_prompt=1, sampling=SAMPLING)
    if written is None:
        raise BuildFailed("sampling was stopped")
    return [
        {"prompt": prompt, "response": encoder.text(row.ids), "finished": row.finished}
        for prompt, (row,) in zip(prompts, written, strict=True)
    ]


def readable(card: dict[str, Any]) -> str:
    """Write the card for people."""
    base, tuned = card["pretraining"]["evaluation"], card["evaluation"]
    sampling = card["samples"]["sampling"]
    text = f"""\
# Laurel's starter model

A small causal language model ({base["parameters"]:,} parameters, Llama-style, tied embeddings, byte-level BPE) that
tells bedtime stories of a few sentences. It knows nothing else, and it makes things up. `make starter TEXT=...`
rebuilds it.

- Pre-trained from nothing on {base["train_tokens"]:,} tokens of public-domain children's books:
  {base["valid_bits_per_character"]:.3f} bits per character on {base["valid_characters"]:,} characters of held-out
  books.
- Fine-tuned on {card["demonstrations"]:,} stories written for this project one by one, then on
  {tuned["train_demonstrations"]:,} told from {len(outlines.outlines()):,} outlines written for it:
  {tuned["valid_loss"]:.3f} nats per token on {tuned["valid_demonstrations"]:,} of those on held-out topics
  (step {tuned["chosen_step"]} of {tuned["steps"]}).
- Settings, digests of the data and versions: `card.json`.

## {len(card["samples"]["rows"])} samples that nobody picked

Prompts on whose topics no story was ever told to it; temperature {sampling["temperature"]}, top-p {sampling["top_p"]}.
"""
    for row in card["samples"]["rows"]:
        ending = "" if row["finished"] else " [cut off]"
        text += f"\n**{row['prompt']}**\n\n{row['response'].strip()}{ending}\n"
    return text


def _dataset(
    store: artifacts.Store, folder: Path, lines: Iterator[TextLine] | Iterator[DemonstrationLine], *, kind: str
) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    write_lines(lines, folder, kind=kind)
    return store.put(folder)


def _do(work: Path, store: artifacts.Store, kind: str, config: dict[str, Any], inputs: dict[str, str]) -> Path:
    """Do one job in a folder named by what it is told, unless it is done; return its output folder."""
    told = {"job": f"starter-{kind}", "kind": kind, "seed": SEED, "config": config, "inputs": inputs, "device": "cpu"}
    name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    folder = work / f"{kind}-{name}"
    done = [path for path in sorted(folder.glob("attempt-*/output")) if artifacts.is_whole(path)]
    if done:
        return done[-1]
    folder.mkdir(parents=True, exist_ok=True)
    revision = os.environ.get("LAUREL_CODE_REVISION", "")
    (folder / "job.json").write_text(json.dumps({**told, "store": str(store.root), "code_revision": revision}))
    sys.stdout.write(f"{kind} in {folder}; it says how it goes in attempt-*/events.jsonl\n")
    sys.stdout.flush()
    attempt = program.open_run(folder).attempt
    status = _follow([sys.executable, "-m", "policy", str(folder), "--attempt", str(attempt)])
    if status == program.INTERRUPTED:
        raise program.Interrupted
    output = folder / f"attempt-{attempt}" / "output"
    if status != program.FINISHED or not artifacts.is_whole(output):
        raise BuildFailed(f"{kind} ended with status {status}; its events are in {output.parent / 'events.jsonl'}")
    return output


def _follow(command: list[str]) -> int:
    """Run a trainer; a Ctrl-C reaches it too, and it is waited for while it saves."""
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
