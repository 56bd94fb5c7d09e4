"""Adding prompts: each text once, in the split of its group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from django.db import transaction

from labeling import conversations, splits
from labeling.batches import batched
from labeling.models import Prompt
from training import bulk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from training.models import Project

STATEMENT = 500  # values in one IN (…)


@dataclass(frozen=True, kw_only=True)
class NewPrompt:
    """A prompt as it arrives, read but not yet known to the project."""

    messages: conversations.Messages
    source: str = ""
    source_user: str = ""
    record: str = ""
    """The whole record's text, for one that has no prompt."""
    tags: tuple[str, ...] = ()
    priority: int = 0
    split: str | None = None
    """The split that the file names for its group."""
    line_split: str | None = None
    """The split that its own line names."""

    @cached_property
    def text_hash(self) -> str:
        """What tells whether the project has it already."""
        return conversations.fingerprint(conversations.normal_form(self.messages) if self.messages else self.record)

    @cached_property
    def group(self) -> str:
        """What must not be torn apart."""
        return splits.group_of(self.messages, source=self.source, source_user=self.source_user, record=self.record)


@transaction.atomic
def add_all(*, project: Project, wanted: Sequence[NewPrompt]) -> list[Prompt]:
    """The project's prompts with these texts, in order; those that it lacks are made.

    A group keeps the split that it has; a new one gets the strictest that its members name, else the hash's.
    """
    known = known_by_hash(project, [new.text_hash for new in wanted])
    missing = {new.text_hash: new for new in reversed(wanted) if new.text_hash not in known}
    split_of = splits_of_groups(project, list(missing.values()))
    made = bulk.write(
        [
            Prompt(
                project=project,
                messages=new.messages,
                text_hash=text_hash,
                group=new.group,
                split=split_of[new.group],
                source=new.source,
                source_user=new.source_user,
                tags=list(new.tags),
                priority=new.priority,
            )
            for text_hash, new in reversed(missing.items())
        ],
        unless_there=True,  # someone else may add the same text now
    )
    known |= {prompt.text_hash: prompt for prompt in made}
    if not missing.keys() <= known.keys():
        known |= known_by_hash(project, missing.keys() - known.keys())
    return [known[new.text_hash] for new in wanted]


def known_by_hash(project: Project, hashes: Iterable[str]) -> dict[str, Prompt]:
    """The project's prompts among these texts."""
    found: dict[str, Prompt] = {}
    for batch in batched(hashes, STATEMENT):
        found |= {prompt.text_hash: prompt for prompt in Prompt.objects.filter(project=project, text_hash__in=batch)}
    return found


def splits_of_groups(project: Project, wanted: Iterable[NewPrompt]) -> dict[str, str]:
    """The split of each group: the one that it has, else what the file names for it, else the hash's."""
    named: dict[str, list[str]] = {}
    for new in wanted:
        named.setdefault(new.group, []).extend([new.split] if new.split else [])
    decided: dict[str, str] = {}
    for batch in batched(named, STATEMENT):
        decided |= dict(Prompt.objects.filter(project=project, group__in=batch).values_list("group", "split"))
    return {
        group: decided.get(group) or (splits.strictest(said) if said else splits.split_of(group))
        for group, said in named.items()
    }


def add(*, project: Project, messages: Sequence[Mapping[str, str]], source: str = "") -> Prompt:
    """The project's prompt with this text, made where it has none yet."""
    return add_all(project=project, wanted=[NewPrompt(messages=conversations.read(messages), source=source)])[0]
