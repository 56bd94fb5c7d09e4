"""Configurations refuse what cannot be, by name, and survive the way through JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.config import PretrainConfig, SFTConfig
from training.config import Bounds, ConfigError, check, parse, schema, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Kite:
    """A kite."""

    colour: Literal["red", "blue"]
    """What it looks like."""
    tail: Annotated[float, Bounds(minimum=0, below=10)] = 1.0
    """Metres of tail,
    bows included."""
    owners: tuple[str, ...] = ()
    """Who may fly it."""
    height: Annotated[int, Bounds(above=0)] | None = None
    """How high it was seen."""

    def __post_init__(self) -> None:
        check(self)


kites = st.builds(
    Kite,
    colour=st.sampled_from(["red", "blue"]),
    tail=st.floats(0, 10, exclude_max=True),
    owners=st.lists(st.text()).map(tuple),
    height=st.none() | st.integers(1, 10**9),
)


@given(kites)
def test_a_config_survives_the_way_through_json(kite):
    assert parse(Kite, json.loads(json.dumps(to_json(kite)))) == kite


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"colour": "green"}, "colour"),
        ({}, "colour"),
        ({"colour": "red", "tial": 3}, "tial"),
        ({"colour": "red", "tail": "long"}, "tail"),
        ({"colour": "red", "tail": True}, "tail"),
        ({"colour": "red", "tail": -1}, "tail"),
        ({"colour": "red", "tail": 10}, "tail"),
        ({"colour": "red", "tail": float("nan")}, "tail"),
        ({"colour": "red", "owners": "Mina"}, "owners"),
        ({"colour": "red", "owners": ["Mina", 3]}, "owners"),
        ({"colour": "red", "height": 0}, "height"),
        ({"colour": "red", "height": 1.5}, "height"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(data, field):
    with pytest.raises(ConfigError) as caught:
        parse(Kite, data)
    assert list(caught.value.fields) == [field]
    assert field in str(caught.value)


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        parse(Kite, {"colour": 3, "tial": 1})
    assert set(caught.value.fields) == {"colour", "tial"}


def test_a_config_is_checked_at_birth_too():
    with pytest.raises(ConfigError):
        Kite(colour="red", tail=11)


def test_a_whole_number_written_as_a_float_is_a_whole_number():
    assert parse(Kite, {"colour": "red", "height": 3.0}).height == 3


def test_the_schema_says_what_the_class_says():
    document = schema(Kite)
    assert document["required"] == ["colour"]
    assert document["additionalProperties"] is False
    tail = document["properties"]["tail"]
    assert (tail["type"], tail["minimum"], tail["exclusiveMaximum"], tail["default"]) == ("number", 0, 10, 1.0)
    assert tail["description"] == "Metres of tail, bows included."
    assert document["properties"]["height"]["type"] == ["integer", "null"]
    assert document["properties"]["colour"]["enum"] == ["red", "blue"]


@pytest.mark.parametrize("cls", [PretrainConfig, SFTConfig])
def test_every_setting_of_a_trainer_says_what_it_is(cls):
    for name, entry in schema(cls)["properties"].items():
        assert entry.get("description"), f"{cls.__name__}.{name} has no docstring"
        assert "default" in entry, f"{cls.__name__}.{name} has no default"


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_windows": 10, "micro_batch_windows": 4},
        {"hidden": 30, "heads": 4},
        {"context": 600},
        {"learning_rate": 0},
    ],
)
def test_a_pre_training_that_cannot_be_is_refused(settings):
    with pytest.raises(ConfigError):
        parse(PretrainConfig, settings)


def test_settings_of_every_trainer_come_after_its_own_and_refuse_what_cannot_go_together():
    names = list(schema(SFTConfig)["properties"])
    assert names[0] == "epochs"
    assert names[-1] == "parallel"
    for wrong, field in (
        ({"parallel": "fsdp", "optimizer": "muon"}, "optimizer"),
        ({"lora_targets": ["q_proj"]}, "lora_rank"),
        ({"processes": 0}, "processes"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse(SFTConfig, wrong)
        assert list(caught.value.fields) == [field]
    with pytest.raises(ConfigError) as caught:
        parse(PretrainConfig, {"compile": True, "parallel": "fsdp"})
    assert list(caught.value.fields) == ["compile"]
