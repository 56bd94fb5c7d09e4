"""The people of a project, over HTTP: members, invitations, one person's data, and who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import login
from django.db.models import Q
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from training import access, audit, people
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, LARGEST_ID, page, page_of, whole_number
from training.api.people import SessionSerializer, UserSerializer, session_of
from training.models import Deed, Invitation, Membership, Project

if TYPE_CHECKING:
    from rest_framework.request import Request

PERSON = OpenApiParameter("by", int, description="Only what this person did.")
DID = OpenApiParameter("did", str, description="Only deeds of this kind.")
NAMED = OpenApiParameter("q", str, description="Only people whose name or user name holds this.")
BACKEND = "django.contrib.auth.backends.ModelBackend"


def led(request: Request, slug: str) -> Project:
    """The project of that slug, for its admins."""
    return access.membership_of(asker(request), slug, *access.ADMINS).project


class MemberSerializer(serializers.ModelSerializer[Membership]):
    """Someone in a project."""

    user = UserSerializer()
    is_simulated = serializers.BooleanField(source="user.is_simulated")
    has_account = serializers.BooleanField(
        source="user.is_active",
        help_text="False for those whose words were brought in from a file, or who were erased.",
    )
    last_seen_at = serializers.DateTimeField(source="user.last_login", allow_null=True)

    class Meta:
        model = Membership
        fields = ["user", "role", "is_simulated", "has_account", "joined_at", "deactivated_at", "last_seen_at"]


class MemberChangeSerializer(serializers.Serializer[Any]):
    """Another role, or whether the project is open to them."""

    role = serializers.ChoiceField(choices=Membership.Role.choices, required=False)
    active = serializers.BooleanField(required=False)


class Members(APIView):
    """The people of a project."""

    @extend_schema(
        parameters=[CURSOR, NAMED], responses=page_of(MemberSerializer), operation_id="members_list", tags=["people"]
    )
    def get(self, request: Request, slug: str) -> Response:
        """Everyone who belongs to the project or did, newest first."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        rows = Membership.objects.filter(project=project).select_related("user")
        if named := request.query_params.get("q", "").strip():
            rows = rows.filter(Q(user__name__icontains=named) | Q(user__username__icontains=named))
        return page(request, rows, MemberSerializer)


class OneMember(APIView):
    """Someone in a project."""

    @extend_schema(request=MemberChangeSerializer, responses=MemberSerializer, tags=["people"])
    def patch(self, request: Request, slug: str, user_id: int) -> Response:
        """Give them another role, close the project to them, or let them back in. What they said stays."""
        project, by = led(request, slug), asker(request)
        wanted = parsed(MemberChangeSerializer, request.data)
        number = known(user_id)
        if "role" in wanted:
            people.change_role(project=project, user_id=number, role=wanted["role"], by=by)
        if "active" in wanted:
            verb = people.reactivate if wanted["active"] else people.deactivate
            verb(project=project, user_id=number, by=by)
        found = Membership.objects.select_related("user").filter(project=project, user=number).first()
        if found is None:
            raise people.NoSuchMember
        return Response(MemberSerializer(found).data)


def known(user_id: int) -> int:
    """A number that a row can have."""
    if user_id > LARGEST_ID:
        raise people.NoSuchMember
    return user_id


class HoldingSerializer(serializers.Serializer[Any]):
    """A dataset that holds words of one person."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.CharField()
    digest = serializers.CharField()
    words = serializers.IntegerField()


class HoldingsSerializer(serializers.Serializer[Any]):
    """The datasets that hold words of one person, newest first."""

    datasets = HoldingSerializer(many=True)


def holdings(found: list[tuple[Any, int]]) -> Response:
    """Lay out datasets that hold a person's words."""
    rows = [
        {"id": each.pk, "name": str(each), "kind": each.kind, "digest": each.digest, "words": count}
        for each, count in found
    ]
    return Response(HoldingsSerializer({"datasets": rows}).data)


class HeldIn(APIView):
    """Where one person's words are."""

    @extend_schema(responses=HoldingsSerializer, tags=["people"])
    def get(self, request: Request, slug: str, user_id: int) -> Response:
        """The project's datasets that hold this person's words, with how many. They never change."""
        project = led(request, slug)
        found = Membership.objects.select_related("user").filter(project=project, user=known(user_id)).first()
        if found is None:
            raise people.NoSuchMember
        return holdings(people.datasets_with(project, found.user))


class Export(APIView):
    """One person's data."""

    @extend_schema(request=None, responses=OpenApiTypes.OBJECT, tags=["people"])
    def post(self, request: Request, slug: str, user_id: int) -> Response:
        """Everything that the project holds of one person, as a file of JSON. That it was asked for is recorded."""
        data = people.export(project=led(request, slug), user_id=known(user_id), by=asker(request))
        headers = {"Content-Disposition": f'attachment; filename="person-{user_id}.json"'}
        return Response(data, headers=headers)


class EraseSerializer(serializers.Serializer[Any]):
    """The person's user name, written out to confirm what cannot be undone."""

    username = serializers.CharField(max_length=150)


class Erase(APIView):
    """Forgetting one person."""

    @extend_schema(request=EraseSerializer, responses=HoldingsSerializer, tags=["people"])
    def post(self, request: Request, slug: str, user_id: int) -> Response:
        """Make a person unknown for good. Labels stay under a pseudonym; the datasets that hold them are listed."""
        project = led(request, slug)
        username = parsed(EraseSerializer, request.data)["username"]
        return holdings(people.erase(project=project, user_id=known(user_id), by=asker(request), username=username))


# --- Invitations -----------------------------------------------------------------------------------


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    """An invitation; its link is told while it opens something."""

    created_by = serializers.CharField(default=None, allow_null=True)
    accepted_by = serializers.CharField(default=None, allow_null=True)
    token = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = [
            "id",
            "role",
            "meant_for",
            "created_by",
            "created_at",
            "expires_at",
            "accepted_by",
            "accepted_at",
            "revoked_at",
            "token",
        ]

    @extend_schema_field({"type": "string", "nullable": True})
    def get_token(self, invitation: Invitation) -> str | None:
        """What comes after /join/ in its link."""
        return None if invitation.accepted_at or invitation.revoked_at else people.token_of(invitation)


class NewInvitationSerializer(serializers.Serializer[Any]):
    """Who may come, and until when."""

    role = serializers.ChoiceField(choices=Membership.Role.choices)
    meant_for = serializers.CharField(max_length=150, allow_blank=True, default="")
    days = serializers.IntegerField(min_value=1, max_value=90, default=people.DAYS)


class Invitations(APIView):
    """The invitations to a project."""

    @extend_schema(
        parameters=[CURSOR], responses=page_of(InvitationSerializer), operation_id="invitations_list", tags=["people"]
    )
    def get(self, request: Request, slug: str) -> Response:
        """Every invitation, newest first."""
        rows = Invitation.objects.filter(project=led(request, slug)).select_related("created_by", "accepted_by")
        return page(request, rows, InvitationSerializer)

    @extend_schema(request=NewInvitationSerializer, responses={201: InvitationSerializer}, tags=["people"])
    def post(self, request: Request, slug: str) -> Response:
        """Make a link that lets one person in, once, until it expires."""
        wanted = parsed(NewInvitationSerializer, request.data)
        made = people.invite(project=led(request, slug), by=asker(request), **wanted)
        return Response(InvitationSerializer(made).data, status=201)


class OneInvitation(APIView):
    """An invitation to a project."""

    @extend_schema(responses={204: None}, tags=["people"])
    def delete(self, request: Request, slug: str, invitation_id: int) -> Response:
        """Take an invitation back: its link opens nothing any more."""
        project = led(request, slug)
        found = Invitation.objects.filter(project=project, pk=min(invitation_id, LARGEST_ID)).first()
        if found is None:
            raise access.NotThere
        people.revoke(invitation=found, by=asker(request))
        return Response(status=204)


class InvitedSerializer(serializers.Serializer[Any]):
    """What an invitation opens."""

    project = serializers.CharField(source="project.name")
    slug = serializers.CharField(source="project.slug")
    role = serializers.ChoiceField(choices=Membership.Role.choices)
    invited_by = serializers.CharField(source="created_by", allow_null=True)
    expires_at = serializers.DateTimeField()


class NewAccountSerializer(serializers.Serializer[Any]):
    """A new account; left out by someone who is signed in and joins as who they are."""

    username = serializers.CharField(max_length=150, required=False)
    name = serializers.CharField(max_length=150, allow_blank=True, default="")
    password = serializers.CharField(max_length=500, trim_whitespace=False, write_only=True, required=False)


class Joining(AnonRateThrottle):
    """Far above what people do; it keeps guesses out."""

    scope = "joining"
    rate = "60/min"


@method_decorator([csrf_protect, ensure_csrf_cookie], name="dispatch")
class Join(APIView):
    """Taking a place that an invitation keeps."""

    permission_classes = [AllowAny]
    throttle_classes = (Joining,)

    @extend_schema(responses=InvitedSerializer, tags=["people"])
    def get(self, request: Request, token: str) -> Response:  # noqa: ARG002 (whoever has the link may look)
        """Where an invitation leads, and as what."""
        return Response(InvitedSerializer(people.invited_by(token)).data)

    @extend_schema(request=NewAccountSerializer, responses={201: SessionSerializer}, tags=["people"])
    def post(self, request: Request, token: str) -> Response:
        """Join: as who one is signed in as, else with a new account, signed in at once."""
        given = parsed(NewAccountSerializer, request.data)
        if "username" not in given and request.user.is_authenticated:
            people.accept_as(token=token, user=asker(request))
            return session_of(asker(request), status=201)
        missing = {name: ["This is wanted."] for name in ("username", "password") if not given.get(name)}
        if missing:
            people.invited_by(token)  # a link that is over is the better news
            raise people.BadAccount(None, **missing)
        user = people.accept(token=token, username=given["username"], name=given["name"], password=given["password"])
        login(request._request, user, backend=BACKEND)  # noqa: SLF001 (sessions belong to Django's own request)
        return session_of(user, status=201)


# --- Who did what ------------------------------------------------------------------------------------


class DeedSerializer(serializers.ModelSerializer[Deed]):
    """Who did what to whom or what, and when."""

    by = UserSerializer(allow_null=True)
    to = UserSerializer(allow_null=True)
    words = serializers.SerializerMethodField()
    details = serializers.DictField()

    class Meta:
        model = Deed
        fields = ["id", "at", "by", "did", "words", "to", "about", "details"]

    def get_words(self, deed: Deed) -> str:
        """The deed in words, after who did it."""
        return audit.words().get(deed.did, deed.did)


class DeedKindSerializer(serializers.Serializer[Any]):
    """A kind of deed, in words."""

    did = serializers.CharField()
    words = serializers.CharField()


class DeedsSerializer(serializers.Serializer[Any]):
    """A page of deeds, newest first, and the kinds that there can be."""

    next = serializers.CharField(allow_null=True)
    results = DeedSerializer(many=True)
    kinds = DeedKindSerializer(many=True)


class Deeds(APIView):
    """Who did what in a project."""

    @extend_schema(parameters=[CURSOR, PERSON, DID], responses=DeedsSerializer, tags=["people"])
    def get(self, request: Request, slug: str) -> Response:
        """What was done, newest first; nothing here is ever changed."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        rows = Deed.objects.filter(project=project).select_related("by", "to")
        if by := request.query_params.get("by"):
            rows = rows.filter(by=whole_number("by", by))
        if did := request.query_params.get("did"):
            rows = rows.filter(did=did)
        answer = page(request, rows, DeedSerializer)
        answer.data["kinds"] = [{"did": did, "words": words} for did, words in audit.words().items()]
        return answer
