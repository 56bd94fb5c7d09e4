"""Characters that no database keeps, NUL and halves of surrogate pairs, are refused at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import BadRequest
from django.utils.deprecation import MiddlewareMixin
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from training.storable import unstorable_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest


class StorableJSONParser(JSONParser):
    """JSON whose texts can be kept."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The body, or a 400 that shows the text that cannot be kept."""
        body = super().parse(stream, media_type=media_type, parser_context=parser_context)
        text = unstorable_in(body)
        if text is not None:
            raise ParseError(f"This text holds a character that cannot be kept: {text[:80]!a}.")
        return body


class StorableQuery(MiddlewareMixin):
    """Refuses an address whose query could match nothing that is kept."""

    def process_request(self, request: HttpRequest) -> None:
        """Raise BadRequest, which is a 400."""
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("the query holds a NUL character")
