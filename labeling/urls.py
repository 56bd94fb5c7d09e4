"""Addresses of the reading room, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from labeling import api, prompt_api, quality_api, submission_api

urlpatterns = [
    path("projects/<slug:slug>/leases", api.Leases.as_view(), name="leases"),
    path("projects/<slug:slug>/progress", api.Progress.as_view(), name="progress"),
    path("projects/<slug:slug>/guidelines", api.GuidelinesInForce.as_view(), name="guidelines"),
    path("projects/<slug:slug>/history", submission_api.History.as_view(), name="history"),
    path("projects/<slug:slug>/prompts", prompt_api.Prompts.as_view(), name="prompts"),
    path("projects/<slug:slug>/quality", quality_api.Quality.as_view(), name="quality"),
    path("projects/<slug:slug>/overview", api.Overview.as_view(), name="overview"),
    path("leases/<uuid:lease_id>", api.OneLease.as_view(), name="lease"),
    path("leases/<uuid:lease_id>/renew", api.Renewal.as_view(), name="renew"),
    path("leases/<uuid:lease_id>/draft", api.LeaseDraft.as_view(), name="draft"),
    path("leases/<uuid:lease_id>/skip", api.Skip.as_view(), name="skip"),
    path("leases/<uuid:lease_id>/ranking", api.SubmitRanking.as_view(), name="submit-ranking"),
    path("leases/<uuid:lease_id>/demonstration", api.SubmitDemonstration.as_view(), name="submit-demonstration"),
    path("submissions/<uuid:lease_id>", submission_api.OneSubmission.as_view(), name="submission"),
    path("submissions/<uuid:lease_id>/history", submission_api.Words.as_view(), name="submission-history"),
    path("submissions/<uuid:lease_id>/draft", submission_api.DraftOfChange.as_view(), name="draft-of-change"),
    path("submissions/<uuid:lease_id>/ranking", submission_api.ChangeRanking.as_view(), name="change-ranking"),
    path(
        "submissions/<uuid:lease_id>/demonstration",
        submission_api.ChangeDemonstration.as_view(),
        name="change-demonstration",
    ),
]
