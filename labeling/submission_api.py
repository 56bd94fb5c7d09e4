"""What the asker submitted, over HTTP: found again, read as it was seen, and changed by a word that supersedes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response as Answer

from labeling import drafts, submissions
from labeling.api import LabelingView, placements_of
from labeling.models import Demonstration, Judgement, Kind, Lease
from labeling.serializers import (
    DemonstrationSerializer,
    RankingSerializer,
    RecordedSerializer,
    SavedSerializer,
    ShownTaskSerializer,
    lease_body,
)
from training import access
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, page, page_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

PAGE = 50
FORMS = ["ranking", "verdicts", "demonstration"]
ONE_KIND = OpenApiParameter("kind", str, enum=Kind.values, description="Only submissions of this kind.")
TEXT = OpenApiParameter("q", str, description="Only where each of these words is in the prompt or in what was written.")


class SaidPlacementSerializer(serializers.Serializer[Any]):
    """Where a response was placed. Imported rankings may lack ratings."""

    response = serializers.UUIDField(source="response_id")
    rank = serializers.IntegerField()
    rating = serializers.IntegerField(allow_null=True)
    flags = serializers.ListField(child=serializers.CharField())


class SaidVerdictSerializer(serializers.Serializer[Any]):
    """One pairwise verdict: it says `a` of the response a, and so on."""

    a = serializers.UUIDField(source="a_id")
    b = serializers.UUIDField(source="b_id")
    word = serializers.CharField()


class WordSerializer(serializers.Serializer[Any]):
    """One word of an annotator, as it was said. A ranking has no text; a demonstration has no placements."""

    id = serializers.IntegerField()
    form = serializers.ChoiceField(choices=FORMS)
    said_at = serializers.DateTimeField()
    is_current = serializers.BooleanField()
    supersedes = serializers.IntegerField(allow_null=True)
    guidelines_version = serializers.IntegerField(allow_null=True)
    seconds_spent = serializers.FloatField(allow_null=True)
    placements = SaidPlacementSerializer(many=True)
    verdicts = SaidVerdictSerializer(many=True)
    flags = serializers.ListField(child=serializers.CharField())
    note = serializers.CharField()
    text = serializers.CharField()
    started_from = serializers.UUIDField(allow_null=True)

    def to_representation(self, instance: Judgement | Demonstration) -> dict[str, Any]:
        """Lay a word out, whichever of the two it is."""
        return dict(super().to_representation(word_body(instance)))


def word_body(word: Judgement | Demonstration) -> dict[str, Any]:
    """A word's fields under the names that both kinds share."""
    body = {
        "id": word.pk,
        "said_at": word.created_at,
        "is_current": word.is_current,
        "supersedes": word.supersedes_id,
        "guidelines_version": word.guidelines_version,
        "seconds_spent": word.seconds_spent,
    }
    if isinstance(word, Demonstration):
        silent: dict[str, Any] = {"placements": [], "verdicts": [], "flags": [], "note": ""}
        return body | silent | {"form": "demonstration", "text": word.text, "started_from": word.started_from_id}
    places = sorted(word.placements.all(), key=lambda placed: (placed.rank, str(placed.response_id)))
    verdicts = sorted(word.verdicts.all(), key=lambda verdict: verdict.pk)
    said = {"placements": places, "verdicts": verdicts, "flags": word.flags, "note": word.note}
    return body | said | {"form": word.form, "text": "", "started_from": None}


class SubmissionSerializer(serializers.Serializer[Any]):
    """What I said with a lease, the task as I saw it, and the draft of a change if I began one."""

    lease = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    submitted_at = serializers.DateTimeField()
    task = ShownTaskSerializer()
    word = WordSerializer()
    changes = serializers.IntegerField(help_text="How many words this one has superseded.")
    before = serializers.UUIDField(allow_null=True, help_text="What I submitted of this kind before it.")
    draft = serializers.DictField(allow_null=True)
    draft_saved_at = serializers.DateTimeField(allow_null=True)


class ChangeSerializer(serializers.Serializer[Any]):
    """Which word a change replaces, and the change's own id: sent again with it, it changes nothing."""

    edit = serializers.UUIDField()
    replaces = serializers.IntegerField(min_value=1, max_value=2**63 - 1)


class ChangedRankingSerializer(ChangeSerializer, RankingSerializer):
    """A ranking that supersedes what I said."""


class ChangedDemonstrationSerializer(ChangeSerializer, DemonstrationSerializer):
    """An ideal response that supersedes what I wrote."""


class DraftOfChangeSerializer(serializers.Serializer[Any]):
    """A change that is not submitted yet."""

    replaces = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    body = serializers.DictField()


class HistoryRowSerializer(serializers.Serializer[Any]):
    """One thing that the asker submitted."""

    lease = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    prompt = serializers.CharField()
    submitted_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField(allow_null=True)


class HistorySerializer(serializers.Serializer[Any]):
    """A page of submissions, newest first."""

    next = serializers.CharField(allow_null=True)
    results = HistoryRowSerializer(many=True)


class SearchSerializer(serializers.Serializer[Any]):
    """What is looked for in the history."""

    kind = serializers.ChoiceField(choices=Kind.choices, allow_blank=True, default="")
    q = serializers.CharField(max_length=200, allow_blank=True, default="")


class History(LabelingView):
    """What the asker submitted."""

    @extend_schema(parameters=[CURSOR, ONE_KIND, TEXT], responses=HistorySerializer, tags=["labeling"])
    def get(self, request: Request, slug: str) -> Answer:
        """My submissions, newest first, a page at a time."""
        person = asker(request)
        project = access.membership_of(person, slug, *access.LABELERS).project
        wanted = parsed(SearchSerializer, request.query_params)
        found = submissions.of(person, project=project, kind=wanted["kind"], text=wanted["q"])
        if cursor := request.query_params.get("cursor"):
            found = earlier(found, cursor)
        leases = list(found.select_related("task__prompt").order_by("-ended_at", "-pk")[: PAGE + 1])
        shown, more = leases[:PAGE], len(leases) > PAGE
        changed = changes(shown)
        body = {
            "next": f"{shown[-1].ended_at.isoformat()}~{shown[-1].pk}" if more and shown[-1].ended_at else None,
            "results": [
                {
                    "lease": lease.pk,
                    "kind": lease.kind,
                    "prompt": lease.task.prompt.title,
                    "submitted_at": lease.ended_at,
                    "changed_at": changed.get(lease.pk),
                }
                for lease in shown
            ],
        }
        return Answer(HistorySerializer(body).data)


def earlier(leases: QuerySet[Lease], cursor: str) -> QuerySet[Lease]:
    """The leases after the cursor's, which were submitted before it."""
    moment, _, lease = cursor.partition("~")
    try:
        at, last = datetime.fromisoformat(moment), UUID(lease)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValidationError({"cursor": "This is no cursor: take `next` of the page before."})
    return leases.filter(Q(ended_at__lt=at) | Q(ended_at=at, pk__lt=last))


def changes(leases: list[Lease]) -> dict[UUID, datetime]:
    """When each of the leases whose word was superseded was changed last."""
    found: dict[UUID, datetime] = {}
    for model in (Judgement, Demonstration):
        changed = model.objects.filter(lease__in=leases, is_current=True, supersedes__isnull=False)
        found |= dict(changed.values_list("lease_id", "created_at"))
    return found


class OneSubmission(LabelingView):
    """What the asker said with one lease."""

    @extend_schema(responses=SubmissionSerializer, tags=["labeling"])
    def get(self, request: Request, lease_id: UUID) -> Answer:
        """What I said, with the task as I saw it."""
        found = submissions.read(annotator=asker(request), lease_id=lease_id)
        body = lease_body(found.handout) | {
            "lease": lease_id,
            "submitted_at": found.handout.lease.ended_at,
            "word": found.word,
            "changes": found.changes,
            "before": found.before,
        }
        return Answer(SubmissionSerializer(body).data)


class Words(LabelingView):
    """Everything that the asker ever said with one lease (law Q6)."""

    @extend_schema(
        parameters=[CURSOR], responses=page_of(WordSerializer), operation_id="submission_words_list", tags=["labeling"]
    )
    def get(self, request: Request, lease_id: UUID) -> Answer:
        """Each word that I said, newest first; none is ever overwritten."""
        words = submissions.words_of(submissions.mine(asker(request), lease_id))
        return page(request, words, WordSerializer)


class ChangeRanking(LabelingView):
    """Saying it otherwise."""

    @extend_schema(
        request=ChangedRankingSerializer,
        responses={201: RecordedSerializer, 200: RecordedSerializer},
        tags=["labeling"],
    )
    def put(self, request: Request, lease_id: UUID) -> Answer:
        """Supersede my ranking. Sent again with the same edit id, it changes nothing and answers 200."""
        said = parsed(ChangedRankingSerializer, request.data)
        word, is_new = submissions.change_ranking(
            annotator=asker(request),
            lease_id=lease_id,
            edit=said["edit"],
            replaces=said["replaces"],
            placements=placements_of(said),
            flags=said["flags"],
            note=said["note"],
            seconds_spent=said["seconds_spent"],
        )
        return Answer({"id": word.pk}, status=201 if is_new else 200)


class ChangeDemonstration(LabelingView):
    """Writing it better."""

    @extend_schema(
        request=ChangedDemonstrationSerializer,
        responses={201: RecordedSerializer, 200: RecordedSerializer},
        tags=["labeling"],
    )
    def put(self, request: Request, lease_id: UUID) -> Answer:
        """Supersede my demonstration. Sent again with the same edit id, it changes nothing and answers 200."""
        said = parsed(ChangedDemonstrationSerializer, request.data)
        word, is_new = submissions.change_demonstration(
            annotator=asker(request),
            lease_id=lease_id,
            edit=said["edit"],
            replaces=said["replaces"],
            text=said["text"],
            started_from=said["started_from"],
            seconds_spent=said["seconds_spent"],
        )
        return Answer({"id": word.pk}, status=201 if is_new else 200)


class DraftOfChange(LabelingView):
    """A change that is not submitted yet."""

    @extend_schema(request=DraftOfChangeSerializer, responses=SavedSerializer, tags=["labeling"])
    def put(self, request: Request, lease_id: UUID) -> Answer:
        """Keep the draft of a change, so that any machine can go on with it."""
        said = parsed(DraftOfChangeSerializer, request.data)
        draft = drafts.save_change(
            annotator=asker(request), lease_id=lease_id, replaces=said["replaces"], body=said["body"]
        )
        return Answer(SavedSerializer({"saved_at": draft.saved_at}).data)

    @extend_schema(responses={204: None}, tags=["labeling"])
    def delete(self, request: Request, lease_id: UUID) -> Answer:
        """Leave what I submitted as it is."""
        drafts.discard_change(annotator=asker(request), lease_id=lease_id)
        return Answer(status=204)
