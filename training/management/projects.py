"""Which project a command means."""

from __future__ import annotations

from django.core.management.base import CommandError

from training.models import Project


def project_named(slug: str | None) -> Project:
    """The project of that slug; without a slug, the only one there is."""
    if slug:
        project = Project.objects.filter(slug=slug).first()
        if project is None:
            raise CommandError(f"There is no project {slug!r}; there are: {known_slugs()}.")
        return project
    projects = list(Project.objects.all()[:2])
    if len(projects) != 1:
        raise CommandError(f"Say which project with --project; there are: {known_slugs()}.")
    return projects[0]


def known_slugs() -> str:
    """The projects, in words."""
    return ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)) or "none yet"
