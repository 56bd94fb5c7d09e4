from __future__ import annotations

from django.apps import AppConfig

from labeling.config import SnapshotConfig
from training import measures as ground
from training.kinds import JobKind, register
from training.projects import Settings, offer_settings

DEEDS = {
    "settings.changed": "changed the settings",
    "guidelines.published": "published guidelines",
    "file.imported": "brought a file in",
    "prompts.changed": "changed prompts",
    "word.accepted": "accepted a word of",
    "word.returned": "returned a word to",
    "task.settled": "settled",
    "task.retired": "retired",
    "task.put_back": "put back into the queue",
    "task.one_more": "asked one more annotator for",
    "task.made_known": "made a known answer of",
    "qualification.overruled": "decided on the qualification of",
}


class LabelingConfig(AppConfig):
    name = "labeling"
    verbose_name = "Reading room"

    def ready(self) -> None:
        """Offer snapshots, measures, how a project labels and what it holds of a person; sweep overdue leases."""
        from labeling import belongings, measures, project_settings, queue, snapshots  # noqa: PLC0415 (models are ready)
        from training import audit, people, sweeper  # noqa: PLC0415 (so are these)

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
        audit.offer(DEEDS)
        people.offer(
            people.Belongings(
                name="labeling",
                export=belongings.export,
                datasets=belongings.datasets,
                leave=belongings.leave,
                erase=belongings.erase,
            )
        )
