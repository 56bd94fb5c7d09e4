"""Who writes the responses of a sampling job: the built-in engine, or a server that speaks OpenAI's API."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Protocol

import openai

from policy.config import refuse_server
from training.lm.generation import Generator, Sampling, before_stop
from training.records import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openai.types.chat.chat_completion import Choice

    from policy.config import SampleConfig
    from training.lm.encoder import Encoder
    from training.lm.generation import Response
    from training.records import Message, PromptLine

SERVERS_VARIABLE, KEY_VARIABLE = "LAUREL_SAMPLE_SERVERS", "LAUREL_SAMPLE_SERVER_KEY"
REQUESTS_AT_ONCE = 32
"""A server batches what it is asked at the same time."""
PATIENCE_SECONDS = 600.0
TRIES = 4
LOOK_SECONDS = 0.5
"""How long a request that waits may keep a job from hearing that it is to stop."""


class ServerUnusable(RuntimeError):  # noqa: N818
    """The server that is to write does not answer, refuses, or does not serve the model."""

    code = "sampling_server"


class WrongCount(ServerUnusable):
    """The server gave another number of choices than it was asked for."""

    code = "wrong_count"

    def __init__(self, url: str, model: str, *, wanted: int, given: int) -> None:
        """Name the server and what it did."""
        super().__init__(
            f"{url} was asked for {wanted} choices of {model} and gave {given}: it does not know OpenAI's parameter n. "
            "vLLM and SGLang do, and the built-in engine needs no server."
        )


class Engine(Protocol):
    """Writes a share of the K responses to each prompt, for one checkpoint."""

    ks: range
    """Which of the K responses are its."""

    def write(
        self,
        prompts: Sequence[PromptLine],
        *,
        seed: int,
        stop: Callable[[], bool],
        progress: Callable[[int], None] = lambda _: None,
    ) -> list[list[Sample]] | None:
        """One sample to each prompt and k; None soon after `stop` says so. `progress` hears how many have theirs."""
        ...


class BuiltIn:
    """Our own engine. Response k draws from the stream (seed, prompt, k); a rival's streams have names of their own."""

    def __init__(self, model: Any, encoder: Encoder, config: SampleConfig, *, by: str, ks: range) -> None:
        self.encoder, self.config, self.by, self.ks = encoder, config, by, ks
        self.generator = Generator(model, end_id=encoder.eos_id, pad_id=encoder.pad_id, decode=encoder.text)

    def write(
        self,
        prompts: Sequence[PromptLine],
        *,
        seed: int,
        stop: Callable[[], bool],
        progress: Callable[[int], None] = lambda _: None,
    ) -> list[list[Sample]] | None:
        """One sample to each prompt and k; None soon after `stop` says so. `progress` hears how many have theirs."""
        config = self.config
        rows = self.generator.generate(
            [self.encoder.prompt_ids(line.prompt) for line in prompts],
            keys=[line.id if self.by == "policy" else f"{line.id}\x1f{self.by}" for line in prompts],
            responses_per_prompt=len(self.ks),
            sampling=Sampling(
                max_new_tokens=config.max_new_tokens,
                min_new_tokens=config.min_new_tokens,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
                stop=config.stop,
                seed=seed,
            ),
            stop=stop,
            progress=progress,
        )
        if rows is None:
            return None
        return [[self._sample(k, response, seed) for k, response in zip(self.ks, row, strict=True)] for row in rows]

    def _sample(self, k: int, response: Response, seed: int) -> Sample:
        return Sample(
            k=k,
            text=readable(self.encoder.text(response.ids), self.config.stop),
            token_count=len(response.ids),
            logprob=sum(response.logprobs),
            finished=response.finished,
            seed=seed,
            by=self.by,
        )


class Server:
    """vLLM, SGLang, or any other server that answers OpenAI's chat completions with as many choices as it is asked for.

    Only addresses that LAUREL_SAMPLE_SERVERS allows are asked; LAUREL_SAMPLE_SERVER_KEY is the key. Each prompt's
    request has a seed of its own, made of the job's seed and the prompt.
    """

    def __init__(self, model: str, config: SampleConfig, *, by: str, ks: range) -> None:
        refuse_server(config.server, os.environ.get(SERVERS_VARIABLE, "").split(","))
        self.url, self.model, self.config, self.by, self.ks = config.server, model, config, by, ks
        self.client = openai.OpenAI(
            base_url=config.server,
            api_key=os.environ.get(KEY_VARIABLE, "").strip() or "none",
            max_retries=TRIES - 1,
            timeout=PATIENCE_SECONDS,
        )

    def check(self) -> None:
        """Refuse a server that does not answer, or does not serve the model. Raises ServerUnusable."""
        try:
            served = [each.id for each in self.client.models.list()]
        except openai.APIError as error:
            raise self._unusable(error) from error
        if self.model not in served:
            raise ServerUnusable(
                f"{self.url} serves {', '.join(served) or 'nothing'}, not {self.model}: start it with "
                f"`--served-model-name {self.model}`, or say in server_models what it calls that checkpoint"
            )

    def write(
        self,
        prompts: Sequence[PromptLine],
        *,
        seed: int,
        stop: Callable[[], bool],
        progress: Callable[[int], None] = lambda _: None,
    ) -> list[list[Sample]] | None:
        """One sample to each prompt and k; None soon after `stop` says so. `progress` hears how many have theirs."""
        pool = ThreadPoolExecutor(max_workers=REQUESTS_AT_ONCE, thread_name_prefix="sample")
        asked = [pool.submit(self._ask, line.prompt, seed_of(seed, line.id)) for line in prompts]
        try:
            waiting = set(asked)
            while waiting:
                if stop():
                    return None
                done, waiting = wait(waiting, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()
                progress(len(asked) - len(waiting))
            return [each.result() for each in asked]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, prompt: Sequence[Message], seed: int) -> list[Sample]:
        config, wanted = self.config, len(self.ks)
        ours = {"top_k": config.top_k, "min_tokens": config.min_new_tokens}  # OpenAI has no names for these
        try:
            said = self.client.chat.completions.create(
                model=self.model,
                messages=[{"role": turn.role, "content": turn.content} for turn in prompt],  # type: ignore[misc]
                n=wanted,
                seed=seed,
                max_tokens=config.max_new_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                stop=list(config.stop) or None,
                logprobs=True,
                extra_body={name: value for name, value in ours.items() if value},
            )
        except openai.APIError as error:
            raise self._unusable(error) from error
        if len(said.choices) != wanted:
            raise WrongCount(self.url, self.model, wanted=wanted, given=len(said.choices))
        choices = sorted(said.choices, key=lambda choice: choice.index)
        return [self._sample(k, choice, seed) for k, choice in zip(self.ks, choices, strict=True)]

    def _sample(self, k: int, choice: Choice, seed: int) -> Sample:
        tokens = choice.logprobs.content if choice.logprobs else None
        return Sample(
            k=k,
            text=readable(choice.message.content or "", self.config.stop),
            token_count=len(tokens) if tokens else None,
            logprob=sum(token.logprob for token in tokens) if tokens else None,
            finished=choice.finish_reason == "stop",
            seed=seed,
            by=self.by,
        )

    def _unusable(self, error: openai.APIError) -> ServerUnusable:
        if isinstance(error, openai.APIConnectionError):
            return ServerUnusable(f"nothing answers at {self.url}: is the server running there? ({error})")
        key = f"; {KEY_VARIABLE} says the key" if isinstance(error, openai.AuthenticationError) else ""
        return ServerUnusable(f"{self.url} refused to write with {self.model}: {error}{key}")


def seed_of(seed: int, prompt: str) -> int:
    """A prompt's own seed: 31 bits, which every server takes."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{prompt}".encode()).digest()[:4], "big") >> 1


def readable(text: str, stops: Sequence[str]) -> str:
    """Cut a text at the first of these stops, without the space around it."""
    return before_stop(text, stops).strip()
