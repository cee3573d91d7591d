"""`holdfast module`: installed modules."""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import NotFoundError, OperatorError
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, fetch, node_is_running, path_of
from services.gateway.cli.options import SCRIPTS_S_MAX, JsonOption, ModuleOption, show, show_scripts, table

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
    """Remove a stopped module from this node, with its scripts, journal and logs; its data stay.

    Its configuration is taken out of force before (script deconfig). A package of it is kept.

    Example: holdfast module uninstall -m shop
    """
    done = call("DELETE", path_of("modules", module), timeout_s=SCRIPTS_S_MAX) if node_is_running() else _gone(module)
    show_scripts(done["scripts"])
    show(done, as_json=as_json, text=f"{module}: uninstalled; {done['backup']} is kept of it")


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
def listid(as_json: JsonOption = False) -> None:
    """List the installed modules with their ids, by which ports are chosen; a module has the same id on all nodes.

    Example: holdfast module listid
    """
    found = call("GET", "modules") if node_is_running() else _listed()
    rows = [("MODULE", "ID"), *((str(each["module"]), str(each["id"])) for each in found)]
    show([{"module": each["module"], "id": each["id"]} for each in found], as_json=as_json, text=table(rows))


@app.command()
def getports(
    module: Annotated[
        str, typer.Option("-m", "--module", envvar="SAFEMODULE", metavar="AM", help="Of an installed module.")
    ] = "",
    number: Annotated[int, typer.Option("-i", "--id", metavar="ID", help="Of any module with this id.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print the ports of this node and of one module: the name of what uses it, then the port.

    Example: holdfast module getports -m shop
    """
    if not module and not number:
        raise OperatorError("which module?", hint="-m AM or -i ID")
    found = _ports("" if number else module, number)
    show(
        found,
        as_json=as_json,
        text="\n".join(f"{use['process']}\nport {use['protocol']} {use['port']}" for use in found),
    )


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


def _ports(module: str, number: int) -> list[Json]:
    if node_is_running():
        found: list[Json] = call("GET", "ports", query={"module": module} if module else {"id": number})
        return found
    from services.gateway.files import port_list

    settings = load_settings()
    uses = port_list.ports_of_module(settings, module) if module else port_list.ports_of_id(settings, number)
    return [asdict(use) for use in uses]


def _gone(module: str) -> Json:
    """Without a running node: nobody to ask, the files are what counts."""
    from services.gateway.files import applying, modules

    settings = load_settings()
    place = modules.module_place(settings, module)
    ran = applying.remove_offline(settings, module) if (place / "active").exists() else ()
    return {
        "module": module,
        "backup": str(modules.uninstall(settings, module)),
        "scripts": [asdict(each) for each in ran],
    }
