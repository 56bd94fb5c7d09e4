from __future__ import annotations

from django.apps import AppConfig

from labeling.config import SnapshotConfig
from training import measures as ground
from training.kinds import JobKind, register
from training.projects import Settings, offer_settings


class LabelingConfig(AppConfig):
    name = "labeling"
    verbose_name = "Reading room"

    def ready(self) -> None:
        """Offer snapshots, measures, and how a project labels; sweep leases whose time is over."""
        from labeling import measures, project_settings, queue, snapshots  # noqa: PLC0415 (their models are ready now)
        from training import sweeper  # noqa: PLC0415 (so are these)

        offer_settings(Settings(shape=project_settings.LabelingSettingsSerializer, read=project_settings.read))
        register(
            JobKind(
                name="labeling.snapshot",
                title="Take a snapshot",
                description="Freeze what was said so far into an immutable dataset with a digest.",
                config=SnapshotConfig,
                inside=snapshots.take,
                output="rankings",
                output_from="what",
            )
        )
        for measure in measures.MEASURES:
            ground.register(measure)
        sweeper.also(queue.expire)
