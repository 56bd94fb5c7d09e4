from __future__ import annotations

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = "Machine work"

    def ready(self) -> None:
        """Have `manage.py check` look at the ground floor's settings."""
        from training import checks  # noqa: F401, PLC0415 (importing it registers it)
