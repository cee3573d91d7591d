"""What replication costs: the same work on a plain directory, on a replicated one, and on GlusterFS replica 2.

Run as root: `.venv/bin/python -m tests.bench.rfs_replicated [--seconds N] [--rounds N] [--only TEXT] [--no-gluster]`.
Both copies of each are on one disk. All take turns in each round, because a shared machine drifts; one line a figure,
medians, with the ratios to local and to GlusterFS.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.rfs_local import TIMED, Work, fio, small_files
from tests.bench.rfs_pair import pair

POSTGRES = Path("/usr/lib/postgresql/15/bin")
NAMESPACE = "holdfast-bench-gluster"
GLUSTER_ADDRESS = "10.231.0.1"
GLUSTER_PORT_WAIT_S = 20.0


def pgbench(clients: int) -> Work:
    """Transactions per second of `pgbench -s 10` on a database inside the directory."""

    def run(directory: Path, seconds: float) -> float:
        data = directory / "pg"
        sockets = Path(tempfile.mkdtemp(prefix="pgbench"))
        shutil.chown(sockets, "postgres")
        if not data.exists():
            data.mkdir()
            shutil.chown(data, "postgres")
            postgres("initdb", "-D", str(data), "-A", "trust", "--no-instructions")
        options = f"-c listen_addresses= -k {sockets}"
        postgres("pg_ctl", "-D", str(data), "-w", "-t", "60", "-o", options, "-l", "/dev/null", "start")
        try:
            if not (directory / "pgbench-filled").exists():
                postgres("pgbench", "-h", str(sockets), "-q", "-i", "-s", "10", "postgres")
                (directory / "pgbench-filled").touch()
            length = str(max(1, round(seconds)))
            said = postgres("pgbench", "-h", str(sockets), "-c", str(clients), "-j", "2", "-T", length, "postgres")
        finally:
            postgres("pg_ctl", "-D", str(data), "-m", "fast", "-w", "stop")
            shutil.rmtree(sockets, ignore_errors=True)
        found = re.search(r"tps = ([0-9.]+)", said)
        assert found is not None, said
        return float(found.group(1))

    return run


def postgres(program: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs as its user."""
    command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", str(POSTGRES / program)]
    done = subprocess.run(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=300, cwd="/"
    )
    done.check_returncode()
    return done.stdout


WORKS: dict[str, Work] = {
    "fsync_4k_per_s": fio("--bs=4k", "--rw=randwrite", "--fsync=1", *TIMED),
    "small_files_per_s": small_files,
    "sequential_1m_mb_s": fio("--bs=1M", "--rw=write", "--end_fsync=1", "--size=256M"),
    "cached_read_4k_per_s": fio("--bs=4k", "--rw=randread", "--pre_read=1", *TIMED),
    "pgbench_1_tps": pgbench(1),
    "pgbench_8_tps": pgbench(8),
}


@contextmanager
def gluster(base: Path) -> Iterator[Path]:
    """A volume `replica 2` with both bricks on this disk, served and mounted in namespaces of their own."""
    names = ("one", "two")
    run("ip", "netns", "add", NAMESPACE)
    inside = ("ip", "netns", "exec", NAMESPACE)
    mount = base / "mounted"
    mount.mkdir()
    for name in names:
        (base / name).mkdir()
    state = base / "state"
    for part in ("lib", "log", "run"):
        (state / part).mkdir(parents=True)
    settle = (
        f"mount --bind {state}/lib /var/lib/glusterd && mount --bind {state}/log /var/log/glusterfs && "
        f"mount --bind {state}/run /run && mkdir -p /run/gluster && exec glusterd -N -p /run/glusterd.pid"
    )
    daemon: subprocess.Popen[bytes] | None = None
    try:
        run(*inside, "ip", "address", "add", f"{GLUSTER_ADDRESS}/32", "dev", "lo")
        run(*inside, "ip", "link", "set", "lo", "up")
        daemon = subprocess.Popen(
            [*inside, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", settle]
        )
        inner = ("nsenter", "-t", str(_child(daemon.pid)), "-m", "-p", "-n")
        bricks = [f"{GLUSTER_ADDRESS}:{base / name}" for name in names]
        create = ("gluster", "--mode=script", "volume", "create", "bench", "replica", "2", *bricks, "force")
        _until(lambda: subprocess.run([*inner, *create], capture_output=True).returncode == 0)
        run(*inner, "gluster", "--mode=script", "volume", "start", "bench")
        # The client's mount must be seen by the workloads, so only its network is the namespace's.
        run(
            "nsenter",
            f"--net=/run/netns/{NAMESPACE}",
            "glusterfs",
            "--log-file=/dev/null",
            f"-s{GLUSTER_ADDRESS}",
            "--volfile-id=bench",
            str(mount),
        )
        _until(lambda: os.path.ismount(mount))
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], capture_output=True)
        if daemon is not None:
            daemon.kill()
            daemon.wait()
        subprocess.run(["ip", "netns", "delete", NAMESPACE], capture_output=True)


def _child(pid: int) -> int:
    """The one child of a process, when it has come."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    _until(lambda: path.read_text().split())
    return int(path.read_text().split()[0])


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + GLUSTER_PORT_WAIT_S

    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("GlusterFS did not come up")
        time.sleep(0.2)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--under", default="/var/tmp", help="directory on the disk to measure")
    parser.add_argument("--no-gluster", action="store_true")
    chosen = parser.parse_args()
    # A time limit's SIGTERM must leave neither mounts nor namespaces behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.under, prefix="rfs-bench-")))
        base.chmod(0o755)
        local = base / "local"
        local.mkdir()
        places = {"local": local}
        if not chosen.no_gluster:
            (base / "gluster").mkdir()
            places["gluster"] = stack.enter_context(gluster(base / "gluster"))
        (base / "pair").mkdir()
        one, _ = stack.enter_context(pair(base / "pair"))
        places["replicated"] = one.directory
        for name, work in WORKS.items():
            if chosen.only in name:
                _measure(name, work, places, chosen.rounds, chosen.seconds)
        compared = one.verify()
        print(f"replicas_equal={compared['equal']} files={compared['files']} bytes={compared['bytes']}")
    return 0


def _measure(name: str, work: Work, places: dict[str, Path], rounds: int, seconds: float) -> None:
    figures: dict[str, list[float]] = {place: [] for place in places}
    for _ in range(rounds):
        for place, directory in places.items():
            figures[place].append(work(directory, seconds))
    found = {place: statistics.median(values) for place, values in figures.items()}
    line = f"{name:22} " + " ".join(f"{place}={value:.0f}" for place, value in found.items())
    line += f" of_local={found['replicated'] / found['local']:.2f}"
    if "gluster" in found:
        line += f" of_gluster={found['replicated'] / found['gluster']:.2f}"
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
