"""`python -m services.witness`, and `holdfast witness run`: the process that gives leases."""

from __future__ import annotations

import argparse
import logging
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import EnvironmentFaultError, HoldfastError
from holdfast.witness.wire import DATAGRAM_BYTES_MAX, WITNESS_PORT, address_of

from services.witness.arbiter import Arbiter, Keys
from services.witness.store import Store

RECEIVE_BUFFER_BYTES = 1 << 18
"""A few hundred questions: more than all nodes of LEASES_MAX modules ask while one fsync takes a second."""

log = logging.getLogger("holdfast.witness")


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer until SIGTERM or SIGINT; return the exit code."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        arbiter = Arbiter(Store(given.state), Keys(tuple(given.key)))
        with open_socket(given.listen) as listening:
            log.info("the witness answers at %s, leases are in %s", listening.getsockname(), given.state)
            serve(listening, arbiter)
    except HoldfastError as error:
        sys.stderr.write(f"holdfast witness: {error}\n")
        return int(error.exit_code)
    return 0


def open_socket(listen: str) -> socket.socket:
    """Bind `address:port`; raises EnvironmentFaultError."""
    try:
        host, port = address_of(listen)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
        made = socket.socket(found[0], socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        made.bind(found[4])
    except (OSError, ValueError) as error:
        raise EnvironmentFaultError(
            f"the witness cannot listen on {listen}: {error}", hint="an address of this machine and a free port"
        ) from error
    return made


def serve(listening: socket.socket, arbiter: Arbiter) -> None:
    """One datagram after the other: what makes the lease atomic is that nothing else ever writes it."""
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    listening.setblocking(False)
    with selectors.DefaultSelector() as selector, woken, waking:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while all(key.fileobj is not woken for key, _ in selector.select()):
            _answer_one(listening, arbiter)
        signal.set_wakeup_fd(before)


def _answer_one(listening: socket.socket, arbiter: Arbiter) -> None:
    try:
        datagram, sender = listening.recvfrom(DATAGRAM_BYTES_MAX + 1)
        answer = arbiter.answer(datagram)
        if answer is not None:
            listening.sendto(answer, sender)
    except BlockingIOError:
        return
    except OSError as error:
        # Nobody listens there any more, or no way leads back: the node asks again.
        log.debug("an answer could not be sent: %s", error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast witness run", description="give leases to the nodes of clusters")
    parser.add_argument("--listen", default=f"0.0.0.0:{WITNESS_PORT}", help="address:port (UDP)")
    parser.add_argument("--state", type=Path, required=True, help="directory of the leases; must outlive a restart")
    parser.add_argument("--key", type=Path, action="append", default=[], help="a cluster's key file; may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main())
