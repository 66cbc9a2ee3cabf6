"""A model worker without litellm, whose import takes five seconds, for tests of the code around it.

The stand-in for litellm sends requests to a server as OpenAI's clients do, and knows no list of
models. The process, its sandbox, channel, transport and the handling of results are arnode's own.
`tests/node/test_model.py` checks that it behaves as litellm does.
"""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from agent.worker.program import main

__all__ = ["main"]


class BadRequestError(Exception):
    """The error that litellm raises for an unknown model."""


async def acompletion(*, model: str, api_base: str, api_key: str, **asked: Any) -> Any:
    """Return the answer of the server at `api_base`, as an object."""
    from agent.worker.transport import noting_client

    body = {"model": model.partition("/")[2], **{name: asked[name] for name in _SENT}}
    async with noting_client() as client:
        response = await client.post(
            f"{api_base}/chat/completions",
            headers={"authorization": f"Bearer {api_key}"},
            json=body,
            timeout=asked["timeout"],
        )
    response.raise_for_status()
    return json.loads(response.content, object_hook=lambda fields: SimpleNamespace(**fields))


def get_model_info(model: str) -> Any:
    """Raise litellm's error, since no model is known."""
    raise BadRequestError(model)


def get_llm_provider(model: str) -> tuple[str, str]:
    """Return the model's name and the provider in front of it."""
    provider, _, name = model.rpartition("/")
    return name, provider


_SENT = ("messages", "max_tokens")
_HANDLER = "litellm.llms.custom_httpx.http_handler"
_litellm: Any = ModuleType("litellm")
_litellm.acompletion = acompletion
_litellm.get_model_info = get_model_info
_litellm.get_llm_provider = get_llm_provider
_litellm.exceptions = SimpleNamespace(BadRequestError=BadRequestError)
_handler: Any = ModuleType(_HANDLER)
_handler.AsyncHTTPHandler = SimpleNamespace()
sys.modules |= {"litellm": _litellm, _HANDLER: _handler}
