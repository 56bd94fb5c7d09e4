"""Lists by the page, newest first: each page begins where the one before ended, however long the list is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from rest_framework.request import Request

PAGE = 50
LARGEST_ID = 2**63 - 1
CURSOR = OpenApiParameter("cursor", str, description="`next` of the page before.")
PROJECT = OpenApiParameter("project", str, description="Only what belongs to the project of this slug.")


def page(request: Request, rows: QuerySet[Any], shape: type[serializers.Serializer[Any]]) -> Response:
    """One page of rows, newest first, as the shape shows them."""
    found = list(before(request, rows).order_by("-pk")[: PAGE + 1])
    following = str(found[PAGE - 1].pk) if len(found) > PAGE else None
    return Response({"next": following, "results": shape(found[:PAGE], many=True).data})


def before(request: Request, rows: QuerySet[Any]) -> QuerySet[Any]:
    """The rows that come after the cursor's, which are older."""
    cursor = request.query_params.get("cursor")
    if not cursor:
        return rows
    return rows.filter(pk__lt=whole_number("cursor", cursor))


def whole_number(name: str, value: str) -> int:
    """A row's number from the query, or a 400 that names the parameter."""
    if not value.isascii() or not value.isdecimal() or int(value) > LARGEST_ID:
        raise ValidationError({name: "A whole number is wanted, as an answer before gave it."})
    return int(value)


def page_of(shape: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """The shape of one page, for the OpenAPI document."""
    return inline_serializer(
        f"{shape.__name__.removesuffix('Serializer')}Page",
        {"next": serializers.CharField(allow_null=True), "results": shape(many=True)},
    )


def one(rows: QuerySet[Any], number: int) -> Model | None:
    """The row of that number, if it can be one."""
    found: Model | None = rows.filter(pk=number).first() if number <= LARGEST_ID else None
    return found
