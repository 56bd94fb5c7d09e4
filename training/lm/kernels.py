"""Loops that the processor runs as machine code: what lies between the matrix products, in one pass over memory each.

On small batches a model's time goes into the many small operations around its products: each reads and writes memory
once more, and each costs a call. `kernels.c` joins them; while sampling, where a product has few rows, it computes the
products, too, and a whole layer is one call. It is compiled the first time it is needed, in a few seconds, by the C
compiler that is on the machine, and kept in the user's cache. Where there is none, and for tensors that are not
float32 on a processor, the operations of PyTorch do the same: whoever calls asks `suit` first.

The loops share PyTorch's threads, and their results do not depend on how many these are.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

SOURCE = Path(__file__).with_suffix(".c")
CAREFUL = ["-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math"]
"""Flags that every compiler knows and that change no result."""
FAST = ["-march=native", "-fopenmp", "-fassociative-math", "-fno-signed-zeros", "-freciprocal-math"]
"""Flags for this very processor, all of its cores, and sums in any order."""
WIDE = ["-mprefer-vector-width=512"]
ROWS, APART, OTHER, INTEGER, NUMBER = "rsoif"
"""What a loop can be given: float32 row by row, or with a stride that is told; rows of another type; numbers."""
KINDS: dict[str, Any] = dict.fromkeys((ROWS, APART, OTHER), ctypes.c_void_p)
KINDS |= {INTEGER: ctypes.c_int64, NUMBER: ctypes.c_float}
LOOPS = {
    "norm_forward": "rrriifrrr",
    "norm_backward": "rrrrriirr",
    "turn": "siiiirrofsi",
    "gate_forward": "sisiiir",
    "gate_backward": "rrrirr",
    "multiply": "rrriiiir",
    "attend": "rrriiiooifr",
    "attend_backward": "rrrriiiooifrrr",
    "attend_step": "sisisi" + "iiiooiioo" + "rrirri" + "fr",
    "layer_step": "riiif" + "rrrrrrrrr" + "rro" + "iii" + "ooiioo" + "rrirri" + "fr",
    "weigh": "riiooifrr",
    "draw": "riiooifior",
}
"""What each of them is given, in its order."""
PARTS = 16
"""Parts that `norm_backward` sums over rows in."""
PANEL = 16
"""Columns of a matrix that lie together where `multiply` reads it."""
logger = logging.getLogger(__name__)


def suit(*tensors: Tensor) -> bool:
    """Whether these loops can run on the tensors, here."""
    return all(each.is_cpu and each.dtype == torch.float32 for each in tensors) and _library() is not None


def norm(x: Tensor, epsilon: float) -> Tensor:
    """Divide each row of x (n, D) by the root of its mean square."""
    x = x.contiguous()
    out = torch.empty_like(x)
    _run("norm_forward", x, None, None, *x.shape, epsilon, None, out, None)
    return out


def gate(both: Tensor) -> Tensor:
    """SwiGLU: both (n, 2 D) are gate and up side by side; gives silu(gate) · up, (n, D)."""
    return gate_forward(*both.chunk(2, 1))


def turn_(x: Tensor, heads: int, cos: Tensor, sin: Tensor, places: Tensor) -> None:
    """Rotate the first `heads` heads of x (n, ·, D) in place, by the angles (positions, D/2) of each row's place (n,).

    The pairs are (i, i + D/2).
    """
    rows = x, x.stride(0)
    _run("turn", *rows, len(x), heads, x.shape[-1], cos, sin, places.contiguous(), 1.0, *rows)


def norm_forward(x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Add to x (…, D) what is to be added, and give the sum, its weighed norm, and one over its roots (rows,)."""
    x = x.contiguous()
    total, out = x if added is None else torch.empty_like(x), torch.empty_like(x)
    inverse = x.new_empty(x.numel() // x.shape[-1])
    where = (None, None) if added is None else (added.contiguous(), total)
    _run("norm_forward", x, where[0], weight, len(inverse), x.shape[-1], epsilon, where[1], out, inverse)
    return total, out, inverse


def norm_backward(
    total: Tensor, weight: Tensor, inverse: Tensor, slope: Tensor, of_total: Tensor | None, *, of_weight: bool
) -> tuple[Tensor, Tensor | None]:
    """Give the gradients of the sum and, where asked for, of the weight, from those of the norm and of the sum."""
    of_x, width = torch.empty_like(total), total.shape[-1]
    parts = total.new_empty(PARTS, width) if of_weight else None
    beside = None if of_total is None else of_total.contiguous()
    _run("norm_backward", total, weight, inverse, slope.contiguous(), beside, len(inverse), width, of_x, parts)
    return of_x, None if parts is None else parts.sum(0)


def turned(x: Tensor, cos: Tensor, sin: Tensor, way: float) -> Tensor:
    """Rotate the pairs (i, i + D/2) of every head of x (n, H, D) by its row's angles (n, D/2), or back (way -1)."""
    x = x.contiguous()
    out = torch.empty_like(x)
    angles = cos.contiguous(), sin.contiguous(), None
    _run("turn", x, x.stride(0), *x.shape, *angles, way, out, out.stride(0))
    return out


def gate_forward(gates: Tensor, ups: Tensor) -> Tensor:
    """SwiGLU: silu(gates) · ups, each (n, D)."""
    gates, ups = (x if x.stride(1) == 1 else x.contiguous() for x in (gates, ups))
    out = gates.new_empty(gates.shape)
    _run("gate_forward", gates, gates.stride(0), ups, ups.stride(0), *out.shape, out)
    return out


def gate_backward(gates: Tensor, ups: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradients of gates and ups."""
    of_gates, of_ups = torch.empty_like(gates), torch.empty_like(ups)
    _run("gate_backward", gates, ups, slope.contiguous(), gates.numel(), of_gates, of_ups)
    return of_gates, of_ups


class Matrix(NamedTuple):
    """A matrix (k, n) as the loops read it, and the bias (n,) of the product with it."""

    panels: Tensor
    """(an even number of them, k, PANEL), with zeros beyond the columns."""
    width: int
    bias: Tensor | None


def matrix_of(matrix: Tensor, bias: Tensor | None) -> Matrix:
    """Lay a matrix (k, n) out as the loops read it."""
    k, n = matrix.shape
    panels = matrix.new_zeros(2 * -(-n // (2 * PANEL)), k, PANEL)
    whole, left = divmod(n, PANEL)
    panels[:whole] = matrix[:, : n - left].reshape(k, whole, PANEL).transpose(0, 1)
    if left:
        panels[whole, :, :left] = matrix[:, n - left :]
    return Matrix(panels, n, bias)


def multiply(x: Tensor, by: Matrix, *, into: Tensor | None = None) -> Tensor:
    """Multiply rows x (m, k) with a matrix (k, n), and add its bias; `into` (m, n) is added to.

    Each row's result is the same whatever other rows there are. For few rows: with many, PyTorch's product is as fast.
    """
    x = x.contiguous()
    out = x.new_empty(len(x), by.width) if into is None else into
    _run("multiply", x, by.panels, by.bias, *x.shape, by.width, into is not None, out)
    return out


def attend(heads: tuple[Tensor, Tensor, Tensor], looks: tuple[Tensor, Tensor], scaling: float) -> Tensor:
    """Let segments of queries (Q, H, D) see segments of keys and values (T, H_kv, D); gives (Q, H, D).

    looks: a row for each segment of queries (n, 6): where it starts and how many it has, and the same of the segment
    of keys that it sees all of (none: 0, 0) and of the one that it sees up to itself. And where the looks begin that
    see the same whole segment (groups + 1,).
    """
    query, key, value = (x.contiguous() for x in heads)
    out = torch.empty_like(query)
    _run("attend", query, key, value, query.shape[1], *key.shape[1:], *looks, len(looks[1]) - 1, scaling, out)
    return out


def attend_backward(
    heads: tuple[Tensor, Tensor, Tensor], slope: Tensor, looks: tuple[Tensor, Tensor], scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of query, key and value from that of what `attend` gave. Every key must be in some segment."""
    query, key, value, slope = (x.contiguous() for x in (*heads, slope))
    found = (torch.empty_like(query), torch.empty_like(key), torch.empty_like(value))
    shape = (query.shape[1], *key.shape[1:])
    _run("attend_backward", query, key, value, slope, *shape, *looks, len(looks[1]) - 1, scaling, *found)
    return found


def attend_step(
    heads: tuple[Tensor, Tensor, Tensor],
    *,
    cells: Tensor,
    slots: tuple[Tensor, Tensor],
    prompt: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    scaling: float,
) -> Tensor:
    """Let one new token a row see its slot's prompt and its own cell up to itself; keeps its key and value there.

    heads: query (n, H, D), key and value (n, H_kv, D). cells (n,): those of the rows, in order. slots: the lengths of
    the S slots' prompts (S,), and the columns of the cells that the new tokens go to (S,). prompt: keys
    (S, H_kv, D, P), values (S, H_kv, P, D). own: keys and values (S, H_kv, K, R, D). Gives (n, H, D).
    """
    heads = tuple(x if x.stride(1) == x.shape[2] and x.stride(2) == 1 else x.contiguous() for x in heads)  # type: ignore[assignment]
    n, H, D = heads[0].shape
    S, Hk, K, R, _ = own[0].shape
    first = torch.searchsorted(cells, torch.arange(S + 1) * K)
    out = heads[0].new_empty(n, H, D)
    rows = [part for x in heads for part in (x, x.stride(0))]
    shape, tokens = (H, Hk, D, cells, first, S, K, *slots), (*prompt, prompt[1].shape[2], *own, R)
    _run("attend_step", *rows, *shape, *tokens, scaling, out)
    return out


class LayerStep(NamedTuple):
    """What a layer of Llama or its kin needs for a new token a row, besides the tokens."""

    matrices: Sequence[Matrix]
    """Of query, key and value; after attention; of gate and up; after these. What weighs the norms is in them."""
    head_norm: Tensor | None
    """(H + H_kv, D): what weighs the norms of each head's query and key, where there are such."""
    epsilon: float
    scaling: float


def layer_step_(
    x: Tensor,
    layer: LayerStep,
    *,
    turn: tuple[Tensor, Tensor, Tensor],
    cells: Tensor,
    slots: tuple[Tensor, Tensor],
    prompt: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
) -> None:
    """Turn the states x (n, width) of one new token a row into those after a layer, which keeps their keys and values.

    turn: the angles (positions, D/2), and each row's place among them (n,). The rest is as for `attend_step`.
    """
    S, Hk, K, R, D = own[0].shape
    qkv, after, gate_up, down = layer.matrices
    H, inner, n = qkv.width // D - 2 * Hk, gate_up.width // 2, len(x)
    first = torch.searchsorted(cells, torch.arange(S + 1) * K)
    room = x.new_empty(n, after.width + 2 * (H + Hk) * D + 3 * inner)
    weights = (qkv.panels, qkv.bias, layer.head_norm, *(y for each in (after, gate_up, down) for y in each[::2]))
    shape = (H, Hk, D, cells, first, S, K, *slots)
    tokens = (*prompt, prompt[1].shape[2], *own, R)
    sizes = (n, after.width, inner, layer.epsilon)
    _run("layer_step", x, *sizes, *weights, *turn, *shape, *tokens, layer.scaling, room)


def weigh_(
    logits: Tensor, targets: Tensor, *, early: Tensor | None, end_id: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """Turn logits (N, V) into weights as `logprobs.weigh_` does; log-probabilities of the targets (N,), sums (N,)."""
    said, totals = logits.new_empty(len(logits)), logits.new_empty(len(logits))
    asked = (targets.contiguous(), early, end_id, 1 / temperature)
    _run("weigh", logits, *logits.shape, *asked, said, totals)
    return said, totals


def draw_(
    logits: Tensor, uniform: Tensor, *, early: Tensor | None, end_id: int, temperature: float, top_k: int
) -> tuple[Tensor, Tensor]:
    """Draw a token a row as `drawing.draw` does; logits (N, V) become weights, 1 for the likeliest.

    uniform (N,) float64; rows where early (N,) is True cannot draw `end_id`. Gives the tokens (N,) and the sums of all
    weights (N,).
    """
    tokens, totals = torch.empty(len(logits), dtype=torch.int64), logits.new_empty(len(logits))
    asked = (uniform.contiguous(), early, end_id, 1 / temperature, top_k)
    _run("draw", logits, *logits.shape, *asked, tokens, totals)
    return tokens, totals


# --- Compiling and calling -----------------------------------------------------------------------------


def _run(name: str, *arguments: Tensor | float | None) -> None:
    """Call a loop with tensors (or none) and numbers. Raises ValueError if a tensor does not lie as it expects."""
    library = _library()
    assert library is not None  # noqa: S101 - `suit` was asked
    given: list[float | None] = []
    for kind, each in zip(LOOPS[name], arguments, strict=True):
        if each is None or isinstance(each, (int, float)):
            given.append(each)
            continue
        if (kind != APART and not each.is_contiguous()) or (kind != OTHER and each.dtype != torch.float32):
            raise ValueError(f"{name} cannot read {tuple(each.shape)} of {each.dtype} with strides {each.stride()}")
        given.append(each.data_ptr())
    library[name](*given)


@cache
def _library() -> dict[str, Callable[..., None]] | None:
    """The compiled loops by name, or None where they cannot be had."""
    compiler = shutil.which("cc")
    if compiler is None or os.name != "posix":
        logger.info("There is no C compiler here: what could be joined into loops of machine code is not.")
        return None
    named = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), *map(str.encode, _machine())])).hexdigest()[:16]
    for folder in _folders():
        path = folder / f"kernels-{named}.so"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _compile(compiler, path)
            return _typed(ctypes.CDLL(str(path)))
        except OSError as error:
            logger.info("The loops in %s cannot be used: %s", path, error)
    return None


def _typed(library: ctypes.CDLL) -> dict[str, Callable[..., None]]:
    """The loops, which know what they are given."""
    loops: dict[str, Callable[..., None]] = {}
    for name, kinds in LOOPS.items():
        loop = library[name]
        loop.restype, loop.argtypes = None, tuple(KINDS[kind] for kind in kinds)
        loops[name] = loop
    return loops


def _machine() -> Iterator[str]:
    """What the machine code depends on."""
    yield from (platform.machine(), *CAREFUL, *FAST, *WIDE)
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        yield from sorted({line for line in cpu.read_text().splitlines() if line.startswith(("flags", "Features"))})


def _folders() -> Iterator[Path]:
    """Where compiled loops are kept; where no home can be written to, a folder for this process."""
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laurel"
    yield Path(tempfile.mkdtemp(prefix="laurel-"))


def _compile(compiler: str, path: Path) -> None:
    """Compile into a file that is there as a whole or not at all. Raises OSError if nothing can."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        said = ""
        for flags in ([*CAREFUL, *FAST, *WIDE], [*CAREFUL, *FAST], CAREFUL):
            command = [compiler, *flags, str(SOURCE), "-o", str(made), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                made.replace(path)
                return
            said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"
    raise OSError(f"{compiler} does not compile {SOURCE.name}: {said}")
