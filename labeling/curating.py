"""The prompts of a project, looked after: found, tagged, put first or last, retired and taken up again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F, OuterRef, QuerySet, Subquery

from labeling import queue, shelves
from labeling.models import Prompt, Task
from labeling.turns import Holds, Turns
from training import audit
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.models import Project, User


class NotTheirs(Refusal):
    code, status = "not_found", 404
    message = "Some of these prompts are not in this project. Load the page again."


def find(
    project: Project, *, text: str = "", split: str = "", source: str = "", tag: str = "", retired: bool | None = None
) -> QuerySet[Prompt]:
    """The prompts that hold each of the words, and stand in the split, source, tag and state that are asked for."""
    found = Prompt.objects.filter(project=project)
    if split:
        found = found.filter(split=split)
    if source:
        found = found.filter(source=source)
    if retired is not None:
        found = found.filter(retired_at__isnull=not retired)
    if tag:
        found = found.filter(Holds("tags", tag))
    for word in text.split():
        found = found.alias(asked=Turns("messages")).filter(asked__icontains=word)
    return found


@transaction.atomic
def change(
    *,
    project: Project,
    by: User,
    prompts: Sequence[int],
    retired: bool | None = None,
    priority: int | None = None,
    add_tags: Sequence[str] = (),
    remove_tags: Sequence[str] = (),
    demonstrate: bool = False,
) -> int:
    """Change some prompts, all or none: how many demonstration tasks that opened. Raises NotTheirs.

    Retiring hands out no task of theirs any more; taking up again puts back those that were neither settled nor copied
    into a known answer. A new priority moves the tasks with their prompt.
    """
    wanted = set(prompts)
    rows = Prompt.objects.filter(project=project, pk__in=wanted)
    found = list(rows.select_for_update().order_by("pk"))
    if len(found) < len(wanted):
        raise NotTheirs
    if priority is not None:
        before = Prompt.objects.filter(pk=OuterRef("prompt_id")).values("priority")[:1]
        Task.objects.filter(prompt__in=found).update(priority=F("priority") - Subquery(before) + priority)
        rows.update(priority=priority)
        shelves.new_edition(project.pk)
    if retired is not None:
        (queue.retire if retired else queue.take_up)(prompts=rows)
    if add_tags or remove_tags:
        for prompt in found:
            kept = [tag for tag in prompt.tags if tag not in remove_tags]
            prompt.tags = list(dict.fromkeys([*kept, *add_tags]))
        Prompt.objects.bulk_update(found, ["tags"], batch_size=queue.SAMPLES_A_BATCH)
    opened = queue.ask_for_demonstrations(project=project, wanted=found) if demonstrate else 0
    said: dict[str, Any] = {"retired": retired, "priority": priority, "demonstrate": demonstrate or None}
    said |= {"add_tags": [*add_tags] or None, "remove_tags": [*remove_tags] or None, "prompts": sorted(wanted)}
    done = {name: value for name, value in said.items() if value is not None}
    about = "1 prompt" if len(wanted) == 1 else f"{len(wanted)} prompts"
    audit.record(project=project, by=by, did="prompts.changed", about=about, **done)
    return opened
