"""The endpoints as tools of the Model Context Protocol: the public ones alone, with the roles of the page."""

import asyncio
import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ui.app import build_app, launch_options
from ui.backend.services import Services

pytest.importorskip("mcp", reason="the extra `mcp` is not installed")


@pytest.fixture
def url(page_services: Services) -> Iterator[str]:
    demo = build_app(page_services)
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, mcp_server=True, **launch_options(page_services))
    yield address
    demo.close()


def call(url: str, headers: dict[str, str], tool: str | None = None, **given: object) -> Any:
    """The tools, or what one of them answers."""
    client = importlib.import_module("mcp.client.streamable_http")
    session = importlib.import_module("mcp").ClientSession

    async def run() -> Any:
        async with client.streamablehttp_client(f"{url}gradio_api/mcp/", headers=headers) as (read, write, _):
            async with session(read, write) as one:
                await one.initialize()
                if tool is None:
                    return [found.name for found in (await one.list_tools()).tools]
                return await one.call_tool(tool, given)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result(timeout=120)


def test_tools_are_the_public_endpoints_with_their_roles(url: str) -> None:
    tools = call(url, {})
    assert {name.rpartition("_")[2] for name in tools} >= {"labels", "recognize", "register", "retrain"}
    assert not [name for name in tools if name.endswith("page") or "on_" in name]
    (labels,) = [name for name in tools if name.endswith("labels")]
    assert "anger" in str(call(url, {}, labels).content)
    (retrain,) = [name for name in tools if name.endswith("retrain")]
    refused = call(url, {"X-Forwarded-For": "93.184.216.34"}, retrain, rater="ann")
    assert "may not" in str(refused.content), "who comes through a proxy is not at the machine"
