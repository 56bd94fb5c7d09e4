"""Errors that a person can act on: small classes with a stable code."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):  # noqa: N818 (a refusal is no defect)
    """The base of everything that Laurel refuses by name; the API turns it into its envelope."""

    code = "refused"
    status = 409
    message = "This cannot be done now."

    def __init__(self, message: str | None = None, /, **fields: Any) -> None:
        """`fields` says which parts of the request are meant."""
        self.message = message or type(self).message
        self.fields = fields
        super().__init__(self.message)
