"""What the browser tests find on the server: people, tasks, and jobs as workers would have left them."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

from django.conf import settings

from labeling import acknowledgements, prompts, queue, rankings
from labeling.models import Guidelines, Prompt, Response, Task
from training import artifacts, checkpoints, jobs
from training.models import Job, Membership, Project, User
from training.records import Placement
from training.report import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from training.models import Attempt, Checkpoint

WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
ZOOMED = {"width": 720, "height": 450}  # what 200 % leaves of a wide screen
PATIENCE_SECONDS = 60
PASSWORD = "seven-kites-over-the-hill"
CAST = {"ada": "annotator", "rhea": "researcher", "vera": "reviewer", "lea": "admin"}
STORIES = (
    "A red {0} was lost in the orchard. Mina looked behind the well, and there it hung, pleased with itself.",
    "The {0} was lost, and the boy looked everywhere. At last the wind brought it back to his own door.",
    "Once there was a {0} who did not like the sky. It hid in the hay, and the hens were **very** surprised.",
    "The {0} the {0} went up and the {0} was the {0} and then",
)


LOOK_UNTIL = """async ([address, condition]) => {
    const holds = new Function("it", `return ${condition}`);
    for (let tries = 0; tries < 600; tries += 1) {
        const answer = await fetch(`/api/v1/${address}`);
        if (answer.ok && holds(await answer.json())) return;
        await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error(`${address} never said ${condition}`);
}"""


def until(page: Page, address: str, condition: str) -> None:
    """Wait until what the API answers to the page's person is so; the condition speaks of `it`."""
    page.evaluate(LOOK_UNTIL, [address, condition])


def comes_to(read: Callable[[], object], wanted: object) -> None:
    """Read until it is what is wanted: a page and its server need their time, however busy the machine is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == wanted


def stands_still(page: Page) -> None:
    """Wait until nothing on the page moves, so that what is pointed at stays there."""
    # Not by Playwright's own waiting, which evaluates text in the page: the content security policy forbids that.
    moving = "document.getAnimations().some((each) => each.playState === 'running')"
    comes_to(lambda: page.evaluate(moving), wanted=False)


def line_of(what, number):
    """A line of a dataset of some kind."""
    line = {"id": number, "split": "train", "group": number, "prompt": [{"role": "user", "content": f"Kite {number}?"}]}
    if what == "demonstrations":
        return line | {"response": f"Kite {number} flew.", "annotator": "p-1", "source": "here"}
    if what == "rankings":
        texts = [f"Kite {number} flew.", f"Kite {number} fell."]
        line["responses"] = [{"id": f"r{k}", "text": text} for k, text in enumerate(texts)]
        placements = [{"response": "r1", "rank": 1, "rating": 6}, {"response": "r0", "rank": 2, "rating": 2}]
        line["judgements"] = [{"kind": "ranking", "annotator": "p-1", "placements": placements}]
    return line


class World:
    """A project called Bedtime stories, and the cast in it."""

    def __init__(self) -> None:
        self.project = Project.objects.create(slug="bedtime", name="Bedtime stories", description="For the evening.")
        for name, role in CAST.items():
            user = User.objects.create_user(name, password=PASSWORD, name=name.title())
            Membership.objects.create(project=self.project, user=user, role=role)
        self.guide("Prefer stories that **end**.")
        for user in User.objects.all():
            acknowledgements.acknowledge(annotator=user, project=self.project, version=1)

    def guide(self, text: str) -> Guidelines:
        """Write the next version of the guidelines."""
        version = Guidelines.objects.filter(project=self.project).count() + 1
        return Guidelines.objects.create(project=self.project, version=version, text=text)

    def ask(self, *things: str) -> list[Prompt]:
        """One prompt about each thing."""
        wanted = [
            prompts.NewPrompt(messages=[{"role": "user", "content": f"Tell me a short story about a lost {thing}."}])
            for thing in things
        ]
        return prompts.add_all(project=self.project, wanted=wanted)

    def rank(self, *things: str) -> list[Task]:
        """A ranking task of four stories about each thing."""
        tasks = []
        for thing, prompt in zip(things, self.ask(*things), strict=True):
            task = Task.objects.create(project=self.project, kind="ranking", prompt=prompt)
            texts = [story.format(thing) for story in STORIES]
            queue.link([(task, [Response.objects.create(prompt=prompt, text=text) for text in texts])])
            tasks.append(task)
        return tasks

    def judged(self, thing: str, *, by: tuple[str, str] = ("ada", "vera")) -> Task:
        """A ranking task of four stories that two people judged, each the opposite of the other."""
        [task] = self.rank(thing)
        Task.objects.filter(pk=task.pk).update(seats=2, seats_left=2, priority=9)
        order = sorted(map(str, task.responses.values_list("pk", flat=True)))
        for name, best_first in zip(by, (order, order[::-1]), strict=True):
            person = User.objects.get(username=name)
            handout = queue.lease_next(annotator=person, slug="bedtime", kind="ranking")
            assert handout is not None
            placements = [
                Placement(response=response, rank=rank, rating=8 - rank)
                for rank, response in enumerate(best_first, start=1)
            ]
            rankings.submit(annotator=person, lease_id=handout.lease.pk, placements=placements, seconds_spent=40)
        return task

    def demonstrate(self, *things: str) -> None:
        """A demonstration task about each thing."""
        queue.ask_for_demonstrations(project=self.project, wanted=self.ask(*things))

    # --- Machine work, as a worker would have done it ----------------------------------------------

    def policy(self, name: str = "bedtime-small") -> Checkpoint:
        """A published policy, which is the champion."""
        card = {"kind": "policy.pretrain", "metrics": {"pretrain/loss": 2.2}, "seed": 1}
        policy = checkpoints.publish(
            project=self.project, kind="policy", digest=self.stored(name, card), card=card, name=name
        )
        checkpoints.promote(policy, by=User.objects.get(username="lea"))
        return policy

    def stored(self, name: str, card: dict[str, object], **files: bytes) -> str:
        """Put a small artefact in the store; its digest."""
        folder = settings.LAUREL_HOME / "made" / f"{self.project.pk}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.json").write_text(json.dumps(card))
        for file, content in {"model_safetensors": b"weights", **files}.items():
            (folder / file.replace("_", ".")).write_bytes(content)
        return artifacts.Store(settings.STORE_ROOT).put(folder)

    def snapshot(self, what: str = "rankings") -> Job:
        """A finished snapshot job with its dataset."""
        job = jobs.start(project=self.project, kind="labeling.snapshot", config={"what": what})
        attempt = self.claimed(job)
        card = {"kind": what, "count": 2, "splits": {"train": 2, "valid": 0, "test": 0}}
        data = "".join(f"{json.dumps(line_of(what, number))}\n" for number in ("1", "2"))
        digest = self.stored(f"job{job.pk}", card, data_jsonl=data.encode())
        jobs.finish(attempt, digest=digest, folder=settings.LAUREL_HOME, card=card)
        return job

    def training(self, *, steps: int = 40) -> Job:
        """A fine-tuning job in the middle of its work, with curves, notes and samples."""
        self.snapshot("demonstrations")
        job = jobs.start(
            project=self.project,
            kind="policy.sft",
            inputs={"demonstrations": "latest"},
            by=User.objects.get(username="lea"),
        )
        attempt = self.claimed(job)
        reporter = Reporter(settings.RUNS_ROOT / str(job.pk) / "attempt-1" / "events.jsonl")
        reporter.note("Two demonstrations in one batch.")
        reporter.samples(20, [{"prompt": "Tell me a story.", "response": "Once there was an owl.", "reward": 0.5}])
        metrics = {("sft/loss", step): 2 * math.exp(-step / 30) for step in range(1, steps)}
        metrics |= {("sft/valid_loss", step): 2.1 * math.exp(-step / 30) for step in range(1, steps, 10)}
        jobs.beat(attempt, jobs.News(metrics=metrics, progress=(steps - 1, 2 * steps, "steps")))
        return job

    def failed(self) -> Job:
        """A job that failed, and said how to mend it."""
        job = jobs.start(project=self.project, kind="labeling.snapshot", config={"what": "prompts"})
        jobs.fail(self.claimed(job), code="out_of_memory", message="It did not fit into memory. Halve the batch.")
        return job

    @staticmethod
    def claimed(job: Job) -> Attempt:
        """The job's next attempt, in the hands of a worker."""
        attempt = jobs.claim(job.pk, worker="a worker of the test")
        assert attempt is not None, Job.objects.get(pk=job.pk).error_message
        return attempt
