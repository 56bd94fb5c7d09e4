"""The one encoder: what the policy samples, the reward model scores and PPO updates are the same token ids."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from training.records import Message


class BadTokenizer(ValueError):  # noqa: N818 - named for what is wrong
    """The tokenizer cannot be trained with as it is; the message says how to mend it."""

    code = "bad_tokenizer"


class Encoder:
    """Turns messages into token ids through the tokenizer's own chat template, and back.

    A response is always encoded by itself and appended to the prompt's ids, in training as in scoring, so that a
    token never straddles the border between what was given and what was written.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        if tokenizer.eos_token_id is None:
            raise BadTokenizer("the tokenizer has no end token: set eos_token in its tokenizer_config.json")
        if tokenizer.pad_token_id is None:
            raise BadTokenizer(
                "the tokenizer has no pad token: add one of its own "
                '(tokenizer.add_special_tokens({"pad_token": "<|pad|>"}), then model.resize_token_embeddings)'
            )
        if tokenizer.pad_token_id == tokenizer.eos_token_id:
            raise BadTokenizer(
                f"the pad token is the end token ({tokenizer.eos_token!r}), so real ends would be masked as padding: "
                'give padding a token of its own (tokenizer.add_special_tokens({"pad_token": "<|pad|>"}))'
            )
        if not tokenizer.chat_template:
            raise BadTokenizer(
                "the tokenizer has no chat template: save one as chat_template.jinja beside it, "
                "or choose a base model that has one"
            )
        self.pad_id: int = tokenizer.pad_token_id
        self.eos_id: int = tokenizer.eos_token_id
        self._specials: tuple[str, ...] = tuple(tokenizer.all_special_tokens)

    def prompt_ids(self, messages: Iterable[Message] | Iterable[dict[str, str]]) -> list[int]:
        """Encode a conversation and the words that open the assistant's turn, with BOS where the template has it."""
        plain = _plain(messages)
        if any(special in message["content"] for message in plain for special in self._specials):
            return self._guarded_prompt_ids(plain)
        return self._ids(self._render(plain), specials=True)

    def response_ids(self, text: str, *, end: bool = True) -> list[int]:
        """Encode a response by itself, with the end token unless it was cut off."""
        ids = self._ids(text)
        return [*ids, self.eos_id] if end else ids

    def conversation(self, messages: Sequence[Message] | Sequence[dict[str, str]]) -> tuple[list[int], list[bool]]:
        """Encode a whole conversation; the mask is True on what the assistant wrote (and on the ends of its turns).

        The ids are those that sampling sees: each assistant turn follows `prompt_ids` of the turns before it, and
        its end token is followed by whatever the template puts between turns.
        """
        ids: list[int] = []
        mask: list[bool] = []
        plain = _plain(messages)
        for index, message in enumerate(plain):
            if message["role"] != "assistant":
                continue
            before = self.prompt_ids(plain[:index])
            if before[: len(ids)] != ids:
                raise BadTokenizer(
                    "the chat template changes earlier turns when later ones are added, so a conversation of several "
                    "turns cannot be trained on in one piece: split it, or mend the template"
                )
            response = self.response_ids(message["content"])
            mask += [False] * (len(before) - len(ids)) + [True] * len(response)
            ids = before + response
        return ids, mask

    def plain_ids(self, text: str) -> list[int]:
        """Encode a plain text, without a template and without special tokens around it."""
        return self._ids(text)

    def text(self, ids: Iterable[int]) -> str:
        """Decode ids to text, without special tokens; `text(response_ids(x)) == x` for byte-level tokenizers."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def bytes_of(self, token: int) -> bytes | None:
        """Give the bytes that a token stands for, which may be part of a letter; None where nothing says which."""
        text = str(self.tokenizer.decode([token]))
        if "\ufffd" not in text:
            return text.encode()
        piece = str(self.tokenizer.convert_ids_to_tokens(token))
        if byte := re.fullmatch("<0x([0-9A-F]{2})>", piece):
            return bytes.fromhex(byte[1])
        return bytes(_BYTES[letter] for letter in piece) if all(letter in _BYTES for letter in piece) else None

    def _guarded_prompt_ids(self, messages: list[dict[str, str]]) -> list[int]:
        """Encode turns in which somebody wrote what looks like a special token: there it is plain text."""
        marks = [f" \ue000{index}\ue001 " for index in range(len(messages))]
        text = self._render([{**message, "content": mark} for message, mark in zip(messages, marks, strict=True)])
        ids: list[int] = []
        for piece in re.split("( ?\ue000[0-9]+\ue001 ?)", text):
            if "\ue000" not in piece:
                ids += self._ids(piece, specials=True)
                continue
            content = messages[int(piece.strip()[1:-1])]["content"]
            ids += self._ids(content if piece in marks else content.strip())  # some templates strip
        return ids

    def _render(self, messages: list[dict[str, str]]) -> str:
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str, *, specials: bool = False) -> list[int]:
        ids: list[int] = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=not specials, verbose=False
        )["input_ids"]
        return ids


def _bytes_of_letters() -> dict[str, int]:
    """Which byte each letter stands for in the vocabulary of a byte-level tokenizer, as GPT-2 chose them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _bytes_of_letters()


def _plain(messages: Iterable[Message] | Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [
        message if isinstance(message, dict) else {"role": message.role, "content": message.content}
        for message in messages
    ]
