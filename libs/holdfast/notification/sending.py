"""Hands a mail to a mail server (SMTP, RFC 5321; TLS, RFC 3207 and 8314)."""

from __future__ import annotations

import asyncio
import ssl
from email.message import EmailMessage

from holdfast.errors import ConfigError, UnavailableError
from holdfast.notification.settings import Credentials, NotificationSettings, Protocol

SEND_S_MAX = 30.0
"""For the whole conversation."""
STEP_S_MAX = 15.0
"""For each step of it."""


async def send(settings: NotificationSettings, credentials: Credentials, message: EmailMessage) -> None:
    """Return when the server has taken the mail for at least one recipient; raise UnavailableError otherwise, and
    ConfigError for a file of certificates that cannot be used, or a password that would be sent in the clear."""
    if settings.protocol is Protocol.PLAIN and credentials.user:
        raise ConfigError("no password is sent in the clear", hint="protocol starttls or smtps, or no credentials")
    # Imported here because few nodes send mails.
    import aiosmtplib

    try:
        async with asyncio.timeout(SEND_S_MAX):
            await aiosmtplib.send(
                message,
                hostname=settings.host,
                port=settings.server_port,
                username=credentials.user or None,
                password=credentials.password or None,
                use_tls=settings.protocol is Protocol.SMTPS,
                start_tls=settings.protocol is Protocol.STARTTLS,
                tls_context=_tls(settings),
                timeout=STEP_S_MAX,
            )
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        place = f"{settings.host}:{settings.server_port}"
        raise UnavailableError(f"the mail server {place} has not taken the mail: {_why(error)}") from error


def _tls(settings: NotificationSettings) -> ssl.SSLContext | None:
    if settings.protocol is Protocol.PLAIN:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{settings.ca_file}: {error}", hint="certificates in PEM form") from error


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
