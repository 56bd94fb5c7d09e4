"""Reviewing over HTTP: tasks with everyone's words side by side, and what a reviewer may do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response as Answer

from labeling import review, reviewing, submissions
from labeling.api import LabelingView
from labeling.models import Demonstration, Judgement, Kind, Lease, Standing, Task
from labeling.serializers import MessageSerializer
from labeling.submission_api import WordSerializer
from training import access
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, LARGEST_ID, before

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

PAGE = 30
SHOW = OpenApiParameter("show", str, enum=list(reviewing.SHOWN), description="Which tasks; all of them otherwise.")
STANDINGS = [("", "unreviewed"), ("accepted", "accepted"), ("returned", "returned")]


class TaskRowSerializer(serializers.Serializer[Any]):
    """A task in the reviewer's list."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    purpose = serializers.ChoiceField(choices=Task.Purpose.choices)
    state = serializers.ChoiceField(choices=Task.State.choices)
    prompt = serializers.CharField()
    seats = serializers.IntegerField()
    words = serializers.IntegerField()
    agreement = serializers.FloatField(
        allow_null=True, help_text="Share of the pairs on which its annotators agree, ties counting half."
    )
    accepted = serializers.IntegerField()
    returned = serializers.IntegerField()
    skips = serializers.IntegerField()
    settled = serializers.BooleanField()


class TaskListSerializer(serializers.Serializer[Any]):
    """A page of tasks, newest first."""

    next = serializers.CharField(allow_null=True)
    results = TaskRowSerializer(many=True)


class ShownSerializer(serializers.Serializer[Any]):
    """Which tasks are looked at."""

    show = serializers.ChoiceField(choices=list(reviewing.SHOWN), default="all")


class ReviewedSerializer(serializers.Serializer[Any]):
    """What a reviewer said of a word."""

    standing = serializers.CharField()
    comment = serializers.CharField()
    by = serializers.CharField()
    created_at = serializers.DateTimeField()


class PersonSerializer(serializers.Serializer[Any]):
    """Someone, by name."""

    id = serializers.IntegerField(source="pk")
    name = serializers.CharField(source="__str__")


class WordToReviewSerializer(serializers.Serializer[Any]):
    """One annotator's current word, and what reviewers said of it."""

    annotator = PersonSerializer()
    is_simulated = serializers.BooleanField()
    changes = serializers.IntegerField(help_text="How many words it has superseded.")
    standing = serializers.ChoiceField(choices=STANDINGS)
    reviews = ReviewedSerializer(many=True)
    word = WordSerializer()


class SkipOfTaskSerializer(serializers.Serializer[Any]):
    """Why someone passed a task over."""

    annotator = PersonSerializer()
    reason = serializers.CharField(source="skip_reason")
    at = serializers.DateTimeField(source="ended_at")


class CandidateSerializer(serializers.Serializer[Any]):
    """A response of the task. Who wrote it is not told here either: reviewers judge blind, too."""

    id = serializers.UUIDField()
    text = serializers.CharField()


class MergedSerializer(serializers.Serializer[Any]):
    """What the annotators say together, each counting the same."""

    ranks = serializers.DictField(child=serializers.IntegerField())
    support = serializers.FloatField(help_text="Share of the words on pairs that it agrees with.")


class LastWordSerializer(serializers.Serializer[Any]):
    """A settled ranking, or a known answer."""

    ranks = serializers.DictField(child=serializers.IntegerField())
    comment = serializers.CharField()
    by = serializers.CharField()
    created_at = serializers.DateTimeField()


class TaskToReviewSerializer(TaskRowSerializer):
    """A task with everything that was said of it."""

    messages = MessageSerializer(many=True)
    tags = serializers.ListField(child=serializers.CharField())
    responses = CandidateSerializer(many=True)
    answers = WordToReviewSerializer(many=True)
    skipped = SkipOfTaskSerializer(many=True)
    in_hand = serializers.IntegerField(help_text="How many annotators have it before them now.")
    merged = MergedSerializer(allow_null=True)
    settlement = LastWordSerializer(allow_null=True)
    known_answer = LastWordSerializer(allow_null=True)
    known_copy = serializers.IntegerField(allow_null=True, help_text="The task that has its answer known.")


class RanksSerializer(serializers.Serializer[Any]):
    """Dense ranks of all responses, 1 the best; ties share one."""

    ranks = serializers.DictField(child=serializers.IntegerField(min_value=1, max_value=64))
    comment = serializers.CharField(max_length=10_000, allow_blank=True, default="")


class KnownSerializer(serializers.Serializer[Any]):
    """The known answer of a copy of the task, and what it is for."""

    ranks = serializers.DictField(child=serializers.IntegerField(min_value=1, max_value=64))
    purpose = serializers.ChoiceField(choices=[Task.Purpose.GOLD.value, Task.Purpose.QUALIFICATION.value])


class MadeSerializer(serializers.Serializer[Any]):
    """The task that was made."""

    task = serializers.IntegerField()


class VerdictOnWordSerializer(serializers.Serializer[Any]):
    """What a reviewer says of a word. A returned one needs a comment: its annotator reads it."""

    standing = serializers.ChoiceField(choices=[Standing.ACCEPTED.value, Standing.RETURNED.value])
    comment = serializers.CharField(max_length=10_000, allow_blank=True, default="")


class Tasks(LabelingView):
    """A project's tasks, for reviewers."""

    @extend_schema(parameters=[CURSOR, SHOW], responses=TaskListSerializer, tags=["review"])
    def get(self, request: Request, slug: str) -> Answer:
        """Tasks, newest first, with how far their annotators agree."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        show = parsed(ShownSerializer, request.query_params)["show"]
        rows = before(request, reviewing.tasks_to(show, project)).order_by("-pk")
        found = reviewing.rows_of(list(rows[: PAGE + 1]))
        following = str(found[PAGE - 1]["id"]) if len(found) > PAGE else None
        return Answer(TaskListSerializer({"next": following, "results": found[:PAGE]}).data)


def task_for(request: Request, task_id: int, *roles: str) -> Task:
    """The task of that number, for those who may do this with it."""
    found = Task.objects.select_related("project", "prompt").filter(pk=min(task_id, LARGEST_ID)).first()
    if found is None:
        raise access.NotThere
    access.check(asker(request), found.project_id, *roles)
    return found


def told(task: Task) -> Answer:
    """The task as it is now."""
    return Answer(TaskToReviewSerializer(reviewing.everything_of(task)).data)


class OneTask(LabelingView):
    """A task with everyone's words side by side."""

    @extend_schema(responses=TaskToReviewSerializer, tags=["review"])
    def get(self, request: Request, task_id: int) -> Answer:
        """The prompt, its responses, what each annotator says of them, and what was decided."""
        return told(task_for(request, task_id, *access.READERS))


class Settle(LabelingView):
    """The last word on a task."""

    @extend_schema(request=RanksSerializer, responses=TaskToReviewSerializer, tags=["review"])
    def post(self, request: Request, task_id: int) -> Answer:
        """Settle the task: in datasets this ranking stands instead of the annotators' words, which are kept."""
        task = task_for(request, task_id, *access.REVIEWERS)
        review.settle(task=task, by=asker(request), **parsed(RanksSerializer, request.data))
        return told(task)


class PutBack(LabelingView):
    """Handing a task out again."""

    @extend_schema(request=None, responses=TaskToReviewSerializer, tags=["review"])
    def post(self, request: Request, task_id: int) -> Answer:
        """Put a task that was set aside or retired into the queue again."""
        task = task_for(request, task_id, *access.REVIEWERS)
        review.put_back(task=task, by=asker(request))
        return told(task)


class Retire(LabelingView):
    """Handing a task out no more."""

    @extend_schema(request=None, responses=TaskToReviewSerializer, tags=["review"])
    def post(self, request: Request, task_id: int) -> Answer:
        """Hand the task out to nobody any more. What was said stays."""
        task = task_for(request, task_id, *access.REVIEWERS)
        review.retire(task=task, by=asker(request))
        return told(task)


class AskOneMore(LabelingView):
    """Asking one more annotator."""

    @extend_schema(request=None, responses=TaskToReviewSerializer, tags=["review"])
    def post(self, request: Request, task_id: int) -> Answer:
        """Give the task one more seat."""
        task = task_for(request, task_id, *access.REVIEWERS)
        review.ask_one_more(task=task, by=asker(request))
        return told(task)


class MakeKnown(LabelingView):
    """Measuring annotators by a task's answer."""

    @extend_schema(request=KnownSerializer, responses={201: MadeSerializer}, tags=["review"])
    def post(self, request: Request, task_id: int) -> Answer:
        """Copy the task into one whose answer is known: gold among the work, or for qualification."""
        task = task_for(request, task_id, *access.REVIEWERS)
        made = review.make_known(task=task, by=asker(request), **parsed(KnownSerializer, request.data))
        return Answer({"task": made.pk}, status=201)


def review_word(request: Request, model: type[Judgement | Demonstration], number: int) -> Answer:
    """Accept or return a word."""
    word = model.objects.select_related("project", "annotator").filter(pk=min(number, LARGEST_ID)).first()
    if word is None:
        raise access.NotThere
    access.check(asker(request), word.project_id, *access.REVIEWERS)
    said = parsed(VerdictOnWordSerializer, request.data)
    verb = review.accept if said["standing"] == Standing.ACCEPTED else review.send_back
    made = verb(word=word, by=asker(request), comment=said["comment"])
    return Answer(ReviewedSerializer(made).data, status=201)


class ReviewJudgement(LabelingView):
    """A reviewer's view of a ranking."""

    @extend_schema(request=VerdictOnWordSerializer, responses={201: ReviewedSerializer}, tags=["review"])
    def post(self, request: Request, judgement_id: int) -> Answer:
        """Accept the ranking, or return it to its annotator with a comment; returned, it enters no dataset."""
        return review_word(request, Judgement, judgement_id)


class ReviewDemonstration(LabelingView):
    """A reviewer's view of a demonstration."""

    @extend_schema(request=VerdictOnWordSerializer, responses={201: ReviewedSerializer}, tags=["review"])
    def post(self, request: Request, demonstration_id: int) -> Answer:
        """Accept the demonstration, or return it to its author with a comment; returned, it enters no dataset."""
        return review_word(request, Demonstration, demonstration_id)


# --- The annotator's side ---------------------------------------------------------------------------


class ReturnedSerializer(serializers.Serializer[Any]):
    """Something of the asker's that a reviewer returned."""

    lease = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    prompt = serializers.CharField()
    comment = serializers.CharField()
    by = serializers.CharField()
    returned_at = serializers.DateTimeField()


class ReturnedListSerializer(serializers.Serializer[Any]):
    """What came back, oldest first, fifty at most: what is changed leaves the list."""

    results = ReturnedSerializer(many=True)


class Returned(LabelingView):
    """What came back to the asker."""

    @extend_schema(responses=ReturnedListSerializer, operation_id="returned_list", tags=["labeling"])
    def get(self, request: Request, slug: str) -> Answer:
        """What reviewers returned to me, with what they say; changing it sends it to them again."""
        project = access.membership_of(asker(request), slug, *access.LABELERS).project
        found = reviewing.returned_to(asker(request), project)
        return Answer(ReturnedListSerializer({"results": found}).data)


class OwnReviewsSerializer(serializers.Serializer[Any]):
    """What reviewers said of what stands now, newest first."""

    results = ReviewedSerializer(many=True)


class ReviewsOfSubmission(LabelingView):
    """What reviewers said of one of the asker's words."""

    @extend_schema(responses=OwnReviewsSerializer, operation_id="submission_reviews_list", tags=["labeling"])
    def get(self, request: Request, lease_id: UUID) -> Answer:
        """What reviewers said of what I submitted with this lease, newest first."""
        lease: Lease = submissions.mine(asker(request), lease_id)
        return Answer(OwnReviewsSerializer({"results": reviewing.reviews_of(lease)}).data)
