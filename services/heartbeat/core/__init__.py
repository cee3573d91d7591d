"""PURE failure detector: standard library only, no clock, no I/O."""

from services.heartbeat.core.detector import (
    EVIDENCE_QUESTIONS_MIN,
    EVIDENCE_SILENCE_MIN_NS,
    Detector,
    Found,
    Lifeline,
    LinkChanged,
    Lost,
    Reason,
    Suspected,
    Verdict,
)
from services.heartbeat.core.link import LinkTiming
from services.heartbeat.core.tally import Tally

__all__ = [
    "EVIDENCE_QUESTIONS_MIN",
    "EVIDENCE_SILENCE_MIN_NS",
    "Detector",
    "Found",
    "Lifeline",
    "LinkChanged",
    "LinkTiming",
    "Lost",
    "Reason",
    "Suspected",
    "Tally",
    "Verdict",
]
