"""Whether SIGTERM means the end of the node or only of one service."""

from __future__ import annotations

import asyncio

from holdfast.settings import NodeSettings

ANSWER_S_MAX = 0.2
"""Connecting to this node itself takes microseconds; a loaded machine gets time."""


async def node_is_ending(settings: NodeSettings) -> bool:
    """Return True when the supervisor is gone or has begun to end its services.

    The supervisor closes its lifeline before it ends services, and its death closes it too; a service that is only
    restarted finds it open. Without a supervisor (a service run by hand) the end of the service counts as the end.
    """
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            _, writer = await asyncio.open_connection("127.0.0.1", settings.lifeline_port)
    except (OSError, TimeoutError):
        return True
    writer.close()
    return False
