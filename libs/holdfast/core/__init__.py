"""The decider: pure functions that say what a module becomes on this node, and who may hold the data.

    initial(settings, record) -> State      before the first event
    evolve(state, envelope) -> State        fold one event; no clock, no I/O
    decide(state) -> Orders                 the whole wanted condition

Duties of the caller, in this order, for every event:
1. append the event to the journal;
2. `after = evolve(before, envelope)`;
3. when `after.authority != before.authority`: commit the journal, then write the record durably (full fsync);
4. commit the journal (no fsync needed), then send those of `decide(after)` that differ from the last ones sent;
5. answer the command whose envelope id is `after.refusal.command`, when `after.refusal` is set;
6. arrange that `TimerFired` is fed at `wake_at_mono_ns` at the latest.
After a restart of its own process it replays the journal and writes the record again when it differs.
"""

from holdfast.core.authority import AuthorityRecord
from holdfast.core.decide import Orders, decide
from holdfast.core.evolve import evolve, initial, reconfigured
from holdfast.core.settings import ModuleSettings, ReplicationLink, Watches
from holdfast.core.state import Refusal, State

__all__ = [
    "AuthorityRecord",
    "ModuleSettings",
    "Orders",
    "Refusal",
    "ReplicationLink",
    "State",
    "Watches",
    "decide",
    "evolve",
    "initial",
    "reconfigured",
]
