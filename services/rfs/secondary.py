"""The secondary: dials the primary, applies its stream in order, acknowledges, answers its questions.

Threads: one follows the stream (dials, receives, applies, acknowledges), some answer requests. Only the first one
touches the copy; a promotion asks it to apply what has arrived and to end.
"""

from __future__ import annotations

import logging
import mmap
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import HoldfastError, PeerError, StorageError, UnavailableError

from services.rfs import link, verdict
from services.rfs.applied import AppliedState
from services.rfs.applier import Applier, OutOfStepError
from services.rfs.changes import ChangeJournal
from services.rfs.core import checksum, codec, record
from services.rfs.core.limits import BODY_BYTES_MAX
from services.rfs.core.markers import Checkpoint, Confirmed, InStep, Probe
from services.rfs.core.operations import Operation
from services.rfs.link import Hello, Welcome
from services.rfs.outlet import pack_acknowledgement
from services.rfs.ports import Tree
from services.rfs.quarantine import Quarantine, QuarantineFullError
from services.rfs.serving import Probes, Server
from services.rfs.syncing import Syncing
from services.rfs.verdict import Comparison

log = logging.getLogger("holdfast.rfs.secondary")

RECEIVE_BYTES = 4 << 20
assert 2 * (BODY_BYTES_MAX + record.HEADER.size) <= RECEIVE_BYTES
RECEIVE_WHOLE_BYTES = 32 << 10
"""When more than this is missing of a record, one call waits for all of it."""
_WAIT_ALL = int(socket.MSG_WAITALL)
DIAL_PAUSE_S_MIN = 0.02
DIAL_PAUSE_S_MAX = 0.5
"""Between two attempts to reach the primary: short at first, because a restarted worker is back in tens of ms."""
FAILED_PAUSE_S = 2.0
"""Before the next attempt after this copy failed by itself: a full disk is not filled again at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimaryAddress:
    """Where the primary's rfs is and how we introduce ourselves."""

    local: str
    address: str
    port: int
    key: bytes
    module: str
    node: str
    fence_epoch: int
    send_timeout_ms: int
    quarantine: Path | None = None
    """Where diverging files are kept before they are overwritten; None when the copy has not diverged."""


class Secondary:
    """One period as secondary. `start` once, `finish` once."""

    def __init__(
        self,
        trees: Sequence[Tree],
        *,
        state: AppliedState,
        journal: ChangeJournal,
        primary: PrimaryAddress,
        full: bool = False,
        surveyed: Callable[[threading.Event], bool] = lambda ended: True,
        changed: Callable[[], None],
    ) -> None:
        """`surveyed` blocks until the journal knows what was changed while stopped, or until the event is set."""
        self._trees = trees
        self._state = state
        self._journal = journal
        self._primary = primary
        self._surveyed = surveyed
        self._changed = changed
        self._syncing = Syncing()
        self._probes = Probes(trees)
        self._applier = Applier(
            [tree.root_fd for tree in trees],
            state=state,
            journal=journal,
            syncing=self._syncing,
            changed=lambda tree, path: trees[tree].invalidate(path),
        )
        self._connection: socket.socket | None = None
        self._serving: list[socket.socket] = []
        self._verifying: socket.socket | None = None
        self._finishing = threading.Event()
        self._fresh = True
        self._thread = threading.Thread(target=self._run, name="rfs-follow", daemon=True)
        self._unconfirmed: tuple[int, int] | None = None
        """The number of the last checkpoint, and the segment of notes that ends with it."""
        self.connected = False
        self.failed = ""
        self.refused = ""
        self.quarantined_files = 0
        self.received_bytes = 0
        self.full = full
        """The next resync compares all contents, whatever the journals say."""
        self.applied_operations = 0

    @property
    def in_step_session(self) -> str:
        """The session whose marker has been applied, or empty."""
        return self._state.session if self._state.in_step else ""

    @property
    def position(self) -> int:
        return self._state.position

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Apply everything that has arrived, then end; returns when both are done."""
        self._finishing.set()
        for connection in (self._connection, self._verifying):
            try:
                if connection is not None:
                    connection.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # It has ended by itself.
        self._close_serving()
        if self._thread.ident is not None:
            self._thread.join()
        self._applier.close()
        self._syncing.close()

    def verify(self) -> Comparison:
        """Have the primary compare both copies (from any thread); raises UnavailableError when it cannot."""
        if not self.connected:
            raise UnavailableError("there is no primary to compare with", hint="wait until this node is ready")
        connection, welcome = self._dial("verify", self._state.session)
        with connection:
            if not welcome.accepted:
                raise UnavailableError(f"the primary refuses to compare: {welcome.reason}")
            self._verifying = connection
            try:
                found = verdict.decode(link.receive_message(connection))
            except OSError as error:
                raise UnavailableError(f"the primary does not answer: {error}") from error
            finally:
                self._verifying = None
        if found.error:
            raise UnavailableError(found.error)
        return found

    def _run(self) -> None:
        pause = DIAL_PAUSE_S_MIN
        if not self._surveyed(self._finishing):
            return
        while not self._finishing.is_set():
            try:
                self._follow()
                pause = DIAL_PAUSE_S_MIN
            except UnavailableError as error:
                log.debug("%s", error)
            except PeerError as error:
                self._say(refused=str(error))
            except (OutOfStepError, QuarantineFullError) as error:
                log.error("this copy is out of step: %s", error)
                self._leave_session(str(error))
                pause = FAILED_PAUSE_S
            except StorageError as error:
                log.error("%s", error)
                self._leave_session(str(error))
                pause = FAILED_PAUSE_S
            except OSError as error:
                log.error("this copy cannot go on: %s", error)
                self._leave_session(f"{error.filename or 'this copy'}: {error.strerror}")
                pause = FAILED_PAUSE_S
            self._finishing.wait(pause)
            pause = max(DIAL_PAUSE_S_MIN, min(2 * pause, DIAL_PAUSE_S_MAX))

    def _follow(self) -> None:
        """One connection, from dialling to its end."""
        if self._state.durable != self._state.position:
            self._sync_all()
        connection, welcome = self._dial("stream")
        if not welcome.accepted:
            connection.close()
            self._say(refused=welcome.reason)
            raise UnavailableError(f"the primary refuses the stream: {welcome.reason}")
        try:
            if not welcome.resumed:
                self._begin(welcome)
            elif welcome.session != self._state.session or welcome.position != self._state.position:
                raise PeerError("the primary resumes a stream at another place than this copy's")
            self._connection = connection
            self.connected = True
            self._say(refused="", failed="")
            self._serve(welcome)
            self._receive(connection, welcome)
        finally:
            self.connected = False
            self._connection = None
            connection.close()
            self._close_serving()
            self._changed()

    def _dial(self, purpose: str, session: str = "") -> tuple[socket.socket, Welcome]:
        primary = self._primary
        hello = Hello(
            module=primary.module,
            node=primary.node,
            purpose=purpose,
            fence_epoch=primary.fence_epoch,
            session=session or self._state.session,
            position=self._state.position,
            last_session=self._journal.last_session,
            rebooted=self._journal.rebooted,
            full=self.full,
            fast_checksum=checksum.FAST,
            census=True,
        )
        return link.dial(
            primary.local,
            primary.address,
            primary.port,
            key=primary.key,
            hello=hello,
            send_timeout_ms=primary.send_timeout_ms,
        )

    def _begin(self, welcome: Welcome) -> None:
        if welcome.epoch < self._primary.fence_epoch:
            raise PeerError(
                f"a primary of epoch {welcome.epoch} while this copy has seen epoch {self._primary.fence_epoch}"
            )
        self._state.begin(welcome.session, welcome.epoch, welcome.position)
        self._fresh = False
        directory = self._primary.quarantine
        self._applier.quarantine = Quarantine(directory) if directory is not None else None

    def _serve(self, welcome: Welcome) -> None:
        """Open the connections for the primary's questions, each with a thread that answers."""
        for _ in range(welcome.readers):
            connection, answer = self._dial("serve", welcome.session)
            if not answer.accepted or self._finishing.is_set():
                connection.close()
                raise UnavailableError(f"the primary refuses a connection for requests: {answer.reason}")
            self._serving.append(connection)
            threading.Thread(target=self._answer, args=(connection,), name="rfs-serve", daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            Server(self._trees, self._journal, self._probes).serve(connection)
        except OSError as error:
            log.debug("a connection for requests ended: %s", error)
        except HoldfastError as error:
            log.warning("a connection for requests is closed: %s", error)
        finally:
            connection.close()

    def _close_serving(self) -> None:
        while self._serving:
            connection = self._serving.pop()
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # Closed by the other side already.

    def _receive(self, connection: socket.socket, welcome: Welcome) -> None:
        """Receive, apply and acknowledge until the connection ends or a promotion wants it to."""
        buffer = memoryview(mmap.mmap(-1, RECEIVE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        start = filled = 0
        while True:
            missing = record.missing(buffer[start:filled])
            if missing > RECEIVE_BYTES - filled:
                buffer[: filled - start] = buffer[start:filled]
                start, filled = 0, filled - start
            try:
                # The rest of a large record is awaited whole, instead of waking for each packet of it.
                if missing > RECEIVE_WHOLE_BYTES:
                    count = connection.recv_into(buffer[filled:], missing, _WAIT_ALL)
                else:
                    count = connection.recv_into(buffer[filled:])
            except OSError as error:
                raise UnavailableError(f"the stream broke: {error}") from error
            if not count:
                return
            self.received_bytes += count
            filled += count
            start += self._apply_batch(connection, buffer[start:filled], welcome)
            if start == filled:
                start = filled = 0

    def _apply_batch(self, connection: socket.socket, received: memoryview, welcome: Welcome) -> int:
        """Apply the whole records received, make durable what they ask for, acknowledge; return the bytes used."""
        start = position = self._state.position
        if not welcome.on_disk:
            self._acknowledge(connection, position + _whole_bytes(received), position)
        epoch, fast = self._state.epoch, bool(welcome.fast_checksum)
        for found in record.read(received, 0, len(received), after=position, epoch=epoch, fast=fast):
            item = codec.decode(found.kind, found.tree, found.body)
            match item:
                case Probe():
                    self._syncing.flush()
                    self._probes.look(item)
                case Operation():
                    self._applier.apply(item, repeated=self._fresh)
                    self._fresh = False
                case InStep():
                    self._mark_in_step(item)
                case Checkpoint():
                    self._checkpoint(item)
                case Confirmed():
                    self._forget(item)
            position = found.position
            self._state.position = position
            self.applied_operations += 1
        if position == start:
            return 0
        try:
            self._syncing.flush()
        except OSError as error:
            raise OutOfStepError(f"data could not be made durable here: {error.strerror}") from error
        self._state.durable = position
        self._acknowledge(connection, position, position)
        return position - start

    def _acknowledge(self, connection: socket.socket, promised: int, applied: int) -> None:
        try:
            connection.sendall(pack_acknowledgement(promised, applied))
        except OSError as error:
            # What was received is applied all the same; the next connection says how far that is.
            log.debug("an acknowledgement could not be sent: %s", error)

    def _mark_in_step(self, item: InStep) -> None:
        self._syncing.flush()
        self._journal.last_session = item.session
        self._state.in_step = True
        self._applier.quarantine = None
        log.info("in step with the primary: session %s", item.session)
        self._changed()

    def _checkpoint(self, item: Checkpoint) -> None:
        """Everything applied becomes durable; what is noted from here on is kept apart."""
        self._sync_all()
        self._unconfirmed = None
        try:
            self._unconfirmed = (item.number, self._journal.rotate())
        except OSError as error:
            # Notes that stay cost a longer resync; a copy that gave up for them would protect nothing.
            log.warning("the change journal keeps its notes beyond a checkpoint: %s", error)

    def _forget(self, item: Confirmed) -> None:
        """The primary's disk has everything up to that checkpoint too: notes from before it are needed no more."""
        if self._unconfirmed is None or self._unconfirmed[0] != item.number or not self._state.in_step:
            return
        self._journal.drop_through(self._unconfirmed[1])
        self._journal.rebooted = False
        self._unconfirmed = None

    def _sync_all(self) -> None:
        """Make everything applied durable; a broken run may have left requests for it unanswered."""
        try:
            for tree in self._trees:
                self._syncing.add_whole(tree.root_fd)
            self._syncing.flush()
        except OSError as error:
            raise OutOfStepError(f"data could not be made durable here: {error.strerror}") from error
        self._state.durable = self._state.position

    def _leave_session(self, reason: str) -> None:
        """This copy cannot go on from where it is: the next connection attaches anew and is resynchronised."""
        self._state.begin("", 0, 0)
        self._say(failed=reason)

    def _say(self, *, refused: str | None = None, failed: str | None = None) -> None:
        before = (self.refused, self.failed)
        self.refused = self.refused if refused is None else refused
        self.failed = self.failed if failed is None else failed
        if self._applier.quarantine is not None:
            self.quarantined_files = self._applier.quarantine.files
        if self.refused and self.refused != before[0]:
            log.warning("refused: %s", self.refused)
        if before != (self.refused, self.failed):
            self._changed()


def _whole_bytes(received: memoryview) -> int:
    """Bytes of the whole records at the start of what was received."""
    at = 0
    while len(received) - at >= record.HEADER.size:
        length = record.HEADER.unpack_from(received, at)[0]
        if length > BODY_BYTES_MAX or at + record.HEADER.size + length > len(received):
            break
        at += record.HEADER.size + length
    return at
