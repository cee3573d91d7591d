"""`holdfast module`: installed modules."""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import NotFoundError
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, fetch, node_is_running, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show, table

INSTALL_S_MAX = 300.0
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def install(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A .safe package, or a directory laid out like one.")],
    name: Annotated[str, typer.Option("-m", "--module", metavar="AM", help="Its name; else the file's.")] = "",
    number: Annotated[int | None, typer.Option("-M", metavar="ID", help="Its id, the same on all nodes.")] = None,
    replace: Annotated[bool, typer.Option("-r", help="Put new files under an installed module.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Install a module on this node. It does nothing until its configuration is applied.

    Example: holdfast module install shop.safe
    """
    if not source.exists():
        raise NotFoundError(f"{source}: no such file or directory")
    name = name or re.sub(r"[^A-Za-z0-9_-]+", "_", source.stem)
    if node_is_running():
        query = {"name": name, "replace": replace, **({} if number is None else {"id": number})}
        installed = call("POST", "modules", _package(source), query=query, timeout_s=INSTALL_S_MAX)
    else:
        from services.gateway.files import modules

        made = modules.install(load_settings(), source, name=name, number=number, replace=replace)
        installed = asdict(made)
    show(installed, as_json=as_json, text=f"{installed['module']}: installed with id {installed['id']}")


@app.command()
def uninstall(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Remove a module from this node, with its scripts, journal and logs; its data stay.

    Example: holdfast module uninstall -m shop
    """
    if node_is_running():
        call("DELETE", path_of("modules", module))
    else:
        from services.gateway.files import modules

        modules.uninstall(load_settings(), module)
    show({"module": module}, as_json=as_json, text=f"{module}: uninstalled")


@app.command("list")
def list_modules(as_json: JsonOption = False) -> None:
    """List the installed modules.

    Example: holdfast module list
    """
    found = call("GET", "modules") if node_is_running() else _listed()
    head = ("MODULE", "ID", "MODE", "HEART UDP", "RFS TCP", "INSTALLED")
    keys = ("module", "id", "mode", "heart_port", "replication_port", "installed_at")
    rows = [tuple(str(each[key]) or "-" for key in keys) for each in found]
    show(found, as_json=as_json, text=table([head, *rows]))


@app.command()
def package(
    module: ModuleOption,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Else AM.safe here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a module's edited configuration and scripts into a .safe package.

    Example: holdfast module package -m shop shop.safe
    """
    target = file or Path(f"{module}.safe")
    if node_is_running():
        target.write_bytes(fetch(path_of("modules", module, "package")))
    else:
        from services.gateway.files import modules

        modules.build(load_settings(), module, target)
    show({"module": module, "file": str(target)}, as_json=as_json, text=f"{target}: written")


def _package(source: Path) -> bytes:
    """The bytes to send: a directory is packed first."""
    if source.is_file():
        return source.read_bytes()
    from holdfast.config.package import build_package

    with tempfile.TemporaryDirectory(prefix="holdfast-package-") as directory:
        file = Path(directory, "package.safe")
        build_package(source, file)
        return file.read_bytes()


def _listed() -> list[Json]:
    from services.gateway.files import modules

    return [asdict(each) for each in modules.listed(load_settings())]
