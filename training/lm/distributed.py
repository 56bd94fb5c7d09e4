"""One job in several processes: each rank computes its share of every step, and all take the same step.

Started by torchrun, a trainer calls `start` first. In one process everything here does nothing and costs nothing, so
a trainer is written once. Three rules keep two ranks equal to one (law J6) and a resume exact (law J2): losses are
divided by counts over all ranks (`total`), every rank takes equally many micro-steps (`deal`), and whatever decides
the way of the program is decided together (`anyone`, `first_says`).

Gradients are summed, never averaged. `ddp` keeps a replica on each rank and sums its gradients once a step, in pieces
that are the same in every step: DistributedDataParallel regroups its buckets after the first one, so that with more
than two ranks a resumed run would add in another order. `fsdp` is FSDP2: a rank holds its part of each tensor.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from training.program import Run, Stop
    from training.size import Parallel

T = TypeVar("T")
PIECE = 16 * 2**20
"""Numbers that are summed over the ranks in one go."""
PATIENCE = timedelta(hours=2)
"""How long a rank waits for the others, who may be storing a large model."""
SEEDS_APART = 100_003


class WrongProcessCount(ValueError):  # noqa: N818 - named for what is wrong
    """The job was not started with the processes that it asks for."""

    code = "wrong_process_count"


def start(run: Run, processes: int) -> torch.device:
    """Join the ranks of this job, and give the device of this one.

    Refuses any other number of processes than the job asks for. From here on `run.stop.requested` is one question to
    all ranks, to be asked at the same places on each, and savepoints and outputs are written by the first alone.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != processes:
        raise WrongProcessCount(
            f"the job asks for {processes} processes and {started} were started: run it under "
            f"`torchrun --nproc-per-node {processes}`, or set processes to {started}"
        )
    device = torch.device(run.job.device)
    if processes == 1:
        return device
    if device.type == "cuda":
        number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= there:
            raise WrongProcessCount(
                f"the job wants a GPU for each process, and this machine has {there}: ask for fewer"
            )
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    if not isinstance(run.stop, AgreedStop):
        run.stop = AgreedStop(run.stop)
    run.barrier, run.leave = dist.barrier, leave
    return device


def leave(status: int) -> NoReturn:
    """End this rank with an exit status, and end it here.

    At the interpreter's own exit a thread of the process group is now and then destroyed while it runs, and a rank
    whose work is done and stored dies of SIGABRT: one run in some forty on a busy machine, which torchrun then calls
    failed. Nothing is left to do by now but to write out what was said.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class AgreedStop:
    """A wish to stop that all ranks hear of at the same place, whichever of them was asked."""

    def __init__(self, own: Stop) -> None:
        self.own = own
        """What was asked of this rank alone."""
        self._agreed = False

    @property
    def requested(self) -> bool:
        """Ask all ranks; once they have agreed, nobody is asked again."""
        self._agreed = self._agreed or anyone(self.own.requested)
        return self._agreed


def size() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this rank is the one that reports, saves and publishes."""
    return rank() == 0


def own_seed(seed: int) -> int:
    """A seed for what ranks must draw apart (dropout, samples); the first has the job's own."""
    return seed + SEEDS_APART * rank()


def total(*numbers: float) -> tuple[float, ...]:
    """Sums of plain numbers over the ranks, in float64."""
    if size() == 1:
        return numbers
    summed = torch.tensor(numbers, dtype=torch.float64, device=_device())
    dist.all_reduce(summed)
    return tuple(summed.tolist())


def anyone(flag: bool) -> bool:  # noqa: FBT001 - a question with one word
    """Whether it is so on any rank."""
    return total(float(flag))[0] > 0


def first_says(flag: bool) -> bool:  # noqa: FBT001
    """What the first rank says, whatever the others think: for clocks, which never agree."""
    return total(float(flag and is_first()))[0] > 0


def gather(value: T) -> list[T]:
    """The values of all ranks, in their order, on every rank. They must be plain data or tensors."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value)
    return values


def share(items: Sequence[T]) -> Sequence[T]:
    """This rank's items, every `size()`-th; some ranks may have one fewer. For work without collectives."""
    return items[rank() :: size()]


def at_most(limit: int, whole: int) -> int:
    """How much of a whole step to compute at once: no more than `limit`, nor than a rank's even share of it."""
    return max(1, min(limit, -(-whole // size())))


def deal(items: Sequence[T]) -> list[tuple[T, float]]:
    """This rank's items with weight 1, filled up with one of weight 0 so that every rank has equally many.

    An item of weight 0 is computed like any other and its loss multiplied by 0: under fsdp all ranks must take part.
    """
    dealt = [(item, 1.0) for item in share(items)]
    even = -(-len(items) // size())
    return dealt + [(item, 0.0) for item in items[: even - len(dealt)]]


class Spread:
    """A model laid out over the ranks. `spread(compute)` runs a forward pass that may use any part of the model.

    Under fsdp the parts are gathered for as long as the pass takes, so it must happen inside, head and all, on every
    rank at once; elsewhere it is a plain call.
    """

    def __init__(self, model: Any, parallel: Parallel = "ddp", dtype: torch.dtype = torch.float32) -> None:
        """Lay the model out; `dtype` is what it is gathered in under fsdp, where the parts stay as they are."""
        self.model = model
        self._root: Any = None
        if size() == 1:
            return
        if parallel == "ddp":
            with torch.no_grad():
                for tensor in (*model.parameters(), *model.buffers()):
                    dist.broadcast(tensor, 0)
            return
        mixed = MixedPrecisionPolicy() if dtype == torch.float32 else MixedPrecisionPolicy(dtype, torch.float32)
        mesh = init_device_mesh(_device().type, (size(),))
        values = dict(model.named_parameters())
        made: dict[Tensor, nn.Parameter] = {}
        self._root = _Inside(model)
        for part in (*_layers(model), self._root):
            _make_room(part, made)
            sharded: Any = fully_shard(part, mesh=mesh, mp_policy=mixed, reshard_after_forward=True)
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)
        _deal_out(model, values)

    def __call__(self, compute: Callable[[], T]) -> T:
        """Run a forward pass."""
        return compute() if self._root is None else self._root(compute)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Hold all weights on every rank for many forward passes without gradients, as in generation."""
        if self._root is None:
            yield
            return
        parts = [part for part in self._root.modules() if isinstance(part, FSDPModule)]
        with torch.no_grad():
            self._root(lambda: None)  # the first pass must go through the root
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for part in parts:
                part.set_reshard_after_forward(True, recurse=False)
                part.reshard()


def loading_device(parallel: Parallel, device: torch.device) -> torch.device:
    """Where to load a model that is to be spread: no rank's own device has to hold what fsdp will part.

    The first rank loads it on the CPU, the others take its shape alone (the meta device) until `Spread` gives them
    their parts. Everywhere else it is loaded where it is trained.
    """
    if size() == 1 or parallel == "ddp":
        return device
    return torch.device("cpu" if is_first() else "meta")


@torch.no_grad()
def _make_room(part: nn.Module, made: dict[Tensor, nn.Parameter]) -> None:
    """Put empty tensors where a part of a model has only shapes yet; tied ones stay tied (`made` remembers them)."""
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_meta:
                if parameter not in made:
                    empty = torch.empty_like(parameter, device=_device())
                    made[parameter] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
                setattr(module, name, made[parameter])
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                setattr(module, name, torch.empty_like(buffer, device=_device()))


@torch.no_grad()
def _deal_out(model: nn.Module, values: dict[str, nn.Parameter]) -> None:
    """Give each rank its part of the first rank's values, one tensor at a time."""
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, DTensor)  # noqa: S101 (all of the model was just spread)
        value = values[name].detach() if is_first() else torch.empty(parameter.shape, dtype=parameter.dtype)
        parameter.copy_(distribute_tensor(value.to(_device()), parameter.device_mesh, parameter.placements))
    for buffer in model.buffers():
        dist.broadcast(buffer, 0)


class _Inside(nn.Module):
    """What FSDP hooks on to: its forward pass is whatever is to be computed with the gathered model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[], T]) -> T:
        return compute()


def finish_gradients(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Sum the gradients over the ranks, scale them down to `max_norm`, and give their norm before that."""
    held = [parameter for parameter in parameters if parameter.requires_grad]
    if size() > 1:
        _sum_gradients([parameter for parameter in held if not isinstance(parameter, DTensor)])
    return float(whole(nn.utils.clip_grad_norm_(held, max_norm)))


def _sum_gradients(parameters: Sequence[Tensor]) -> None:
    """Add up the gradients of replicas, in pieces of like numbers; one that a rank did not compute is 0 there."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for dtype in dict.fromkeys(gradient.dtype for gradient in gradients):
        for piece in _pieces([gradient for gradient in gradients if gradient.dtype == dtype]):
            flat = torch.cat([gradient.flatten() for gradient in piece])
            dist.all_reduce(flat)
            for gradient, summed in zip(piece, torch.split(flat, [each.numel() for each in piece]), strict=True):
                gradient.copy_(summed.view_as(gradient))


def _pieces(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    piece: list[Tensor] = []
    for tensor in tensors:
        if piece and sum(each.numel() for each in piece) + tensor.numel() > PIECE:
            yield piece
            piece = []
        piece.append(tensor)
    if piece:
        yield piece


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor of which each rank may hold a part; all ranks must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(tensor: Tensor, value: Tensor) -> Tensor:
    """What this rank holds of a whole value, if `tensor` is held in parts."""
    if not isinstance(tensor, DTensor) or isinstance(value, DTensor):
        return value
    value = value.to(tensor.device, tensor.dtype)
    return distribute_tensor(value, tensor.device_mesh, tensor.placements, src_data_rank=None)


def wholes(state: Any) -> Any:
    """A state with every tensor in it made whole and copied to the CPU; on all ranks but the first without them."""
    if isinstance(state, DTensor):
        full = state.full_tensor()
        return full.cpu() if is_first() else full.new_empty(0)
    if isinstance(state, dict):
        return {name: wholes(inner) for name, inner in state.items()}
    if isinstance(state, (list, tuple)):
        return [wholes(inner) for inner in state]
    return state


def _layers(model: Any) -> list[nn.Module]:
    """The decoder layers of a `transformers` model: what FSDP gathers one at a time."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]


def _device() -> torch.device:
    """Where collectives of plain numbers take place."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
