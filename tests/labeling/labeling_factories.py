"""Rows of the reading room, made for tests."""

from __future__ import annotations

import factory

from labeling import conversations, splits
from labeling.models import Candidate, Guidelines, LabelingSettings, Prompt, Response, Task
from training.models import Membership, Project, User


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"annotator{n}")
    name = factory.LazyAttribute(lambda user: user.username.title())


class ProjectFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Project

    slug = factory.Sequence(lambda n: f"stories{n}")
    name = "Bedtime stories"


class SettingsFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = LabelingSettings

    project = factory.SubFactory(ProjectFactory)


class MembershipFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Membership

    project = factory.SubFactory(ProjectFactory)
    user = factory.SubFactory(UserFactory)
    role = Membership.Role.ANNOTATOR


class GuidelinesFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Guidelines

    project = factory.SubFactory(ProjectFactory)
    version = factory.Sequence(lambda n: n + 1)
    text = "Kind stories first."


class PromptFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Prompt

    project = factory.SubFactory(ProjectFactory)
    messages = factory.Sequence(lambda n: [{"role": "user", "content": f"Tell me a short story about kite {n}."}])
    text_hash = factory.LazyAttribute(
        lambda prompt: conversations.fingerprint(conversations.normal_form(prompt.messages))
    )
    group = factory.LazyAttribute(lambda prompt: splits.group_of(prompt.messages))
    split = factory.LazyAttribute(lambda prompt: splits.split_of(prompt.group))


class ResponseFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Response

    prompt = factory.SubFactory(PromptFactory)
    text = factory.Sequence(lambda n: f"Mina looked for her kite {n} times and went home.")


class TaskFactory(factory.django.DjangoModelFactory):
    """A ranking task with four responses, or a demonstration task."""

    class Meta:
        model = Task
        skip_postgeneration_save = True

    class Params:
        of = factory.SubFactory(ProjectFactory)

    project = factory.SelfAttribute("of")
    kind = "ranking"
    prompt = factory.SubFactory(PromptFactory, project=factory.SelfAttribute("..project"))
    seats_left = factory.SelfAttribute("seats")
    seats = 1

    @factory.post_generation
    def responses(self, create, extracted, **kwargs):  # noqa: ARG002 (factory-boy's signature)
        if self.kind == "ranking" and create:
            count = 4 if extracted is None else extracted
            made = ResponseFactory.create_batch(count, prompt=self.prompt)
            Candidate.objects.bulk_create([Candidate(task=self, response=response) for response in made])
