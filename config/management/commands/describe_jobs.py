"""`manage.py describe_jobs`: docs/reference/jobs.md, from the kinds that the rooms register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from training.kinds import all_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    yield f"Makes: {' or '.join(kind.makes)}.\n"
    if kind.inputs:
        yield "| input | what | unless you say otherwise |\n| --- | --- | --- |"
        for each in kind.inputs:
            more = f", and `{each.name}_2`, …" if each.many else ""
            usual = each.default or ("required" if each.required else "none")
            yield f"| `{each.name}`{more} | {each.kind} | {usual} |"
        yield ""
    yield "| setting | default | what it says |\n| --- | --- | --- |"
    yield from settings(kind.schema())
    yield ""


def settings(schema: Mapping[str, Any], group: str = "") -> Iterator[str]:
    """A line for each setting; those of a group after what the group says of itself."""
    for name, about in schema["properties"].items():
        words = " ".join(about.get("description", "").split())
        if about["type"] == "object":
            yield f"| `{group}{name}.…` | | {words} |"
            yield from settings(about, f"{group}{name}.")
        else:
            yield f"| `{group}{name}` | `{about.get('default')}` | {words}{allowed(about)} |"


def allowed(about: Mapping[str, Any]) -> str:
    """The choices of a setting, or its bounds, in words."""
    choices = about.get("enum") or about.get("items", {}).get("enum")
    if choices:
        return f" One of {', '.join(f'`{each}`' for each in choices)}."
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    said = [f"{words} {about[key]:g}" for key, words in bounds.items() if key in about]
    return f" ({', '.join(said)})" if said else ""
