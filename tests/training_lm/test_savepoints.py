"""A savepoint holds everything that decides the next step (law P9)."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from training.lm import optim, savepoints


def make():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    optimizer = optim.adamw(model, learning_rate=0.1)
    schedule = optim.schedule(optimizer, "cosine", steps=20, warmup=2)
    return model, {"model": model, "optimizer": optimizer, "schedule": schedule}


def learn(model, parts, steps):
    drawn = []
    for _ in range(steps):
        x = torch.randn(8, 4) + random.random() + float(np.random.rand())  # noqa: NPY002
        model(x).square().mean().backward()
        parts["optimizer"].step()
        parts["optimizer"].zero_grad()
        parts["schedule"].step()
        drawn.append(random.random())
    return drawn


@pytest.mark.law("P9")
@pytest.mark.parametrize("stop", [0, 1, 5])
@pytest.mark.parametrize("tf_style", [False, True])
def test_going_on_from_a_savepoint_changes_no_bit(tmp_path, stop, tf_style):
    def fresh():
        model, parts = make()
        if tf_style:
            parts["optimizer"] = optim.adamw(model, learning_rate=0.1, tf_style=True)
            parts["schedule"] = optim.schedule(parts["optimizer"], "cosine", steps=20, warmup=2)
        return model, parts

    savepoints.seed_everything(3)
    model, parts = fresh()
    learn(model, parts, stop)
    savepoints.save(tmp_path, parts, {"step": stop})
    drawn = learn(model, parts, 6)

    savepoints.seed_everything(99)
    other, other_parts = fresh()
    assert savepoints.restore(tmp_path, other_parts) == {"step": stop}
    assert learn(other, other_parts, 6) == drawn
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_part_that_is_not_in_the_savepoint_is_never_taken_fresh(tmp_path):
    _, parts = make()
    savepoints.save(tmp_path, {"model": parts["model"]}, {})
    with pytest.raises(ValueError, match="optimizer"):
        savepoints.restore(tmp_path, parts)


def test_plain_values_survive_in_a_keeper(tmp_path):
    savepoints.save(tmp_path, {"kl": savepoints.Keeper(beta=0.05, seen=["a"])}, {})
    keeper = savepoints.Keeper()
    savepoints.restore(tmp_path, {"kl": keeper})
    assert keeper.values == {"beta": 0.05, "seen": ["a"]}
