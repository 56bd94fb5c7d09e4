"""Addresses of the workshop, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from policy import api

urlpatterns = [
    path("models", api.Models.as_view(), name="models"),
    path("chat/completions", api.Completions.as_view(), name="completions"),
    path("rewards", api.Rewards.as_view(), name="rewards"),
    path("projects/<slug:slug>/ranking-tasks", api.RankingTasks.as_view(), name="ranking-tasks"),
]
