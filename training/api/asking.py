"""Who asks, and what their request says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.serializers import Serializer

    from training.models import User


def asker(request: Request) -> User:
    """Who asks; the permission classes let nobody anonymous in."""
    return cast("User", request.user)


def parsed(shape: type[Serializer[Any]], data: Any) -> dict[str, Any]:
    """The request's body, or a 400 that names its fields."""
    serializer = shape(data=data)
    serializer.is_valid(raise_exception=True)
    return cast("dict[str, Any]", serializer.validated_data)
