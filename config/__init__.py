"""The switchboard: settings, addresses, the doorbell, and the commands that conduct all rooms."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
