"""Errors of the lab."""

from __future__ import annotations

from holdfast.errors import EnvironmentFaultError, NotFoundError, OperatorError


class LabError(EnvironmentFaultError):
    """The machine refused something that the lab needs: a namespace, a mount, a link."""


class LabUsageError(OperatorError):
    """The lab cannot do what was asked, because of what was asked."""


class LabNotFoundError(NotFoundError):
    """There is no such lab, node, lan or service."""
