"""`manage.py describe_jobs`: docs/reference/jobs.md, from the kinds that the rooms register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from training.kinds import all_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.kinds import JobKind

HEAD = """\
# Jobs

Every kind of job, what it reads, what it makes, and each of its settings. Written by `python manage.py describe_jobs`;
a test holds it to the code.
"""


class Command(BaseCommand):
    help = "Print the reference page of every kind of job."

    def handle(self, *_: Any, **__: Any) -> None:
        """Print the page."""
        self.stdout.write("\n".join([HEAD, *(line for kind in all_kinds() for line in described(kind))]))


def described(kind: JobKind) -> Iterator[str]:
    """The section of one kind."""
    yield f"## {kind.name}\n"
    yield f"*{kind.title}.* {kind.description}\n"
    yield f"Makes: {kind.output}.\n"
    if kind.inputs:
        yield "| input | what | unless you say otherwise |\n| --- | --- | --- |"
        for each in kind.inputs:
            yield f"| `{each.name}` | {each.kind} | {each.default or ('required' if each.required else 'none')} |"
        yield ""
    yield "| setting | default | what it says |\n| --- | --- | --- |"
    for name, about in kind.schema()["properties"].items():
        yield f"| `{name}` | `{about.get('default')}` | {' '.join(about.get('description', '').split())} |"
    yield ""
