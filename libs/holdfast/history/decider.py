"""One step of deciding: an event in, a state and orders out. State machine and replay run this same function."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from pydantic import TypeAdapter, ValidationError

from holdfast.core.authority import AuthorityRecord
from holdfast.core.decide import Orders, decide
from holdfast.core.evolve import evolve, initial, reconfigured
from holdfast.core.state import State
from holdfast.errors import StorageError
from holdfast.events.envelope import Envelope
from holdfast.events.module import ConfigurationApplied
from holdfast.history.translate import module_settings
from holdfast.ids import ModuleId, NodeId

DIGEST_CHARS = 24
"""96 bits: enough to tell any two decisions apart; the hash chain, not this, protects against forgery."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What one event led to. digest: over the state and the orders, recorded beside the event."""

    state: State
    orders: Orders
    digest: str


def first_state(applied: ConfigurationApplied, record: AuthorityRecord, *, module: ModuleId, node: NodeId) -> State:
    """Return the state of a module before its first event; raise ConfigError when the configuration does not fit."""
    return initial(module_settings(applied, module=module, node=node), record)


def step(state: State, envelope: Envelope[object]) -> Decision:
    """Fold one event and decide. Raises ConfigError for a configuration that was never checked."""
    if isinstance(envelope.payload, ConfigurationApplied):
        settings = module_settings(envelope.payload, module=state.settings.module, node=state.settings.node)
        state = reconfigured(state, settings)
    after = evolve(state, envelope)
    orders = decide(after)
    return Decision(state=after, orders=orders, digest=digest(after, orders))


def digest(state: State, orders: Orders) -> str:
    """Return what names this state and these orders."""
    hasher = hashlib.sha256(dump_state(state).encode())
    hasher.update(_orders_adapter().dump_json(orders, fallback=_plain, warnings=False))
    return hasher.hexdigest()[:DIGEST_CHARS]


def dump_state(state: State) -> str:
    """Return a state as JSON, the same text for the same state."""
    # A set has no order of its own, and the order of a Python set of strings differs from process to process.
    body = _state_adapter().dump_python(state, mode="json", fallback=_plain, warnings=False)
    body["groups"] = sorted(body["groups"])
    return _text_adapter().dump_json(body).decode()


def load_state(text: str) -> State:
    """Return the state in a snapshot; raise StorageError when it is not one of this program."""
    try:
        return _state_adapter().validate_json(text)
    except ValidationError as error:
        raise StorageError(
            f"snapshot cannot be read: {error.error_count()} problems: {error.errors()[0]['msg']}"
        ) from error


def _plain(value: object) -> object:
    """Read-only views of mappings are the one kind of value in a state that pydantic does not know."""
    assert isinstance(value, MappingProxyType), f"{type(value).__name__} in a state"
    return dict(value)


@cache
def _state_adapter() -> TypeAdapter[State]:
    return TypeAdapter(State)


@cache
def _orders_adapter() -> TypeAdapter[Orders]:
    return TypeAdapter(Orders)


@cache
def _text_adapter() -> TypeAdapter[object]:
    return TypeAdapter(object)
