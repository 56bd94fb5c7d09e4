"""The workshop's doors to the worker: its kinds of job, and what happens to finished samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labeling import queue
from training.launcher import answer
from training.models import Checkpoint
from training.records import SampleLine, read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from training.models import Job

adopt = answer("policy.adopt")
pretrain = answer("policy.pretrain")
sft = answer("policy.sft")
ppo = answer("policy.ppo")
sample = answer("policy.sample")


def place_samples(job: Job, folder: Path) -> None:
    """Put what a job sampled before the annotators, unless it was sampled for another purpose; repeatable."""
    if not job.config["place"]:
        return
    published = Checkpoint.objects.filter(project=job.project, digest__in=job.inputs.values()).order_by("pk")
    newest = {each.digest: each for each in published}
    authors = {name: newest.get(digest) for name, digest in job.inputs.items()}
    queue.place(job=job, samples=read_lines(SampleLine, folder), authors=authors)
