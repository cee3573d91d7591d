"""The application: every router, and errors as answers."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from holdfast.errors import (
    ConfigError,
    EnvironmentFaultError,
    ExitCode,
    HoldfastError,
    NotFoundError,
    OperatorError,
    RefusedError,
    UnavailableError,
)
from starlette.types import ASGIApp

from services.gateway.api import (
    cluster,
    command_log,
    commands,
    control,
    events,
    history,
    log,
    metrics,
    modules,
    node,
    notification,
    probes,
    resources,
    rules,
    state,
    support,
)
from services.gateway.guard import Guard
from services.gateway.parts import Gateway
from services.gateway.recording import Recording

PREFIX = "/api/v1"
diagnostics = logging.getLogger("holdfast.gateway")

STATUS: tuple[tuple[type[HoldfastError], int], ...] = (
    (RefusedError, 409),
    (NotFoundError, 404),
    (ConfigError, 422),
    (OperatorError, 400),
    (UnavailableError, 503),
    (EnvironmentFaultError, 500),
)
"""HTTP status of our errors, the most special class first; any other is 500."""


def create_app(gateway: Gateway) -> ASGIApp:
    """Build the application around one gateway."""
    app = FastAPI(title="Holdfast", version="1", docs_url=None, redoc_url=None, openapi_url=f"{PREFIX}/openapi.json")
    app.state.gateway = gateway
    app.include_router(control.router, prefix=PREFIX)
    for router in (node.router, cluster.router, modules.router, commands.router, state.router):
        app.include_router(router, prefix=PREFIX)
    for router in (command_log.router, support.router, notification.router):
        app.include_router(router, prefix=PREFIX)
    for router in (resources.router, rules.router, log.router, history.router, events.router):
        app.include_router(router, prefix=PREFIX)
    app.include_router(probes.router)
    app.include_router(metrics.router)
    app.add_exception_handler(HoldfastError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    return Guard(Recording(app, gateway.recorder) if gateway.recorder is not None else app)


def _answer_ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HoldfastError)
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    if status >= 500:
        diagnostics.warning("a request failed: %s", error)
    problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else []
    body = {"error": error.message, "hint": error.hint, "exit_code": int(error.exit_code), "problems": problems}
    return JSONResponse(body, status)


def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}"[:500] for each in error.errors()[:20]]
    body = {"error": "the request is not valid", "hint": "", "exit_code": int(ExitCode.USAGE), "problems": problems}
    return JSONResponse(body, 400)
