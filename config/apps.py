from __future__ import annotations

from django.apps import AppConfig


class SwitchboardConfig(AppConfig):
    name = "config"
    verbose_name = "Switchboard"
