"""A dump: everything about one module on one node that helps to understand it, as files in a directory of its own."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.journal.port import READ_ROWS_MAX
from holdfast.settings import NodeSettings
from holdfast.support.command_log import FILE_NAME as COMMANDS
from holdfast.support.command_log import CommandLog
from holdfast.support.wording import Detail

from services.gateway import history
from services.gateway.files import modules
from services.gateway.files.cluster import cluster_info
from services.gateway.files.durable import disk
from services.gateway.files.information import configuration_info
from services.gateway.files.limits import LINES_MAX
from services.gateway.files.modules import DUMPS, module_place
from services.gateway.hub import as_json
from services.gateway.support.health import Observed, examine_health, report
from services.gateway.support.level import level
from services.gateway.support.machine import machine_parts

KEPT = 3
"""Dumps of a module, as many as the model keeps."""
SCRIPT_LOGS_MAX = 50
SCRIPT_LOG_BYTES_MAX = 1 << 20
SERVICE_LOG_BYTES_MAX = 1 << 20
"""The newest of each log."""
EVENTS_MAX = 5_000
TRACES_MAX = 20
PROBLEMS = "problems.txt"
_STAMP = "%Y-%m-%dT%H%M%S.%f"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What only a running node can tell. state: the module, as the state machine tells it, empty when it does not."""

    observed: Observed = field(default_factory=Observed)
    state: Mapping[str, object] | None = None


def make_dump(settings: NodeSettings, module: str, told: Told, now: datetime) -> Path:
    """Write a dump and return its directory; the oldest beyond KEPT go. What cannot be collected is named in it."""
    root = module_place(settings, module) / DUMPS
    with disk(root):
        root.mkdir(exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".dump.", dir=root))
        try:
            _fill(staging, settings, module, told)
            place = root / f"dump_{now.astimezone(UTC).strftime(_STAMP)}"
            staging.chmod(0o700)
            staging.rename(place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        for old in dumps(settings, module)[KEPT:]:
            shutil.rmtree(old)
    return place


def dumps(settings: NodeSettings, module: str) -> list[Path]:
    """The dumps of a module, newest first."""
    return sorted((module_place(settings, module) / DUMPS).glob("dump_*"), reverse=True)


def _fill(place: Path, settings: NodeSettings, module: str, told: Told) -> None:
    problems: list[str] = []
    parts = {**_module_parts(settings, module, told), **_node_parts(settings, told), **machine_parts()}
    for name, make in parts.items():
        try:
            data = make()
        except (HoldfastError, OSError) as error:
            problems.append(f"{name}: {error}")
            continue
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    for folder, files, bytes_max in (
        ("scripts", _script_logs(settings, module), SCRIPT_LOG_BYTES_MAX),
        ("services", sorted((settings.state_dir / "log").glob("*.log")), SERVICE_LOG_BYTES_MAX),
    ):
        for file in files:
            (place / folder).mkdir(exist_ok=True)
            try:
                (place / folder / file.name).write_bytes(tail(file, bytes_max))
            except OSError as error:
                problems.append(f"{folder}/{file.name}: {error}")
    if problems:
        (place / PROBLEMS).write_text("".join(f"{problem}\n" for problem in problems))


Part = Callable[[], bytes]


def _module_parts(settings: NodeSettings, module: str, told: Told) -> dict[str, Part]:
    place = module_place(settings, module)
    return {
        "log.txt": lambda: _log(settings, module, Detail.EVENTS),
        "log_verbose.txt": lambda: _log(settings, module, Detail.ALL),
        "log.csv": lambda: table(
            asdict(line) for line in history.log_lines(settings, module, count=LINES_MAX, detail=Detail.ALL)
        ),
        "resources.csv": lambda: table(map(asdict, history.resources(settings, module))),
        "resource_history.csv": lambda: _resource_history(settings, module),
        "states.csv": lambda: table(map(asdict, history.states(settings, module, READ_ROWS_MAX))),
        "commands.csv": lambda: table(map(asdict, history.commands(settings, module, READ_ROWS_MAX))),
        "journal.jsonl": lambda: _journal(settings, module),
        "state.json": lambda: _json(told.state or {}),
        "configuration.json": lambda: _json(asdict(configuration_info(settings, module))),
        "active/userconfig.xml": lambda: (place / "active" / "userconfig.xml").read_bytes(),
        "active/safeconf.xml": lambda: (place / "active" / "safeconf.xml").read_bytes(),
    }


def _node_parts(settings: NodeSettings, told: Told) -> dict[str, Part]:
    return {
        "healthcheck.txt": lambda: report(examine_health(settings, told.observed)).encode(),
        "level.json": lambda: _json(asdict(level())),
        "node.json": lambda: _json({"node": settings.node, "cluster": settings.cluster, "port": settings.http_port}),
        "cluster.json": lambda: _json(asdict(cluster_info(settings))),
        "cluster/cluster.xml": settings.cluster_file.read_bytes,
        "modules.csv": lambda: table(map(asdict, modules.listed(settings))),
        "services.csv": lambda: table(map(asdict, told.observed.services or ())),
        "cmdlog.csv": lambda: _command_log(settings),
        "traces.jsonl": lambda: _traces(settings),
    }


def _log(settings: NodeSettings, module: str, detail: Detail) -> bytes:
    lines = history.log_lines(settings, module, count=LINES_MAX, detail=detail)
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")


def _resource_history(settings: NodeSettings, module: str) -> bytes:
    with history.journal_of(settings, module) as journal:
        names = [each.resource for each in journal.resources()]
        return table(asdict(each) for name in names for each in journal.resource_history(name, limit=500))


def _journal(settings: NodeSettings, module: str) -> bytes:
    with history.journal_of(settings, module) as journal:
        records = islice(journal.read(after=max(0, journal.last_sequence() - EVENTS_MAX)), EVENTS_MAX)
        lines = (json.dumps({"sequence": record.sequence, **as_json(record.envelope)}) for record in records)
        return "".join(f"{line}\n" for line in lines).encode()


def _command_log(settings: NodeSettings) -> bytes:
    path = settings.state_dir / COMMANDS
    if not path.exists():
        return b""
    store = CommandLog(path, read_only=True)
    try:
        return table(map(asdict, store.read(limit=READ_ROWS_MAX)))
    finally:
        store.close()


def _traces(settings: NodeSettings) -> bytes:
    with history.spans_of(settings) as store:
        spans = (span for trace in store.traces(limit=TRACES_MAX) for span in store.read(trace.trace_id))
        return "".join(f"{json.dumps(asdict(span))}\n" for span in spans).encode()


def _script_logs(settings: NodeSettings, module: str) -> list[Path]:
    """The newest logs of script runs, by the dates in their names."""
    files = (module_place(settings, module) / "log").glob("userlog_*.ulog")
    return sorted(files, reverse=True)[:SCRIPT_LOGS_MAX]


def table(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows as CSV (RFC 4180) with the names of their fields at the top; nothing without rows."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\r\n")
            writer.writeheader()
        writer.writerow(row)
    return text.getvalue().encode(errors="replace")


def tail(file: Path, bytes_max: int) -> bytes:
    """The last bytes of a file."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - bytes_max))
        return stream.read(bytes_max)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, default=str).encode() + b"\n"
