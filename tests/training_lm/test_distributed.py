"""Two ranks do what one process does (law J6), in every way that a model can be spread over them."""

from __future__ import annotations

import json

import pytest
import ranks
import tiny
import torch
from transformers import AutoModelForCausalLM

from training.lm import distributed
from training.program import Run
from training.size import AnySize

pytestmark = pytest.mark.timeout(1000)  # two ranks on a busy machine


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two ranks found, and the folder that they wrote into."""
    folder = tmp_path_factory.mktemp("two")
    ranks.torchrun("steps", folder)
    return folder, [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process finds, with all weights trained and with adapters."""
    return {rank: ranks.take_steps(AnySize(lora_rank=rank), tmp_path_factory.mktemp("alone")) for rank in (0, 3)}


def test_ranks_add_up_agree_and_deal_equally(two):
    first, second = two[1]
    assert first["total"] == second["total"] == [3.0, 1.0]
    assert first["anyone"] == second["anyone"] == [True, False]
    assert first["first_says"] == second["first_says"] == [False, True]
    assert first["gather"] == second["gather"] == [{"rank": 0}, {"rank": 1}]
    assert first["deal"] == [["a", 1.0], ["c", 1.0], ["e", 1.0]]
    assert second["deal"] == [["b", 1.0], ["d", 1.0], ["a", 0.0]]
    assert first["share"] + second["share"] == ["a", "c", "e", "b", "d"]
    assert first["own_seed"] == 7 != second["own_seed"]


@pytest.mark.law("J6")
@pytest.mark.parametrize("way", ranks.WAYS)
def test_two_ranks_have_the_losses_and_gradients_of_one_process(two, alone, way):
    wanted = alone[ranks.WAYS[way].lora_rank]
    for rank in two[1]:
        for name in ("losses", "norms"):
            assert rank[way][name] == pytest.approx(wanted[name], rel=1e-5), name
        assert rank[way]["logits"] == pytest.approx(wanted["logits"], rel=1e-4)


@pytest.mark.law("J2")
@pytest.mark.parametrize("way", ranks.WAYS)
def test_two_ranks_go_on_from_a_savepoint_with_the_same_bits(two, way):
    for rank in two[1]:
        assert rank[way]["resumed"] == rank[way]["losses"][ranks.SAVED_AT :]


@pytest.mark.parametrize("way", ranks.WAYS)
def test_what_two_ranks_publish_is_an_ordinary_checkpoint(two, way):
    model = AutoModelForCausalLM.from_pretrained(two[0] / way / "checkpoint").eval()
    logits = model(torch.arange(4, 24).view(1, 20)).logits
    assert float(logits.detach().square().mean()) == pytest.approx(two[1][0][way]["logits"], rel=1e-5)


def test_one_process_deals_everything_to_itself():
    assert distributed.deal("abc") == [("a", 1.0), ("b", 1.0), ("c", 1.0)]
    assert distributed.total(1, 2) == (1, 2)
    assert distributed.gather("a") == ["a"]


def test_another_number_of_processes_than_the_job_asks_for_is_refused(tmp_path):
    with pytest.raises(distributed.WrongProcessCount, match="torchrun --nproc-per-node 2"):
        distributed.start(Run(tmp_path, tiny.job("test"), 1), processes=2)
