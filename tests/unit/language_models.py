"""A tiny random causal language model on disk, and a server that speaks chat completions."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.unit.speech_checkpoints import byte_alphabet

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}<assistant>"


def write_language_model(folder: Path, *, template: str | None = None, positions: int = 8192) -> Path:
    """A tiny random Llama whose tokens are bytes and a few words."""
    words = ["Ġanger", "anger", "Ġsad", "ness"]
    vocabulary = {token: index for index, token in enumerate(["</s>", *byte_alphabet(), *words])}
    merges, pieces = [], {"Ġanger": ["Ġ", "a", "n", "g", "e", "r"], "ness": ["n", "e", "s", "s"]}
    for letters in pieces.values():
        for end in range(2, len(letters) + 1):
            pair = ("".join(letters[: end - 1]), letters[end - 1])
            vocabulary.setdefault("".join(pair), len(vocabulary))
            merges.append(pair)
    tokens = Tokenizer(models.BPE(vocabulary, merges))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokens.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="</s>", chat_template=template)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(vocabulary), **size, max_position_embeddings=positions, initializer_range=0.5,
        bos_token_id=None, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass
class ChatServer:
    """Chat completions as servers of language models speak them.

    Attributes:
        url: base address.
        mode: `logprobs`, `percentages` (refuses probabilities of tokens), `silent` (leaves them out), `odd` (answers
            something else), `hanging`, `broken` (status 500).
        tokens: {first token: its probability}.
        text: what is answered and streamed.
        requests: what was asked.
        authorizations: headers of that name.
    """

    url: str = ""
    mode: str = "logprobs"
    tokens: dict[str, float] = field(default_factory=lambda: {" sad": 0.6, "ang": 0.2, "hap": 0.1, "s": 0.05})
    text: str = '{"sadness": 75, "neutral": 25}'
    requests: list[dict] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A running server on this machine."""
    state = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(asked)
            state.authorizations.append(self.headers.get("Authorization"))
            if state.mode == "hanging":
                time.sleep(3)
            if state.mode == "broken" or self.path != "/v1/chat/completions":
                return self._send(500, b'{"error": "no memory left"}')
            if state.mode == "percentages" and asked.get("logprobs"):
                return self._send(400, b'{"error": "logprobs are not supported"}')
            if asked.get("stream"):
                return self._stream()
            return self._send(200, json.dumps(self._answer(asked)).encode())

        def _answer(self, asked: dict) -> dict:
            text = "I would rather not." if state.mode == "odd" else state.text
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            if asked.get("logprobs") and state.mode == "logprobs":
                top = [{"token": t, "logprob": float(torch.tensor(p).log())} for t, p in state.tokens.items()]
                choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
            usage = {"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51}
            return {
                "id": "1",
                "created": 0,
                "model": "m",
                "system_fingerprint": "",
                "choices": [choice],
                "usage": usage,
            }

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            head = {"id": "1", "created": 0, "model": "m", "system_fingerprint": ""}
            for word in () if state.mode == "hanging" else state.text.split():
                delta = {"index": 0, "delta": {"role": "assistant", "content": f"{word} "}}
                self.wfile.write(f"data: {json.dumps({**head, 'choices': [delta]})}\n\n".encode())
                self.wfile.flush()
            usage = {"prompt_tokens": 40, "completion_tokens": 7, "total_tokens": 47}
            self.wfile.write(f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
