"""The ground floor in Django's admin: people and projects can be changed, the ledger can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from training.models import (
    Attempt,
    Champion,
    Checkpoint,
    Dataset,
    Job,
    Membership,
    Project,
    Schedule,
    User,
)

if TYPE_CHECKING:
    from django.http import HttpRequest

    OfPeople = UserAdmin[User]
    OfProjects = admin.ModelAdmin[Project]
    OfMembers = admin.TabularInline[Membership, Project]
    OfTheLedger = admin.ModelAdmin[Any]
else:  # Django's own classes are generic for type checkers only
    OfPeople, OfProjects, OfMembers, OfTheLedger = UserAdmin, admin.ModelAdmin, admin.TabularInline, admin.ModelAdmin


@admin.register(User)
class PersonAdmin(OfPeople):
    list_display = ["username", "name", "is_active", "is_staff", "is_simulated"]
    list_filter = ["is_active", "is_staff", "is_simulated"]
    fieldsets = [
        (None, {"fields": ["username", "password", "name", "email", "is_simulated"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]


class MembershipInline(OfMembers):
    model = Membership
    extra = 1
    autocomplete_fields = ["user"]


@admin.register(Project)
class ProjectAdmin(OfProjects):
    list_display = ["name", "slug", "created_at"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [MembershipInline]


class LedgerAdmin(OfTheLedger):
    """Rows that only the ledger writes: shown, never changed by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody adds one."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody changes one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody deletes one."""
        return False


@admin.register(Job)
class JobAdmin(LedgerAdmin):
    list_display = ["id", "kind", "project", "state", "attempt_number", "created_at", "finished_at"]
    list_filter = ["state", "kind", "project"]


@admin.register(Attempt)
class AttemptAdmin(LedgerAdmin):
    list_display = ["job", "number", "host", "started_at", "ended_at", "outcome"]
    list_filter = ["outcome"]


@admin.register(Dataset)
class DatasetAdmin(LedgerAdmin):
    list_display = ["name", "version", "kind", "project", "count", "created_at"]
    list_filter = ["kind", "project"]


@admin.register(Checkpoint)
class CheckpointAdmin(LedgerAdmin):
    list_display = ["name", "kind", "project", "created_at"]
    list_filter = ["kind", "project"]


@admin.register(Champion)
class ChampionAdmin(LedgerAdmin):
    list_display = ["checkpoint", "kind", "project", "since", "until", "by"]


@admin.register(Schedule)
class ScheduleAdmin(LedgerAdmin):
    list_display = ["name", "kind", "trigger", "project", "enabled", "next_at"]
