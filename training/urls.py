"""Addresses of the ground floor, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from training.api import by_itself, machine_work, members, people, published

urlpatterns = [
    path("session", people.Session.as_view(), name="session"),
    path("tokens", people.Tokens.as_view(), name="tokens"),
    path("tokens/<str:token_id>", people.OneToken.as_view(), name="token"),
    path("projects", people.Projects.as_view(), name="projects"),
    path("projects/<slug:slug>", people.OneProject.as_view(), name="project"),
    path("projects/<slug:slug>/members", members.Members.as_view(), name="members"),
    path("projects/<slug:slug>/members/<int:user_id>", members.OneMember.as_view(), name="member"),
    path("projects/<slug:slug>/members/<int:user_id>/datasets", members.HeldIn.as_view(), name="held-in"),
    path("projects/<slug:slug>/members/<int:user_id>/export", members.Export.as_view(), name="export-person"),
    path("projects/<slug:slug>/members/<int:user_id>/erase", members.Erase.as_view(), name="erase-person"),
    path("projects/<slug:slug>/invitations", members.Invitations.as_view(), name="invitations"),
    path("projects/<slug:slug>/invitations/<int:invitation_id>", members.OneInvitation.as_view(), name="invitation"),
    path("projects/<slug:slug>/deeds", members.Deeds.as_view(), name="deeds"),
    path("invitations/<str:token>", members.Join.as_view(), name="join"),
    path("job-kinds", machine_work.JobKinds.as_view(), name="job-kinds"),
    path("jobs", machine_work.Jobs.as_view(), name="jobs"),
    path("jobs/<int:job_id>", machine_work.OneJob.as_view(), name="job"),
    path("jobs/<int:job_id>/cancel", machine_work.Cancel.as_view(), name="cancel"),
    path("jobs/<int:job_id>/retry", machine_work.Retry.as_view(), name="retry"),
    path("jobs/<int:job_id>/resume", machine_work.Resume.as_view(), name="resume"),
    path("jobs/<int:job_id>/metrics", machine_work.Metrics.as_view(), name="metrics"),
    path("jobs/<int:job_id>/events", machine_work.Events.as_view(), name="events"),
    path("schedules", by_itself.Schedules.as_view(), name="schedules"),
    path("schedules/<int:schedule_id>", by_itself.OneSchedule.as_view(), name="schedule"),
    path("schedules/<int:schedule_id>/run", by_itself.RunNow.as_view(), name="run-schedule"),
    path("checkpoints", published.Checkpoints.as_view(), name="checkpoints"),
    path("checkpoints/<int:checkpoint_id>", published.OneCheckpoint.as_view(), name="checkpoint"),
    path("checkpoints/<int:checkpoint_id>/promote", published.Promote.as_view(), name="promote"),
    path(
        "checkpoints/<int:checkpoint_id>/files/<path:name>", published.CheckpointFile.as_view(), name="checkpoint-file"
    ),
    path("datasets", published.Datasets.as_view(), name="datasets"),
    path("datasets/<int:dataset_id>", published.OneDataset.as_view(), name="dataset"),
    path("datasets/<int:dataset_id>/download", published.DatasetDownload.as_view(), name="dataset-download"),
    path("measures", published.Measures.as_view(), name="measures"),
]
