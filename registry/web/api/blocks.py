"""Builds that administrators keep from everybody."""

from contextlib import suppress

from starlette.types import ASGIApp

from registry.catalog.blocks import Block
from registry.errors import BuildBlocked
from registry.web.api.answers import answer, page_answer
from registry.web.api.catalog_documents import time_text
from registry.web.api.documents import PREFIX
from registry.web.api.endpoints import Call
from registry.web.api.models import NewBlock, NoBody, NoQuery, PageQuery
from registry.web.api.policy_documents import BlockDocument
from registry.web.asgi.responses import BytesResponse


async def get_blocks(call: Call[PageQuery, NoBody]) -> ASGIApp:
    """List the builds that nobody gets, by key."""
    page = await call.catalog.blocks.list(after=call.query.after, limit=call.query.limit)
    return page_answer(call, page, block_document)


async def post_block(call: Call[NoQuery, NewBlock]) -> ASGIApp:
    """Keep a build, and its variants, from everybody, on every server from now on."""
    with suppress(BuildBlocked):  # by another reason, which is replaced
        await call.request.state["services"].builds.locked.lock(call.body.key)
    block = await call.catalog.blocks.block(call.actor, call.body.key, call.body.reason)
    return answer(201, block_document(block))


async def delete_block(call: Call[NoQuery, NoBody]) -> ASGIApp:
    """Let a build be had again, on every server from now on."""
    await call.catalog.blocks.unblock(call.actor, call.field("key"))
    return BytesResponse(204, [])


def block_document(block: Block) -> BlockDocument:
    """Return what is told of a build that is blocked."""
    return {
        "key": block.key,
        "reason": block.reason,
        "blocked_by": block.blocked_by,
        "at": time_text(block.at),
        "links": {
            "build": f"{PREFIX}/builds/{block.key}",
            "self": f"{PREFIX}/blocks/{block.key}",
        },
    }
