"""When the day and the week began, in the server's time zone."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.timezone import localtime


def today() -> datetime:
    """When the day began."""
    return localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def tomorrow() -> datetime:
    """When the next day begins."""
    return today() + timedelta(days=1)


def week() -> datetime:
    """When the week began: Monday."""
    start = today()
    return start - timedelta(days=start.weekday())
