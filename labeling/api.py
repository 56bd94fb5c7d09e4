"""The reading room over HTTP: leases, drafts, submissions, and a project at a glance."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response as Answer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from labeling import acknowledgements, days, demonstrations, drafts, progress, queue, rankings, rounds
from labeling import serializers as shapes
from training import access
from training.api.asking import asker, parsed, written
from training.models import Membership
from training.records import Placement

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request


KIND = OpenApiParameter("kind", str, required=True, enum=["ranking", "demonstration"])


class Pace(BaseThrottle):
    """Far above what hands or simulated annotators can do; a script that runs away meets it.

    Each web process counts for itself: asking a cache would cost more than much of what is asked here.
    """

    a_minute = 1800
    counts: ClassVar[dict[int, tuple[int, int]]] = {}
    """By user: the minute that they asked in last, and how often they have asked in it."""

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 (DRF's signature)
        """Count the request, and say whether there is room for it in this minute."""
        user, minute = asker(request).pk, int(time.time() // 60)
        last, count = self.counts.get(user, (minute, 0))
        self.counts[user] = minute, 1 + (count if last == minute else 0)
        return self.counts[user][1] <= self.a_minute

    def wait(self) -> float:
        """Seconds until the next minute."""
        return 60 - time.time() % 60


class LabelingView(APIView):
    """What all addresses of the reading room share."""

    throttle_classes = (Pace,)


class QueueView(LabelingView):
    """What annotators ask for again and again: it touches a few rows, and no long work stands in its way."""

    quick = True


def placements_of(said: dict[str, Any]) -> list[Placement]:
    """The placements of a ranking that came in."""
    return [
        Placement(response=str(each["response"]), rank=each["rank"], rating=each["rating"], flags=tuple(each["flags"]))
        for each in said["placements"]
    ]


class Leases(QueueView):
    """The tasks in the asker's hands."""

    @extend_schema(
        parameters=[KIND], responses=shapes.LeaseSerializer(many=True), operation_id="leases_list", tags=["labeling"]
    )
    def get(self, request: Request, slug: str) -> Answer:
        """What I hold, oldest first: the task in front of me and the one prefetched."""
        access.membership_of(asker(request), slug, *access.LABELERS)
        kind = parsed(shapes.WantedSerializer, request.query_params)["kind"]
        held = queue.in_hand(annotator=asker(request), slug=slug, kind=kind)
        return Answer(shapes.LeaseSerializer([shapes.lease_body(each) for each in held], many=True).data)

    @extend_schema(
        request=shapes.WantedSerializer,
        responses={201: shapes.LeaseSerializer, 204: OpenApiResponse(description="Nothing is open to you.")},
        tags=["labeling"],
    )
    def post(self, request: Request, slug: str) -> Answer:
        """Take the next task. Two of a kind can be held at a time."""
        kind = parsed(shapes.WantedSerializer, request.data)["kind"]
        handout = queue.lease_next(annotator=asker(request), slug=slug, kind=kind)
        if handout is None:
            return Answer(status=204)
        return Answer(written(shapes.LeaseSerializer, shapes.lease_body(handout)), status=201)


class OneLease(QueueView):
    """One task in the asker's hands."""

    @extend_schema(responses={204: None}, tags=["labeling"])
    def delete(self, request: Request, lease_id: UUID) -> Answer:
        """Give a task back unseen; you may get it another time."""
        queue.give_back(annotator=asker(request), lease_id=lease_id)
        return Answer(status=204)


class Renewal(QueueView):
    """Holding a task longer."""

    @extend_schema(request=None, responses=shapes.RenewedSerializer, tags=["labeling"])
    def post(self, request: Request, lease_id: UUID) -> Answer:
        """Hold the task longer, or take an expired one up again while its seat is free."""
        lease = queue.renew(annotator=asker(request), lease_id=lease_id)
        return Answer(shapes.RenewedSerializer({"expires_at": lease.expires_at}).data)


class LeaseDraft(QueueView):
    """Work that is not submitted yet."""

    @extend_schema(
        request={"application/json": {"type": "object", "additionalProperties": True}},
        responses=shapes.SavedSerializer,
        tags=["labeling"],
    )
    def put(self, request: Request, lease_id: UUID) -> Answer:
        """Keep the draft, so that any machine can go on with it."""
        if not isinstance(request.data, dict):
            raise ValidationError("A draft is a JSON object.")
        draft = drafts.save(annotator=asker(request), lease_id=lease_id, body=request.data)
        return Answer(shapes.SavedSerializer({"saved_at": draft.saved_at}).data)


class LeaseResponses(LabelingView):
    """What models wrote to the prompt of a demonstration task."""

    @extend_schema(request=None, responses=shapes.ShownResponseSerializer(many=True), tags=["labeling"])
    def post(self, request: Request, lease_id: UUID) -> Answer:
        """Show me responses that my demonstration may start from; asking again shows the same ones.

        That I have seen them is stored.
        """
        shown = demonstrations.show_responses(annotator=asker(request), lease_id=lease_id)
        return Answer(shapes.ShownResponseSerializer(shown, many=True).data)


class Skip(QueueView):
    """Passing a task over."""

    @extend_schema(request=shapes.SkipSerializer, responses={204: None}, tags=["labeling"])
    def post(self, request: Request, lease_id: UUID) -> Answer:
        """Pass the task over; you will not see it again."""
        reason = parsed(shapes.SkipSerializer, request.data)["reason"]
        queue.skip(annotator=asker(request), lease_id=lease_id, reason=reason)
        return Answer(status=204)


class SubmitRanking(QueueView):
    """Saying how the responses compare."""

    @extend_schema(
        request=shapes.RankingSerializer,
        responses={201: shapes.RecordedSerializer, 200: shapes.RecordedSerializer},
        tags=["labeling"],
    )
    def post(self, request: Request, lease_id: UUID) -> Answer:
        """Record the ranking. Sent again with the same lease, it changes nothing and answers 200."""
        said = parsed(shapes.RankingSerializer, request.data)
        judgement, is_new = rankings.submit(
            annotator=asker(request),
            lease_id=lease_id,
            placements=placements_of(said),
            flags=said["flags"],
            note=said["note"],
            seconds_spent=said["seconds_spent"],
        )
        return Answer({"id": judgement.pk}, status=201 if is_new else 200)


class SubmitDemonstration(QueueView):
    """Writing the ideal response."""

    @extend_schema(
        request=shapes.DemonstrationSerializer,
        responses={201: shapes.RecordedSerializer, 200: shapes.RecordedSerializer},
        tags=["labeling"],
    )
    def post(self, request: Request, lease_id: UUID) -> Answer:
        """Record the demonstration. Sent again with the same lease, it changes nothing and answers 200."""
        said = parsed(shapes.DemonstrationSerializer, request.data)
        demonstration, is_new = demonstrations.submit(
            annotator=asker(request),
            lease_id=lease_id,
            text=said["text"],
            started_from=said["started_from"],
            seconds_spent=said["seconds_spent"],
        )
        return Answer({"id": demonstration.pk}, status=201 if is_new else 200)


class Progress(LabelingView):
    """The asker's day."""

    @extend_schema(responses=shapes.ProgressSerializer, tags=["labeling"])
    def get(self, request: Request, slug: str) -> Answer:
        """What I did today, this week and day by day, and what is open to me."""
        person = asker(request)
        project = access.membership_of(person, slug, *access.LABELERS).project
        body = {
            "today": asdict(progress.done_since(person, project, days.today())),
            "week": asdict(progress.done_since(person, project, days.week())),
            "days": [asdict(each) for each in progress.days(person, project)],
            "open": progress.open_tasks(person, project),
            "being_written": progress.being_written(project),
        }
        return Answer(shapes.ProgressSerializer(body).data)


class GuidelinesInForce(LabelingView):
    """What annotators are told."""

    @extend_schema(responses=shapes.GuidelinesSerializer, tags=["labeling"])
    def get(self, request: Request, slug: str) -> Answer:
        """The newest guidelines, and the version of them that I have read."""
        project = access.membership_of(asker(request), slug).project
        newest = acknowledgements.in_force(project)
        read = acknowledgements.read_by(asker(request), project)
        body = {
            "version": newest and newest.version,
            "text": newest.text if newest else "",
            "read": read and read.version,
            "read_text": read.text if read else "",
        }
        return Answer(shapes.GuidelinesSerializer(body).data)


class Acknowledgement(LabelingView):
    """Having read the guidelines."""

    @extend_schema(request=shapes.ReadSerializer, responses={204: None}, tags=["labeling"])
    def post(self, request: Request, slug: str) -> Answer:
        """Say that I have read a version; what I hold is judged under it from now on."""
        project = access.membership_of(asker(request), slug).project
        version = parsed(shapes.ReadSerializer, request.data)["version"]
        acknowledgements.acknowledge(annotator=asker(request), project=project, version=version)
        return Answer(status=204)


class Overview(LabelingView):
    """A project at a glance, for those who lead it."""

    @extend_schema(responses=shapes.OverviewSerializer, tags=["labeling"])
    def get(self, request: Request, slug: str) -> Answer:
        """What is labeled, what is open, and how each round of the loop went."""
        leads = (Membership.Role.ADMIN, Membership.Role.REVIEWER, Membership.Role.RESEARCHER)
        project = access.membership_of(asker(request), slug, *leads).project
        body = asdict(progress.desk(project)) | {"rounds": [asdict(each) for each in rounds.rounds_of(project)]}
        return Answer(shapes.OverviewSerializer(body).data)
