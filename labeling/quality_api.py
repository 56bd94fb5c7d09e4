"""How well a project labels, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response as Answer

from labeling import quality
from labeling.api import LabelingView
from labeling.serializers import EstimateSerializer
from training import access
from training.api.asking import asker, parsed

if TYPE_CHECKING:
    from rest_framework.request import Request

SIMULATED = OpenApiParameter("simulated", bool, description="With what simulated annotators said.")


class AgreementSerializer(serializers.Serializer[Any]):
    """How far some annotators agree on pairs of responses that both put in an order."""

    share = EstimateSerializer(allow_null=True)
    kappa = EstimateSerializer(allow_null=True, help_text="Cohen's κ, ties being a word of their own.")


class PaceSerializer(serializers.Serializer[Any]):
    """How long tasks took, in seconds."""

    median = serializers.FloatField()
    lower_quartile = serializers.FloatField()
    upper_quartile = serializers.FloatField()
    seconds_per_1000_characters = serializers.FloatField(allow_null=True)
    count = serializers.IntegerField()


class RatingsSerializer(serializers.Serializer[Any]):
    """How often each rating from 1 to 7 was given."""

    counts = serializers.ListField(child=serializers.IntegerField(), min_length=7, max_length=7)
    mean = serializers.FloatField()
    count = serializers.IntegerField()


class LabelerSerializer(serializers.Serializer[Any]):
    """One annotator against the others."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    simulated = serializers.BooleanField()
    judgements = serializers.IntegerField()
    agreement = AgreementSerializer()
    known = AgreementSerializer(help_text="With the known answers of gold and qualification tasks.")
    pace = PaceSerializer(allow_null=True)
    ratings = RatingsSerializer(allow_null=True)


class PairSerializer(serializers.Serializer[Any]):
    """Two annotators against each other."""

    a = serializers.IntegerField()
    b = serializers.IntegerField()
    agreement = AgreementSerializer()


class FlagAgreementSerializer(serializers.Serializer[Any]):
    """How far annotators agree on one flag."""

    place = serializers.ChoiceField(choices=["response", "task"])
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own attribute of that name is another
    alpha = EstimateSerializer(allow_null=True, help_text="Krippendorff's alpha, nominal.")
    positive = serializers.FloatField(allow_null=True, help_text="Where one raised it, how often another did too.")
    raised = serializers.FloatField()
    units = serializers.IntegerField()


class WeekSerializer(serializers.Serializer[Any]):
    """A week's ratings, and whether they moved away from those before."""

    monday = serializers.DateField()
    ratings = RatingsSerializer()
    moved = serializers.BooleanField()
    stability_index = serializers.FloatField(allow_null=True)


class StandingOutSerializer(serializers.Serializer[Any]):
    """A reason for a person to look."""

    code = serializers.CharField()
    annotator = serializers.IntegerField()
    sentence = serializers.CharField()


class DisputedSerializer(serializers.Serializer[Any]):
    """A task on which people agree little."""

    task = serializers.IntegerField()
    prompt = serializers.CharField()
    share = serializers.FloatField()
    annotators = serializers.IntegerField()


class QualitySerializer(serializers.Serializer[Any]):
    """How well a project labels, of its newest judgements."""

    made_at = serializers.DateTimeField()
    simulated = serializers.BooleanField()
    capped = serializers.BooleanField(help_text="Older judgements were left out.")
    judgements = serializers.IntegerField()
    tasks = serializers.IntegerField()
    shared_tasks = serializers.IntegerField(help_text="Tasks that at least two annotators judged.")
    agreement = AgreementSerializer()
    rank_alpha = EstimateSerializer(allow_null=True, help_text="Krippendorff's alpha of the places, ordinal.")
    rating_alpha = EstimateSerializer(allow_null=True, help_text="Krippendorff's alpha of the ratings, ordinal.")
    ceiling = serializers.FloatField(
        allow_null=True, help_text="The accuracy that a perfect reward model would reach on one annotator's labels."
    )
    people = LabelerSerializer(many=True)
    pairs = PairSerializer(many=True)
    flags = FlagAgreementSerializer(many=True)
    places = serializers.ListField(
        child=EstimateSerializer(allow_null=True),
        help_text="How often the card at each place, from the left, stands above another of its board.",
    )
    ratings = RatingsSerializer(allow_null=True)
    weeks = WeekSerializer(many=True)
    standing_out = StandingOutSerializer(many=True)
    disputed = DisputedSerializer(many=True)


class WithSimulatedSerializer(serializers.Serializer[Any]):
    """Whose judgements are looked at."""

    simulated = serializers.BooleanField(default=False)


class Quality(LabelingView):
    """A project's labels, for those who lead it."""

    @extend_schema(parameters=[SIMULATED], responses=QualitySerializer, tags=["review"])
    def get(self, request: Request, slug: str) -> Answer:
        """How far people agree, how they work, and what stands out. At most a minute behind."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        simulated = parsed(WithSimulatedSerializer, request.query_params)["simulated"]
        return Answer(QualitySerializer(quality.report(project, simulated=simulated)).data)
