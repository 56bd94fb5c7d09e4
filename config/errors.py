"""Every refusal leaves in one envelope: `{"code", "message", "fields"}`."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from training.refusals import Refusal


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Shape an error for the REST API; None lets a defect surface as a 500."""
    if isinstance(error, Refusal):
        return Response(envelope(error.code, error.message, error.fields), status=error.status)
    response = exception_handler(error, context)
    if response is None:
        return None
    response.data = describe(error)
    return response


def describe(error: Exception) -> dict[str, Any]:
    """The envelope of an error that Django or DRF raised."""
    if isinstance(error, Http404 | exceptions.NotFound):
        return envelope("not_found", "There is nothing here, or it is not yours to see.")
    if isinstance(error, PermissionDenied):
        return envelope("permission_denied", "Your role does not allow this.")
    if isinstance(error, exceptions.ValidationError):
        return envelope("invalid", "Some fields need another look.", by_field(error.detail))
    if isinstance(error, exceptions.APIException):
        codes = error.get_codes()
        return envelope(codes if isinstance(codes, str) else error.default_code, str(error.detail))
    return envelope("error", "The request could not be answered.")


def by_field(detail: Any) -> dict[str, Any]:
    """Validation messages by field; those of no field stand under an empty name."""
    if isinstance(detail, dict):
        return {("" if name == "non_field_errors" else str(name)): value for name, value in detail.items()}
    return {"": detail}


def envelope(code: str, message: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """The one shape of an error."""
    return {"code": code, "message": message, "fields": fields or {}}


def not_found(_request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 (Django passes it by name)
    """Django's own 404, in the envelope."""
    return JsonResponse(envelope("not_found", "There is nothing here, or it is not yours to see."), status=404)


def server_error(_request: HttpRequest) -> JsonResponse:
    """Django's own 500, in the envelope."""
    return JsonResponse(
        envelope("server_error", "Something broke on our side. Nothing of yours was changed."), status=500
    )


def bad_request(_request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 (Django passes it by name)
    """Django's own 400, in the envelope."""
    return JsonResponse(envelope("bad_request", "The request could not be read."), status=400)


def forbidden(_request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 (Django passes it by name)
    """Django's own 403, in the envelope."""
    return JsonResponse(envelope("permission_denied", "Your role does not allow this."), status=403)


def no_such_address(_request: HttpRequest) -> JsonResponse:
    """An address below /api/ or a file that nobody has; the front end answers the others."""
    return JsonResponse(envelope("not_found", "There is nothing at this address."), status=404)


def csrf_failure(_request: HttpRequest, reason: str = "") -> JsonResponse:
    """A change without the CSRF token that belongs to the session."""
    message = f"The request could not be trusted: {reason} Reload the page and try again."
    return JsonResponse(envelope("csrf_failed", message), status=403)


def locked_out(_request: HttpRequest, _credentials: dict[str, Any], *_args: Any, **_kwargs: Any) -> JsonResponse:
    """Too many wrong passwords for this name from this address."""
    message = "Too many wrong passwords. Wait a quarter of an hour, then try again."
    return JsonResponse(envelope("locked_out", message), status=429)
