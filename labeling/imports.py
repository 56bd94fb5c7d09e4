"""Bringing in what was collected elsewhere: prompts, demonstrations and judgements from files.

A file is read twice: first to find every bad line and the split that it names for each group, then to write, all in
one transaction. Bad lines are refused with the whole file or skipped, as the user chooses; either way by number.
Bringing the same file in again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from django.db import connection, models, transaction
from django.utils.timezone import now

from labeling import conversations, lines, prefixes, prompts, queue, shelves, splits
from labeling.batches import batched
from labeling.incoming import JudgedRecord, Record, Said, read_demonstration, read_judged, read_prompt
from labeling.lines import BadLine
from labeling.models import (
    Candidate,
    Demonstration,
    Judgement,
    Kind,
    Lease,
    Placement,
    Prompt,
    Response,
    Task,
    Verdict,
)
from training import audit, bulk
from training.models import Membership, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from labeling.prompts import NewPrompt
    from training.models import Project

BATCH = 2000
PROMPTS_A_SOURCE_USER = 200
BAD_LINES_TOLD = 20
SOURCES_NAMED = 12
ENOUGH_TO_COMPARE = 2 * prefixes.LONG  # characters of a beginning: a longer text asks for no more than LONG
ANALYZED: tuple[type[models.Model], ...] = (Prompt, Response, Task, Candidate, Lease, Demonstration, Judgement)

OnError = Literal["refuse", "skip"]
Near = Literal["keep", "leave_out"]
MOVED = "lines in another split than the file says, because "
WHY_MOVED = {
    "nothing_held_out": MOVED + "it puts every line into one, which holds nothing out: the hash decides",
    "group_in_file": MOVED
    + "it puts prompts of one source user or one long beginning into several: the strictest holds",
    "decided_before": MOVED + "prompts of their group are here already: a split is decided once",
}
R = TypeVar("R", bound="Record")


class ImportRefused(Refusal):
    code, status = "import_refused", 422
    message = "The file has bad lines; nothing was brought in."

    def __init__(self, bad: Sequence[BadLine]) -> None:
        """Name the first bad lines, and say how many more there are."""
        told = "\n".join(str(line) for line in bad[:BAD_LINES_TOLD])
        more = f"\nand {len(bad) - BAD_LINES_TOLD} more" if len(bad) > BAD_LINES_TOLD else ""
        super().__init__(f"{self.message}\n{told}{more}", lines=[line.number for line in bad])
        self.bad = bad


class NoSuchSource(Refusal):
    code, status = "no_such_source", 422

    def __init__(self, absent: Iterable[str], there: Iterable[str]) -> None:
        """Name the sources that were asked for, and some that the file has."""
        names = ", ".join(sorted(there)[:SOURCES_NAMED]) or "none"
        super().__init__(f"The file has no line of the source {', '.join(sorted(absent))}; its sources are: {names}.")


@dataclass(slots=True, kw_only=True)
class Report:
    """What an import did."""

    lines: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """What was written, what was there already and what was left out, by name."""
    bad: list[BadLine] = field(default_factory=list)
    """The lines that were skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user chose."""

    source: str = ""
    """The source of lines that name none."""
    only: frozenset[str] = frozenset()
    """The sources to take; empty: all."""
    at_most: int | None = None
    """How many lines of each source to take, from the file's beginning."""
    on_error: OnError = "refuse"
    near: Near = "keep"
    """Whether a prompt that shares a long beginning with one before it comes in, too."""
    by: User | None = None
    """Who brings the file in; None for a command."""
    called: str = ""
    """The file's name, where its path is another one."""
    progress: Callable[[int], object] = lambda _: None
    """Hears how many bytes were read; each byte is read twice."""


# --- The three verbs ---------------------------------------------------------------------------


@transaction.atomic(durable=True)
def import_prompts(*, project: Project, path: Path, options: Options, demonstrate: bool = False) -> Report:
    """Add the prompts of a file, each text once and at most 200 a source user.

    `demonstrate` opens a demonstration task for each.
    """
    report = Report()
    fresh: list[Prompt] = []
    before = set(Prompt.objects.filter(project=project).values_list("text_hash", flat=True))
    room = Room(project)
    near = near_others(project, path, options) if options.near == "leave_out" else frozenset()
    for batch in batched(enumerate(records_of(path, read_prompt, options, report)), BATCH):
        wanted = [
            record.prompt
            for number, record in batch
            if is_first_of_its_kind(record.prompt, number in near, before, report)
            and room.has(record.prompt, before, report)
        ]
        found = prompts.add_all(project=project, wanted=wanted)
        tell_moved(wanted, found, report)
        new = {prompt.pk: prompt for prompt in found if prompt.text_hash not in before}
        before |= {prompt.text_hash for prompt in new.values()}
        report.counts["prompts"] += len(new)
        report.counts["prompts known already"] += len(found) - len(new)
        fresh += new.values() if demonstrate else ()
    if demonstrate:
        report.counts["demonstration tasks"] = queue.ask_for_demonstrations(project=project, wanted=fresh)
    return brought_in(project, path, options, report)


@transaction.atomic(durable=True)
def import_demonstrations(*, project: Project, path: Path, options: Options) -> Report:
    """Add the demonstrations of a file; an annotator that a line does not name is anonymous, one a source."""
    report = Report()
    people = People(project)
    known = keys_of(Demonstration.objects.filter(project=project))
    for batch in batched(records_of(path, read_demonstration, options, report), BATCH):
        new = [record for record in batch if not was_known(record.key, known, report, "demonstrations")]
        wanted = [record.prompt for record in new]
        found = prompts.add_all(project=project, wanted=wanted)
        tell_moved(wanted, found, report)
        bulk.write(
            [
                Demonstration(
                    project=project,
                    prompt=prompt,
                    annotator=people.named(record.annotator, record.prompt.source),
                    text=record.response,
                    source=record.prompt.source,
                    imported_as=record.key,
                )
                for record, prompt in zip(new, found, strict=True)
            ]
        )
        report.counts["demonstrations"] += len(new)
    return brought_in(project, path, options, report)


@transaction.atomic(durable=True)
def import_judgements(*, project: Project, path: Path, options: Options) -> Report:
    """Add the responses and judgements of a file; responses that nobody judged become a task to rank.

    Rankings stay rankings and pairwise verdicts stay verdicts, as they were said.
    """
    report = Report()
    people = People(project)
    known = keys_of(Task.objects.filter(project=project))
    for batch in batched(records_of(path, read_judged, options, report), BATCH):
        new = [record for record in batch if not was_known(record.key, known, report, "tasks")]
        write_judged(project, new, people, report)
    brought_in(project, path, options, report)
    shelves.new_edition(project.pk)
    return report


def brought_in(project: Project, path: Path, options: Options, report: Report) -> Report:
    """Write down who brought what in; part of the import's transaction."""
    counts = {what: count for what, count in sorted(report.counts.items()) if count}
    about = options.called or path.name
    audit.record(project=project, by=options.by, did="file.imported", about=about, lines=report.lines, counts=counts)
    transaction.on_commit(analyze)
    return report


def keys_of(rows: models.QuerySet[Any]) -> set[str]:
    """What was brought in before."""
    return set(rows.exclude(imported_as="").values_list("imported_as", flat=True))


def was_known(key: str, known: set[str], report: Report, what: str) -> bool:
    """Whether a record is there already; if not, it is from now on."""
    if key in known:
        report.counts[f"{what} known already"] += 1
        return True
    known.add(key)
    return False


def analyze() -> None:
    """Give the database fresh statistics: straight after a bulk import it plans badly without them."""
    with connection.cursor() as cursor:
        for model in ANALYZED:
            cursor.execute(f"ANALYZE {connection.ops.quote_name(model._meta.db_table)}")  # noqa: SLF001


def tell_moved(wanted: Sequence[NewPrompt], found: Sequence[Prompt], report: Report) -> None:
    """Count the lines that landed in another split than they name, by why."""
    for new, prompt in zip(wanted, found, strict=True):
        if new.line_split in (None, prompt.split):
            continue
        group_in_file = new.split is not None and new.split != new.line_split and new.split == prompt.split
        why = "group_in_file" if group_in_file else "decided_before"
        if new.split is None and prompt.split == splits.split_of(prompt.group):
            why = "nothing_held_out"
        report.counts[WHY_MOVED[why]] += 1


def near_others(project: Project, path: Path, options: Options) -> frozenset[int]:
    """The numbers of a file's good records that share a long beginning with a prompt of the project, or one before."""
    here = [
        splits.beginning(messages)[:ENOUGH_TO_COMPARE]
        for messages in Prompt.objects.filter(project=project).values_list("messages", flat=True).iterator(BATCH)
    ]
    coming = [
        splits.beginning(record.prompt.messages)[:ENOUGH_TO_COMPARE]
        for _, record in selected(path, read_prompt, replace(options, progress=lambda _: None))
        if not isinstance(record, BadLine)
    ]
    first = prefixes.groups([*here, *coming])
    return frozenset(number for number in range(len(coming)) if first[len(here) + number] != len(here) + number)


def is_first_of_its_kind(prompt: NewPrompt, is_near: bool, known: set[str], report: Report) -> bool:  # noqa: FBT001
    """Whether a prompt comes in: it is the first with its beginning, or here already."""
    if is_near and prompt.text_hash not in known:
        report.counts["prompts that share a long beginning with one before them, left out"] += 1
        return False
    return True


class Room:
    """How many more prompts each source user may bring."""

    def __init__(self, project: Project) -> None:
        rows = Prompt.objects.filter(project=project).exclude(source_user="").order_by()
        self.taken = Counter(
            {
                (source, user): count
                for source, user, count in rows.values_list("source", "source_user").annotate(models.Count("pk"))
            }
        )

    def has(self, prompt: NewPrompt, known: set[str], report: Report) -> bool:
        """Whether the prompt may come in, and count it."""
        if not prompt.source_user or prompt.text_hash in known:
            return True
        user = (prompt.source, prompt.source_user)
        if self.taken[user] >= PROMPTS_A_SOURCE_USER:
            report.counts[f"prompts beyond {PROMPTS_A_SOURCE_USER} of one source user"] += 1
            return False
        self.taken[user] += 1
        return True


USERNAME_LENGTH = 150


class People:
    """The annotators that files name: users who cannot sign in, and members to whom the project is closed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.known: dict[str, User] = {}

    def named(self, name: str, source: str) -> User:
        """The user of that name; without a name, the anonymous annotator of the source."""
        called = name or f"anonymous of {source or 'an import'}"
        if called not in self.known:
            username = self.username_of(called)
            user, is_new = User.objects.get_or_create(username=username, defaults={"name": called, "is_active": False})
            if is_new:
                user.set_unusable_password()
                user.save(update_fields=["password"])
            closed = {"role": Membership.Role.ANNOTATOR, "deactivated_at": now()}
            Membership.objects.get_or_create(project=self.project, user=user, defaults=closed)
            self.known[called] = user
        return self.known[called]

    @staticmethod
    def username_of(called: str) -> str:
        """A user name for someone, and for nobody else whose name looks alike."""
        username = f"imported-{called.replace(' ', '-')}"
        taken = User.objects.filter(username=username).exclude(name=called).exists()
        if len(username) <= USERNAME_LENGTH and not taken:
            return username
        return f"{username[: USERNAME_LENGTH - 9]}-{conversations.fingerprint(called)[:8]}"


# --- Reading: survey, then records -------------------------------------------------------------


def records_of(path: Path, read: Callable[[dict[str, Any], str], R], options: Options, report: Report) -> Iterator[R]:
    """The file's good records, each with the split of its group. Raises ImportRefused before the first one."""
    split_of = survey(path, read, options, report)
    for _, record in selected(path, read, options):
        if isinstance(record, BadLine):
            continue
        split = split_of.get(record.prompt.group) if split_of else None
        if split != record.prompt.split:
            record.prompt = replace(record.prompt, split=split)
        yield record


def survey(path: Path, read: Callable[[dict[str, Any], str], R], options: Options, report: Report) -> dict[str, str]:
    """Find the bad lines, and the split that the file names for each group.

    A file that names one split for everything has held nothing out, and so names none.
    """
    named: dict[str, set[str]] = {}
    for _, record in selected(path, read, options):
        report.lines += 1
        if isinstance(record, BadLine):
            report.bad.append(record)
        elif record.prompt.split:
            named.setdefault(record.prompt.group, set()).add(record.prompt.split)
    if report.bad and options.on_error == "refuse":
        raise ImportRefused(report.bad)
    if len(set[str]().union(*named.values())) < 2:
        return {}
    return {group: splits.strictest(sorted(said)) for group, said in named.items()}


def selected(
    path: Path, read: Callable[[dict[str, Any], str], R], options: Options
) -> Iterator[tuple[int, R | BadLine]]:
    """The lines that the user wants, read. Raises NoSuchSource at the end of a file that has none of one wanted."""
    taken: Counter[str] = Counter()
    others: set[str] = set()
    for number, data in lines.records(path, seen=options.progress):
        if isinstance(data, BadLine):
            yield number, data
            continue
        source = str(data.get("source") or options.source)
        if options.only and source not in options.only:
            if len(others) < SOURCES_NAMED:
                others.add(source)
            continue
        taken[source] += 1
        if options.at_most is not None and taken[source] > options.at_most:
            continue
        try:
            yield number, read(data, source)
        except BadLine as bad:
            yield number, BadLine(bad.reason, number)
        except Refusal as refusal:
            yield number, BadLine(refusal.message, number)
    if absent := options.only - taken.keys():
        raise NoSuchSource(absent, others | taken.keys())


# --- Writing judged lines ------------------------------------------------------------------------


def write_judged(project: Project, batch: list[JudgedRecord], people: People, report: Report) -> None:
    """Write tasks, their responses, and each annotator's word with the lease that it would have come with."""
    settings = queue.settings_of(project)
    wanted = [record.prompt for record in batch]
    found = prompts.add_all(project=project, wanted=wanted)
    tell_moved(wanted, found, report)
    by_prompt = responses_of(found, batch, report)
    tasks, links, leases, words = [], [], [], Words()
    for record, prompt in zip(batch, found, strict=True):
        report.counts.update(record.left_out)
        texts = list(record.responses) if record.said else drawn(record, settings.responses_per_task)
        seats = len(record.said) or queue.seats_of(settings)
        task = Task(
            project=project,
            kind=Kind.RANKING,
            prompt=prompt,
            state=queue.state_for(prompt),
            imported_as=record.key,
            seats=seats,
            seats_left=0 if record.said else seats,
            served=len(record.said),
            priority=prompt.priority,
        )
        tasks.append(task)
        links.append((task, [by_prompt[prompt.pk, each] for each in texts]))
        for said in record.said:
            lease = closed_lease(project, task, people.named(said.annotator, record.prompt.source))
            leases.append(lease)
            words.add(lease, said, record.prompt.source, {each: by_prompt[prompt.pk, each] for each in texts})
    bulk.write(tasks)
    queue.link(links)
    bulk.write(leases)
    words.write()
    report.counts["tasks"] += len(tasks)
    report.counts["tasks to rank"] += sum(task.seats_left > 0 for task in tasks)
    report.counts["rankings"] += sum(judgement.form == Judgement.Form.RANKING for judgement in words.judgements)
    report.counts["sets of verdicts"] += sum(
        judgement.form == Judgement.Form.VERDICTS for judgement in words.judgements
    )
    report.counts["verdicts"] += len(words.verdicts)


def drawn(record: JudgedRecord, count: int) -> list[str]:
    """The responses that are to be ranked: so many of them, drawn by hash so that it is the same draw each time."""
    return sorted(record.responses, key=lambda each: conversations.fingerprint(f"{record.key} {each}"))[:count]


def responses_of(
    found: Iterable[Prompt], batch: Iterable[JudgedRecord], report: Report
) -> dict[tuple[int, str], Response]:
    """The responses of a batch by prompt and text; those that are not there yet are made."""
    by_text: dict[tuple[int, str], Response] = {}
    pairs = list(zip(found, batch, strict=True))
    for some in batched({prompt.pk for prompt, _ in pairs}, BATCH):
        by_text |= {(each.prompt_id, each.text): each for each in Response.objects.filter(prompt__in=some)}
    new: dict[tuple[int, str], Response] = {}
    for prompt, record in pairs:
        for each, writer in record.responses.items():
            if (prompt.pk, each) not in by_text:
                new.setdefault((prompt.pk, each), Response(prompt=prompt, text=each, writer=writer[:150]))
    bulk.write(list(new.values()))
    report.counts["responses"] += len(new)
    return by_text | new


def closed_lease(project: Project, task: Task, annotator: User) -> Lease:
    """The lease of a word that was said elsewhere: its annotator has seen the task."""
    moment = now()
    return Lease(
        project=project,
        kind=task.kind,
        task=task,
        annotator=annotator,
        state=Lease.State.SUBMITTED,
        expires_at=moment,
        ended_at=moment,
    )


class Words:
    """Judgements with their placements and verdicts, on their way into the database."""

    def __init__(self) -> None:
        self.judgements: list[Judgement] = []
        self.placements: list[Placement] = []
        self.verdicts: list[Verdict] = []

    def add(self, lease: Lease, said: Said, source: str, responses: dict[str, Response]) -> None:
        """Take one annotator's word."""
        judgement = Judgement(
            project=lease.project,
            task=lease.task,
            lease=lease,
            annotator=lease.annotator,
            form=Judgement.Form.RANKING if said.places else Judgement.Form.VERDICTS,
            said=said.data,
            source=source,
            is_simulated=said.simulated,
            flags=list(said.flags),
            note=said.note,
        )
        self.judgements.append(judgement)
        self.placements += [
            Placement(
                judgement=judgement,
                response=responses[place.response],
                rank=place.rank,
                rating=place.rating,
                flags=list(place.flags),
            )
            for place in said.places
        ]
        self.verdicts += [
            Verdict(judgement=judgement, a=responses[a], b=responses[b], word=word) for a, b, word in said.verdicts
        ]

    def write(self) -> None:
        """Write them down."""
        bulk.write(self.judgements)
        bulk.write(self.placements)
        bulk.write(self.verdicts)
