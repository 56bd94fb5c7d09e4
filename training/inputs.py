"""What a job reads: references as people give them, resolved to digests when the job is claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training import kinds
from training.kinds import CHECKPOINT_KINDS, Input, JobKind, kind_named
from training.models import Champion, Checkpoint, Dataset, Job, Project
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadInput(Refusal):
    """A reference that cannot be resolved; `fields` names the input."""

    code, status = "bad_input", 422
    message = "An input of this job cannot be used."


def complete(kind: JobKind, given: Mapping[str, Any]) -> dict[str, Any]:
    """The references with defaults filled in; an optional input that is given as empty is left out.

    Refused are unknown names, missing ones, and a snapshot of what no snapshot is made of.
    """
    unknown = [name for name in given if kind.input(name) is None]
    if unknown:
        raise BadInput(
            f"{kind.name} has no input called {', '.join(unknown)}.", **dict.fromkeys(unknown, "unknown input")
        )
    references = {}
    further = [each for name in given if (each := kind.input(name)) and each not in kind.inputs]
    for each in (*kind.inputs, *further):
        is_left_out = each.name in given and not given[each.name] and not each.required
        reference = given.get(each.name) or each.default
        if reference and not is_left_out:
            if reference == "snapshot":
                check_snapshot(each)
            references[each.name] = reference
        elif each.required:
            raise BadInput(f"{kind.name} needs {each.name}.", **{each.name: "missing"})
    return references


def check_snapshot(wanted: Input) -> None:
    """Refuse to take a snapshot of what none is made of."""
    made = kind_named(kinds.SNAPSHOT_KIND).makes
    if wanted.kind in CHECKPOINT_KINDS:
        raise BadInput(f"A snapshot is a dataset; {wanted.name} wants a checkpoint.", **{wanted.name: "not a dataset"})
    if wanted.kind not in made:
        raise BadInput(
            f"A snapshot holds {' or '.join(made)}; {wanted.name} wants {wanted.kind}. Name a dataset, or the latest.",
            **{wanted.name: "no snapshot"},
        )


def check(project: Project, wanted: Input, reference: Any) -> None:
    """Refuse a reference that could not be resolved if it were claimed now."""
    if isinstance(reference, dict):
        check_job(project, wanted, reference)
    elif reference != "snapshot":  # which is taken when the job starts
        resolve(project, wanted, reference)


def check_job(project: Project, wanted: Input, reference: Mapping[str, Any]) -> None:
    """Refuse a `{"job": id}` that will never give what is wanted."""
    number = reference.get("job")
    job = (
        Job.objects.filter(project=project, pk=number).first()
        if isinstance(number, int) and set(reference) == {"job"}
        else None
    )
    if job is None:
        raise BadInput(f"{wanted.name} names a job that this project does not have.", **{wanted.name: "unknown job"})
    output = kind_named(job.kind).output_of(job.config)
    if output != wanted.kind:
        raise BadInput(
            f"Job {job.pk} makes {output}; {wanted.name} wants {wanted.kind}.", **{wanted.name: "wrong kind"}
        )
    if job.state in (Job.State.FAILED, Job.State.CANCELLED):
        raise BadInput(f"Job {job.pk} has {job.state}; retry it first.", **{wanted.name: f"job has {job.state}"})


def resolve_all(job: Job) -> dict[str, str]:
    """Input name -> digest, now. The jobs that it waits for have succeeded."""
    kind = kind_named(job.kind)
    resolved = {}
    for name, reference in job.requested_inputs.items():
        wanted = kind.input(name)
        if wanted is None:
            raise BadInput(f"{kind.name} has no input called {name} any more.", **{name: "unknown input"})
        resolved[name] = resolve(job.project, wanted, reference)
    return resolved


def resolve(project: Project, wanted: Input, reference: Any) -> str:
    """The digest that a reference means now, or a refusal that names the input."""
    if isinstance(reference, dict):
        digest = (
            Job.objects.filter(project=project, pk=reference["job"]).values_list("output_digest", flat=True).first()
        )
    elif reference in ("champion", "previous"):
        reigns = Champion.objects.filter(project=project, kind=wanted.kind, until__isnull=reference == "champion")
        digest = reigns.order_by("-until").values_list("checkpoint__digest", flat=True).first()
    else:
        digest = _published(project, wanted, reference)
    if not digest:
        raise BadInput(_why_missing(project, wanted, reference), **{wanted.name: "nothing there"})
    return digest


def _published(project: Project, wanted: Input, reference: Any) -> str | None:
    """A digest among what this project has published, or the newest for `latest`."""
    rows = Checkpoint.objects if wanted.kind in CHECKPOINT_KINDS else Dataset.objects
    found = rows.filter(project=project, kind=wanted.kind).order_by("-pk")
    if reference != "latest":
        found = found.filter(digest=str(reference))
    return found.values_list("digest", flat=True).first()


def _why_missing(project: Project, wanted: Input, reference: Any) -> str:
    what = f"{wanted.kind} checkpoint" if wanted.kind in CHECKPOINT_KINDS else f"{wanted.kind} dataset"
    if reference == "champion":
        return f"{project} has no champion {what} yet; promote one, or name one for {wanted.name}."
    if reference == "previous":
        return f"{project} has had no champion {what} before the present one; name another for {wanted.name}."
    if reference == "latest":
        return f"{project} has no {what} yet, which {wanted.name} wants."
    if isinstance(reference, dict):
        return f"Job {reference['job']} left no {what} for {wanted.name}."
    return f"{project} has no {what} {reference!s:.80}, which {wanted.name} names."
