"""The mail service as a real process, on a real bus, with a real mail server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from holdfast.errors import ConfigError, UnavailableError
from holdfast.events.membership import PeerLost
from holdfast.events.module import StateChanged
from holdfast.ids import ModuleId
from holdfast.notification.sending import send
from holdfast.notification.settings import Credentials, NotificationSettings, checked, save_notification
from holdfast.testing.fake_statemachine import FakeStateMachine, state_of
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess, run_with_bus

from tests.integration.mail.smtp_server import MailServer, certificate, mail_server

SHOP = ModuleId("shop")


def settings_for(port: int, **more: object) -> NotificationSettings:
    said = {"sender": "ha@example.org", "recipients": ["ops@example.org"], "host": "localhost", "port": port}
    return checked({"enabled": True, "delay_s": 0, **said, **more})


def changed(before: str, role: str, status: str = "Ready", reason: str = "a test") -> StateChanged:
    return StateChanged(role=role, status=status, previous_role=before, previous_status="Ready", epoch=7, reason=reason)


def with_mail(
    place: NodePlace, scenario: Callable[[Listener, ServiceProcess, MailServer, FakeStateMachine], Awaitable[None]]
) -> None:
    """Play a scenario with a bus, a mail server that the settings name, and the service, which the scenario starts."""

    async def play(listener: Listener, _nats: NatsServer) -> None:
        mails, machine = await mail_server(), FakeStateMachine()
        await machine.answer_on(listener.context)
        save_notification(place.config_dir, settings_for(mails.port))
        process = ServiceProcess(place, "services.mail")
        try:
            await scenario(listener, process, mails, machine)
        finally:
            await asyncio.to_thread(process.stop)
            await mails.close()

    run_with_bus(place, play)


async def started(listener: Listener, process: ServiceProcess) -> None:
    listener.forget()
    process.start()
    await listener.service_started("mail")


def test_one_mail_tells_of_a_failover_with_its_reason(place: NodePlace) -> None:
    async def scenario(
        listener: Listener, process: ServiceProcess, mails: MailServer, _machine: FakeStateMachine
    ) -> None:
        save_notification(place.config_dir, settings_for(mails.port, delay_s=2))
        await started(listener, process)
        lost = PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1003.0, evidence="")
        for fact in (
            lost,
            changed("SECOND", "ALONE", "Transient", "this node takes over"),
            changed("ALONE", "ALONE"),
        ):
            await listener.context.publish(SHOP, fact)
        await mails.mailbox.wait(mails=1)
        mail = mails.mailbox.mails[0]
        assert mail["Subject"] == "[Holdfast] node1: shop, 2 events"
        assert mail["To"] == "ops@example.org"
        text = mail.get_content()
        assert "shop | failover | " in text
        assert "this node takes over); Remote node is lost: silence after 1003 ms" in text
        assert "shop | state | " in text

    with_mail(place, scenario)


def test_mail_that_the_server_refuses_is_kept_and_sent_by_the_next_run(place: NodePlace) -> None:
    async def scenario(
        listener: Listener, process: ServiceProcess, mails: MailServer, _machine: FakeStateMachine
    ) -> None:
        mails.mailbox.refuses = "451 come back later"
        await started(listener, process)
        await listener.context.publish(SHOP, changed("WAIT", "PRIM"))
        await mails.mailbox.wait(refused=1)
        process.kill()
        waiting = json.loads((place.state_dir / "mail.json").read_text())["waiting"]
        assert [each["kind"] for each in waiting] == ["state"]
        mails.mailbox.refuses = ""
        await started(listener, process)
        await mails.mailbox.wait(mails=1)
        assert "Local state PRIM Ready" in mails.mailbox.mails[0].get_content()

    with_mail(place, scenario)


def test_state_that_was_reached_unheard_is_told(place: NodePlace) -> None:
    async def scenario(
        listener: Listener, process: ServiceProcess, mails: MailServer, machine: FakeStateMachine
    ) -> None:
        machine.modules["shop"] = state_of("shop", "SECOND", "Ready")
        await started(listener, process)
        await listener.context.publish(SHOP, changed("WAIT", "SECOND"))
        await mails.mailbox.wait(mails=1)
        process.kill()
        machine.modules["shop"] = state_of("shop", "ALONE", "Ready", reason="taken over")
        await started(listener, process)
        await mails.mailbox.wait(mails=2)
        assert "Local state ALONE Ready (taken over), reached unheard" in mails.mailbox.mails[1].get_content()

    with_mail(place, scenario)


def test_events_that_nobody_asked_for_make_no_mail(place: NodePlace) -> None:
    async def scenario(
        listener: Listener, process: ServiceProcess, mails: MailServer, _machine: FakeStateMachine
    ) -> None:
        save_notification(place.config_dir, settings_for(mails.port, events=["loop"]))
        await started(listener, process)
        await listener.context.publish(SHOP, changed("WAIT", "PRIM"))
        await listener.context.publish(SHOP, changed("PRIM", "STOP", "NotReady", "stopped by maxloop: by a test"))
        await mails.mailbox.wait(mails=1)
        text = mails.mailbox.mails[0].get_content()
        assert ("PRIM Ready" in text, "stopped by maxloop" in text) == (False, True)

    with_mail(place, scenario)


def trial_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ha@example.org", "ops@example.org", "trial"
    mail.set_content("trial\n")
    return mail


@pytest.mark.parametrize("protocol", ["starttls", "smtps"])
def test_tls_checks_who_the_server_is(tmp_path: Path, protocol: str) -> None:
    file, context = certificate(tmp_path)

    async def scenario() -> None:
        server = await mail_server(tls=context, starttls=protocol == "starttls")
        try:
            trusted = settings_for(server.port, protocol=protocol, ca_file=str(file))
            await send(trusted, Credentials(), trial_mail())
            assert server.mailbox.mails[0]["Subject"] == "trial"
            with pytest.raises(UnavailableError, match="certificate"):
                await send(settings_for(server.port, protocol=protocol), Credentials(), trial_mail())
        finally:
            await server.close()

    asyncio.run(scenario())


def test_signing_in_needs_tls_and_the_right_password(tmp_path: Path) -> None:
    file, context = certificate(tmp_path)

    async def scenario() -> None:
        server = await mail_server(tls=context, starttls=True, password="right")
        try:
            settings = settings_for(server.port, protocol="starttls", ca_file=str(file))
            await send(settings, Credentials(user="ha", password="right"), trial_mail())
            assert len(server.mailbox.mails) == 1
            with pytest.raises(UnavailableError, match="has not taken the mail"):
                await send(settings, Credentials(user="ha", password="wrong"), trial_mail())
            with pytest.raises(ConfigError, match="in the clear"):
                await send(settings_for(server.port), Credentials(user="ha", password="right"), trial_mail())
        finally:
            await server.close()

    asyncio.run(scenario())
