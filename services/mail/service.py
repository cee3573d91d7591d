"""The service: hears every fact, keeps those that are worth a mail, sends one mail with all of them after a while."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from dataclasses import replace
from datetime import UTC, datetime

from holdfast.bus import subjects
from holdfast.errors import HoldfastError, StorageError
from holdfast.events.envelope import Envelope
from holdfast.events.module import StateChanged
from holdfast.notification.event import Event, Kind, Watcher, is_wanted
from holdfast.notification.message import digest as digest_mail
from holdfast.notification.sending import send
from holdfast.notification.settings import load_credentials, load_notification
from holdfast.service.context import Context
from holdfast.service.run import ready
from holdfast.support.wording import Line, words_of_state

from services.mail import core, memory

TICK_S = 1.0
ASK_S_MAX = 5.0
ID_BYTES = 12
log = logging.getLogger("holdfast.mail")


class Mailer:
    """One node's mails. Everything that it waits for, it alone waits for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._watcher = Watcher()
        self._memory = memory.load(context.settings.state_dir)
        if self._memory.digest.waiting:
            self._change(digest=replace(self._memory.digest, due_at_s=self._now_s()))

    async def hear(self, envelope: Envelope[object]) -> None:
        """Take a fact."""
        event = self._watcher.take(envelope)
        if isinstance(envelope.payload, StateChanged):
            said = f"{envelope.payload.role} {envelope.payload.status}"
            self._change(states={**self._memory.states, envelope.module: said})
        if event is not None:
            self._add(event)

    async def catch_up(self) -> None:
        """Tell of states that were reached while this service was away; the state machine says what they are now."""
        subject = subjects.ask(self._context.settings.cluster, "statemachine", "state")
        try:
            answer = json.loads(await self._context.bus.ask(subject, b"{}", timeout_s=ASK_S_MAX))
            found = {str(m["module"]): (str(m["role"]), str(m["status"]), str(m["reason"])) for m in answer["modules"]}
        except (HoldfastError, ValueError, KeyError, TypeError) as error:
            log.info("the state machine did not say what modules are: %s", error)
            return
        for module, (role, status, reason) in found.items():
            before = self._memory.states.get(module)
            if before is not None and before != f"{role} {status}":
                self._add(self._missed(module, role, status, reason))
        self._change(states={module: f"{role} {status}" for module, (role, status, _) in found.items()})

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            if core.is_due(self._memory.digest, self._now_s()):
                await self._send()
            await asyncio.sleep(TICK_S)

    def _missed(self, module: str, role: str, status: str, reason: str) -> Event:
        now_wall_ns = self._context.clock.wall_ns()
        level, text = words_of_state(role, status, reason)
        line = Line(wall_ns=now_wall_ns, component="mail", level=level, text=f"{text}, reached unheard")
        return Event(kind=Kind.STATE, module=module, wall_ns=now_wall_ns, text=str(line))

    def _add(self, event: Event) -> None:
        try:
            settings = load_notification(self._context.settings.config_dir)
        except HoldfastError as error:
            log.warning("no mail will tell of an event: %s", error)
            return
        if is_wanted(event, settings.kinds):
            now_s = self._now_s()
            self._change(digest=core.added(self._memory.digest, event, now_s=now_s, delay_s=settings.delay_s))

    async def _send(self) -> None:
        taken, config_dir = self._memory.digest, self._context.settings.config_dir
        try:
            settings, credentials = load_notification(config_dir), load_credentials(config_dir)
            mail = digest_mail(
                settings,
                self._context.settings.node,
                taken.waiting,
                dropped=taken.dropped,
                now=datetime.now(UTC),
                number=secrets.token_hex(ID_BYTES),
            )
            await send(settings, credentials, mail)
        except HoldfastError as error:
            log.warning("a mail with %d events could not be sent: %s", len(taken.waiting), error)
            self._change(digest=core.failed(self._memory.digest, now_s=self._now_s()), problem=str(error))
            return
        left = core.sent(self._memory.digest, taken, now_s=self._now_s(), delay_s=settings.delay_s)
        wall_ns = self._context.clock.wall_ns()
        self._change(digest=left, sent=self._memory.sent + 1, sent_wall_ns=wall_ns, problem="")

    def _change(self, **changed: object) -> None:
        self._memory = replace(self._memory, **changed)  # type: ignore[arg-type]  # fields of Memory, named by callers
        try:
            memory.save(self._context.settings.state_dir, self._memory)
        except StorageError as error:
            # The events are still in memory, and in the journals.
            log.warning("events that wait for a mail would not survive this service: %s", error)

    def _now_s(self) -> float:
        return self._context.clock.mono_ns() / 1e9


async def serve(context: Context) -> None:
    """Set the service up and let it work until it is stopped."""
    mailer = Mailer(context)
    await context.on_events(mailer.hear)
    await ready(context)
    await mailer.catch_up()
    sending = asyncio.get_running_loop().create_task(mailer.run())
    stopping = asyncio.get_running_loop().create_task(context.stopping.wait())
    await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (sending, stopping):
        task.cancel()
    await asyncio.wait({sending, stopping})
    if not sending.cancelled():
        sending.result()
