"""Who asks, and what their request says."""

from __future__ import annotations

from functools import cache
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
    return cast("dict[str, Any]", the_only(shape).run_validation(data))


def written(shape: type[Serializer[Any]], body: Any) -> dict[str, Any]:
    """The answer's body."""
    return the_only(shape).to_representation(body)


@cache
def the_only(shape: type[Serializer[Any]]) -> Serializer[Any]:
    """A serializer of this shape, for all requests: to copy its fields for each would cost more than to use them.

    Reading and writing leave nothing behind in it.
    """
    return shape()
