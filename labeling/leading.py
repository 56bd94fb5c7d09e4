"""What those who lead a project decide: how it labels, and what annotators are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction

from labeling import queue
from labeling.models import Guidelines, LabelingSettings, Task
from training import audit
from training.models import Project
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Container

    from django.db.models import QuerySet

    from training.models import User


class BadSettings(Refusal):
    code, status = "bad_settings", 422
    message = "These settings cannot be used."


class NothingWritten(Refusal):
    code, status = "empty_guidelines", 422
    message = "There is nothing written yet."


@transaction.atomic
def change_settings(*, project: Project, by: User, also_open: bool = False, **changes: Any) -> LabelingSettings:
    """Let a project label otherwise from now on; what stays the same is no deed.

    `also_open` gives the tasks that are open already the seats that a higher overlap asks for. Raises BadSettings.
    """
    queue.settings_of(project)
    settings = LabelingSettings.objects.select_for_update().get(project=project)
    before = {name: getattr(settings, name) for name, value in changes.items() if getattr(settings, name) != value}
    for name in before:
        setattr(settings, name, changes[name])
    check(settings, before)
    if before:
        settings.save(update_fields=[*before])
        after = {name: changes[name] for name in before}
        audit.record(project=project, by=by, did="settings.changed", before=before, after=after)
    if also_open:
        queue.raise_overlap(tasks=open_tasks(settings), seats=settings.overlap)
    return settings


def check(settings: LabelingSettings, changed: Container[str]) -> None:
    """Refuse settings that cannot work, by field; what was possible when it was set stays as it is."""
    try:
        settings.full_clean(exclude=["project"], validate_constraints=False)
    except ValidationError as error:
        raise BadSettings(None, **error.message_dict) from error
    known = Task.objects.filter(
        project=settings.project_id, purpose=Task.Purpose.QUALIFICATION, state=Task.State.OPEN
    ).count()
    if "qualification_tasks" in changed and settings.qualification_tasks > known:
        have = "There is 1 qualification task" if known == 1 else f"There are {known} qualification tasks"
        raise BadSettings(
            qualification_tasks=[f"{have}. Make more on the Review page, from tasks that were judged well."]
        )


def open_tasks(settings: LabelingSettings) -> QuerySet[Task]:
    """The project's open tasks that a higher overlap is meant for: so many of a hundred, by number."""
    work = Task.objects.filter(project=settings.project_id, purpose=Task.Purpose.WORK, state=Task.State.OPEN)
    return queue.of_a_hundred(work, settings.overlap_percent)


@transaction.atomic
def publish_guidelines(*, project: Project, by: User, text: str) -> Guidelines:
    """Tell annotators something new: the next version. The same text again is no news."""
    if not text.strip():
        raise NothingWritten(text=[NothingWritten.message])
    Project.objects.select_for_update().get(pk=project.pk)
    newest = Guidelines.objects.filter(project=project).order_by("-version").first()
    if newest and newest.text == text:
        return newest
    made = Guidelines.objects.create(
        project=project, version=newest.version + 1 if newest else 1, text=text, created_by=by
    )
    audit.record(project=project, by=by, did="guidelines.published", about=f"version {made.version}")
    return made
