"""What the routers work with, and the names they take from outside, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi import Path as InPath
from holdfast.errors import OperatorError
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.settings import NodeSettings

from services.gateway.asking import StateMachine
from services.gateway.hub import Hub

if TYPE_CHECKING:
    from holdfast.history.export import SpanExporter

    from services.gateway.recording import Recorder


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """One gateway: its node's settings, the state machine behind the bus, the newest facts, what exports spans and what
    records commands."""

    context: Context
    machine: StateMachine
    hub: Hub
    exporter: SpanExporter | None = None
    recorder: Recorder | None = None

    @property
    def settings(self) -> NodeSettings:
        return self.context.settings


def gateway_of(request: Request) -> Gateway:
    found: Gateway = request.app.state.gateway
    return found


GatewayHere = Annotated[Gateway, Depends(gateway_of)]
Module = Annotated[ModuleId, InPath(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of a module.")]
Resource = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_.:/-]{1,128}$", description="class.id")]


def checked_text(kind: str, text: str, chars_max: int) -> str:
    """Return `text` when it is short and has no control characters; raise OperatorError otherwise."""
    if len(text) > chars_max or any(not char.isprintable() and char not in "\t" for char in text):
        raise OperatorError(f"the {kind} is not acceptable", hint=f"at most {chars_max} printable characters")
    return text
