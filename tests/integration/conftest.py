"""Fixtures of the integration tests: a node's directories and a real NATS server in them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import NodePlace


@pytest.fixture
def place() -> Iterator[NodePlace]:
    """The directories of a node called node1; removed afterwards."""
    made = NodePlace()
    yield made
    made.remove()


@pytest.fixture
def nats_server(place: NodePlace) -> Iterator[NatsServer]:
    """A running NATS server whose `bus.json` is in the run directory of `place`."""
    server = NatsServer(place.run_dir)
    server.start()
    yield server
    server.stop()
