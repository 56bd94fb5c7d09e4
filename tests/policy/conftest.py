"""What PPO's tests start from."""

from __future__ import annotations

import pytest
import tiny


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A tiny policy, a reward model of it, and prompts."""
    home = tmp_path_factory.mktemp("inputs")
    policy = tiny.policy(home / "policy")
    return {
        "policy": policy,
        "reward": tiny.scorer(home / "reward", policy),
        "prompts": tiny.dataset(home / "prompts", tiny.prompt_lines(15)),
    }
