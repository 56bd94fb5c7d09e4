"""The reading room in Django's admin: how projects label can be changed, what people said can only be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from labeling.models import (
    Demonstration,
    Guidelines,
    Judgement,
    LabelingSettings,
    Lease,
    Placement,
    Prompt,
    Task,
    Verdict,
)

if TYPE_CHECKING:
    from django.http import HttpRequest

    Of = admin.ModelAdmin[Any]
    Inline = admin.TabularInline[Any, Any]
else:  # Django's own classes are generic for type checkers only
    Of, Inline = admin.ModelAdmin, admin.TabularInline


@admin.register(LabelingSettings)
class LabelingSettingsAdmin(Of):
    list_display = ["project", "responses_per_task", "overlap", "lease_seconds", "skip_limit", "order"]


class Kept(Of):
    """Rows that nobody changes or deletes by hand."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody changes one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody deletes one."""
        return False


class Said(Kept):
    """Rows that only annotators write."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody adds one."""
        return False


@admin.register(Guidelines)
class GuidelinesAdmin(Kept):
    """A new version is added; an old one stays as it was said."""

    list_display = ["project", "version", "created_by", "created_at"]
    list_filter = ["project"]


@admin.register(Prompt)
class PromptAdmin(Said):
    list_display = ["id", "__str__", "project", "split", "source", "priority", "retired_at"]
    list_filter = ["project", "split", "source"]
    search_fields = ["messages"]


@admin.register(Task)
class TaskAdmin(Said):
    list_display = ["id", "kind", "project", "state", "seats", "seats_left", "served", "skips", "priority"]
    list_filter = ["project", "kind", "state", "purpose"]


@admin.register(Lease)
class LeaseAdmin(Said):
    list_display = ["id", "task", "annotator", "state", "skip_reason", "expires_at", "ended_at"]
    list_filter = ["project", "kind", "state"]


class PlacementInline(Inline):
    model = Placement
    raw_id_fields = ["response"]


class VerdictInline(Inline):
    model = Verdict
    raw_id_fields = ["a", "b"]


@admin.register(Judgement)
class JudgementAdmin(Said):
    list_display = ["id", "form", "task", "annotator", "is_current", "is_simulated", "source", "created_at"]
    list_filter = ["project", "form", "is_simulated", "source"]
    inlines = [PlacementInline, VerdictInline]


@admin.register(Demonstration)
class DemonstrationAdmin(Said):
    list_display = ["id", "__str__", "annotator", "is_current", "is_simulated", "source", "created_at"]
    list_filter = ["project", "is_simulated", "source"]
    search_fields = ["text"]
