"""A real mail server in the test's own loop: it takes mails, over TLS and after signing in where that is asked for.

As a program, for the lab: `python -m tests.integration.mail.smtp_server ADDRESS PORT FILE`.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

WAIT_S_MAX = 20.0


@dataclass
class Mailbox:
    """mails: as they came. refuses: what the server answers instead of taking them, while it is set."""

    mails: list[EmailMessage] = field(default_factory=list)
    refuses: str = ""
    refused: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        async with self.news:
            if self.refuses:
                self.refused += 1
                self.news.notify_all()
                return self.refuses
            content = envelope.content
            assert isinstance(content, bytes)
            message = BytesParser(policy=default).parsebytes(content)
            assert isinstance(message, EmailMessage)
            self.mails.append(message)
            self.news.notify_all()
            return "250 taken"

    async def wait(self, *, mails: int = 0, refused: int = 0) -> None:
        async with asyncio.timeout(WAIT_S_MAX), self.news:
            await self.news.wait_for(lambda: len(self.mails) >= mails and self.refused >= refused)


@dataclass(frozen=True, kw_only=True)
class MailServer:
    mailbox: Mailbox
    port: int
    server: asyncio.Server

    async def close(self) -> None:
        self.server.close()


async def mail_server(
    *,
    tls: ssl.SSLContext | None = None,
    starttls: bool = False,
    password: str = "",
    address: str = "127.0.0.1",
    port: int = 0,
) -> MailServer:
    """Listen on an address. tls: over TLS from the first byte, or (starttls) after the command of that name."""
    mailbox = Mailbox()

    def authenticate(
        _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"ha", password.encode()))

    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            mailbox,
            hostname="localhost",
            loop=loop,
            tls_context=tls if starttls else None,
            require_starttls=starttls,
            auth_required=bool(password),
            auth_require_tls=starttls,
            authenticator=authenticate if password else None,
        )

    server = await loop.create_server(protocol, address, port, ssl=tls if not starttls else None)
    return MailServer(mailbox=mailbox, port=server.sockets[0].getsockname()[1], server=server)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that vouches for itself, and the server's side of it."""
    file, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    return file, context


async def _serve(address: str, port: int, out: Path) -> None:
    """Write the text of every mail that comes into a file, until ended."""
    server = await mail_server(address=address, port=port)
    for count in itertools.count(1):
        async with server.mailbox.news:
            await server.mailbox.news.wait_for(lambda count=count: len(server.mailbox.mails) >= count)  # type: ignore[misc]
        mail = server.mailbox.mails[count - 1]
        with out.open("a") as file:
            file.write(f"{mail['Subject']}\n{mail.get_content()}\n")


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
