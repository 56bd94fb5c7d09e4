"""Who is asking: sessions, tokens, and the projects that someone belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field, inline_serializer
from knox.models import AuthToken
from rest_framework import serializers
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from training import access, people, projects
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, page, page_of
from training.models import Membership, Project, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from rest_framework.request import Request


class WrongPassword(Refusal):
    """Which of the two was wrong is not said."""

    code, status = "wrong_password", 403
    message = "This name and password do not belong together."


class UserSerializer(serializers.ModelSerializer[User]):
    """A person, as others see them."""

    name = serializers.CharField(source="__str__")

    class Meta:
        model = User
        fields = ["id", "username", "name"]


class ProjectNameSerializer(serializers.ModelSerializer[Project]):
    """A project's names."""

    class Meta:
        model = Project
        fields = ["slug", "name"]


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """What someone may do in a project."""

    project = ProjectNameSerializer()

    class Meta:
        model = Membership
        fields = ["project", "role"]


class PasswordChangeSerializer(serializers.Serializer[Any]):
    """The password that someone has, and the one that they want."""

    current = serializers.CharField(max_length=500, trim_whitespace=False, write_only=True)
    new = serializers.CharField(max_length=500, trim_whitespace=False, write_only=True)


class SessionSerializer(serializers.Serializer[Any]):
    """Who is signed in, and where they belong."""

    user = UserSerializer()
    memberships = MembershipSerializer(many=True)
    may_create_projects = serializers.BooleanField()


class CredentialsSerializer(serializers.Serializer[Any]):
    """A name and a password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=500, trim_whitespace=False, write_only=True)


def session_of(user: User, *, status: int = 200) -> Response:
    """The session as the browser sees it."""
    memberships = user.memberships.active().select_related("project").order_by("project__name")
    said = {"user": user, "memberships": memberships, "may_create_projects": people.may_create(user)}
    return Response(SessionSerializer(said).data, status=status)


@method_decorator([csrf_protect, ensure_csrf_cookie], name="dispatch")
class Session(APIView):
    """The browser's session."""

    permission_classes = [AllowAny]

    @extend_schema(responses=SessionSerializer, tags=["people"])
    def get(self, request: Request) -> Response:
        """Who I am; 401 for nobody. Sets the CSRF cookie either way."""
        if not request.user.is_authenticated:
            raise NotAuthenticated
        return session_of(asker(request))

    @extend_schema(request=CredentialsSerializer, responses=SessionSerializer, tags=["people"])
    def post(self, request: Request) -> Response:
        """Sign in."""
        given = parsed(CredentialsSerializer, request.data)
        user = authenticate(request._request, **given)  # noqa: SLF001 (the lock-out marks Django's own)
        if user is None:
            raise WrongPassword
        login(request._request, user)  # noqa: SLF001
        return session_of(user)

    @extend_schema(request=PasswordChangeSerializer, responses={204: None}, tags=["people"])
    def patch(self, request: Request) -> Response:
        """Change my password. Every other browser of mine is signed out; tokens go on until they are ended."""
        user = asker(request)
        if not user.is_authenticated:
            raise NotAuthenticated
        given = parsed(PasswordChangeSerializer, request.data)
        # Asked as at the door, so that guesses are counted and lock the name.
        if authenticate(request._request, username=user.username, password=given["current"]) is None:  # noqa: SLF001
            raise people.BadAccount("The password that you have is another one.", current=["This is not it."])
        people.change_password(user=user, new=given["new"])
        update_session_auth_hash(request._request, user)  # noqa: SLF001
        return Response(status=204)

    @extend_schema(responses={204: None}, tags=["people"])
    def delete(self, request: Request) -> Response:
        """Sign out."""
        logout(request._request)  # noqa: SLF001
        return Response(status=204)


class TokenSerializer(serializers.ModelSerializer[Any]):
    """A token, without its secret."""

    id = serializers.CharField(source="token_key")
    created_at = serializers.DateTimeField(source="created")
    expires_at = serializers.DateTimeField(source="expiry", allow_null=True)

    class Meta:
        model = AuthToken
        fields = ["id", "created_at", "expires_at"]


class Tokens(APIView):
    """The asker's tokens, for programs that speak for them."""

    @extend_schema(responses=TokenSerializer(many=True), operation_id="tokens_list", tags=["people"])
    def get(self, request: Request) -> Response:
        """My tokens; their secrets were told once."""
        mine = AuthToken.objects.filter(user=asker(request)).order_by("-created")
        return Response(TokenSerializer(mine, many=True).data)

    @extend_schema(
        request=None,
        responses={201: inline_serializer("NewToken", {"token": serializers.CharField(), **TokenSerializer().fields})},
        tags=["people"],
    )
    def post(self, request: Request) -> Response:
        """Make a token. It is told this once; say `Authorization: Token …` with it."""
        row, token = AuthToken.objects.create(user=asker(request))
        return Response({"token": token, **TokenSerializer(row).data}, status=201)


class OneToken(APIView):
    """One of the asker's tokens."""

    @extend_schema(responses={204: None}, tags=["people"])
    def delete(self, request: Request, token_id: str) -> Response:
        """End a token."""
        ended, _ = AuthToken.objects.filter(user=asker(request), token_key=token_id).delete()
        if not ended:
            raise access.NotThere
        return Response(status=204)


class ProjectSerializer(serializers.Serializer[Any]):
    """A project, and what the asker may do in it."""

    slug = serializers.CharField(source="project.slug")
    name = serializers.CharField(source="project.name")
    description = serializers.CharField(source="project.description")
    role = serializers.ChoiceField(choices=Membership.Role.choices)


class ProjectDetailSerializer(ProjectSerializer):
    """A project with the settings of every room."""

    settings = serializers.SerializerMethodField()

    @extend_schema_field(inline_serializer("ProjectSettings", projects.settings_shape()))
    def get_settings(self, membership: Membership) -> dict[str, Any]:
        """The rooms' settings."""
        return projects.settings_of(membership.project)


class NewProjectSerializer(serializers.Serializer[Any]):
    """What a project is called; its short name is made of its name where none is given."""

    name = serializers.CharField(max_length=150)
    slug = serializers.SlugField(max_length=60, allow_blank=True, default="")
    description = serializers.CharField(max_length=10_000, allow_blank=True, default="")


class ProjectChangeSerializer(serializers.Serializer[Any]):
    """What a project is to be called from now on."""

    name = serializers.CharField(max_length=150, required=False)
    description = serializers.CharField(max_length=10_000, allow_blank=True, required=False)


class Projects(APIView):
    """The projects that the asker belongs to."""

    @extend_schema(
        parameters=[CURSOR], responses=page_of(ProjectSerializer), operation_id="projects_list", tags=["people"]
    )
    def get(self, request: Request) -> Response:
        """My projects."""
        return page(request, asker(request).memberships.active().select_related("project"), ProjectSerializer)

    @extend_schema(request=NewProjectSerializer, responses={201: ProjectDetailSerializer}, tags=["people"])
    def post(self, request: Request) -> Response:
        """Create a project and lead it. For those who lead a project already, and for the server's staff."""
        by = asker(request)
        if not people.may_create(by):
            raise access.NotAllowed("Those who lead a project may create another one: ask one of them.")
        project = people.create_project(by=by, **parsed(NewProjectSerializer, request.data))
        return Response(ProjectDetailSerializer(access.membership_of(by, project.slug)).data, status=201)


class OneProject(APIView):
    """One project."""

    @extend_schema(
        responses={200: ProjectDetailSerializer, 404: OpenApiResponse(description="Not there, or not yours.")},
        tags=["people"],
    )
    def get(self, request: Request, slug: str) -> Response:
        """A project, my role in it, and its settings."""
        return Response(ProjectDetailSerializer(access.membership_of(asker(request), slug)).data)

    @extend_schema(request=ProjectChangeSerializer, responses=ProjectDetailSerializer, tags=["people"])
    def patch(self, request: Request, slug: str) -> Response:
        """Give the project another name or description; its short name stays."""
        membership = access.membership_of(asker(request), slug, *access.ADMINS)
        wanted = parsed(ProjectChangeSerializer, request.data)
        membership.project = people.change_project(project=membership.project, by=asker(request), **wanted)
        return Response(ProjectDetailSerializer(membership).data)
