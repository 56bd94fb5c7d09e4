"""A policy from elsewhere becomes the project's: the starter's, a folder on the worker, or a name on a model hub.

Only the files of a model are taken, so that a folder that is named by mistake shows nothing else.
"""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy.config import AdoptConfig
from training import checkpoints
from training import config as configs
from training.models import Checkpoint
from training.refusals import Refusal

if TYPE_CHECKING:
    from training.models import Job

STARTER = Path(__file__).resolve().parent / "starter" / "model"
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
FILES = (
    *WEIGHTS,
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template*",
    "card.json",
)


class NoSuchPolicy(Refusal):
    """The policy that was named is not to be had."""

    code, status = "no_such_policy", 422


def find(named: str) -> Path:
    """The folder of a policy: the starter's, one on this machine, or one fetched from a model hub."""
    folder = Path(named) if named else STARTER
    if (folder / "config.json").exists():
        return folder
    if not named:
        raise NoSuchPolicy(f"There is no starter model in {STARTER}: `make starter TEXT=books.jsonl.gz` makes one.")
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 (the web role has none)

        return Path(snapshot_download(named, allow_patterns=list(FILES)))
    except (ImportError, OSError, ValueError) as error:
        raise NoSuchPolicy(f"{named} is neither a model's folder here nor to be had from a hub: {error}") from error


def copy(named: str, folder: Path) -> dict[str, Any]:
    """Copy a policy's files into an empty folder, which may then be sealed; its card."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(find(named).iterdir()):
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in FILES):
            shutil.copyfile(file, folder / file.name)
    card = folder / "card.json"
    if not card.exists():
        card.write_text(json.dumps({"kind": "policy.adopt", "source": named or "starter"}) + "\n")
    return dict(json.loads(card.read_text()))


def adopt(job: Job, folder: Path) -> None:
    """Do a policy.adopt job: leave the policy's files in the folder. Raises NoSuchPolicy."""
    named = configs.parse(AdoptConfig, job.config).model
    copy(named, folder)
    if not any(folder.glob("*.safetensors")):
        raise NoSuchPolicy(
            f"{named or 'The starter'} holds no *.safetensors. Save it with save_pretrained, which writes them."
        )


def enthrone(job: Job, _folder: Path) -> None:
    """Let a project's first policy be its base and its champion; repeatable."""
    policy = Checkpoint.objects.get(job=job)
    project = job.project
    if not project.base_policy:
        project.base_policy = policy.digest
        project.save(update_fields=["base_policy"])
    if checkpoints.champion(project, Checkpoint.Kind.POLICY) is None:
        checkpoints.promote(policy, by=job.created_by)
