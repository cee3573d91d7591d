"""Writes the files by which scripts and units of systemd get the module's virtual host name."""

from __future__ import annotations

from pathlib import Path

from holdfast.config.model import VirtualHost
from holdfast.errors import ConfigError
from holdfast.scripting.host_name import drop_in_text, envfile_text

FILE_MODE = 0o644


def host_name_files(host: VirtualHost | None) -> tuple[str, ...]:
    """Their names, relative to the module's bin."""
    return () if host is None else (host.env_file, f"{host.env_file}.conf")


def write_host_name_files(host: VirtualHost | None, scripts: Path) -> None:
    """Write the envfile and, beside it, NAME.conf, into the directory with the scripts of a configuration.

    What a package has in that place is replaced; symbolic links have been refused with the package. Raises ConfigError
    when the place is taken by a directory.
    """
    if host is None:
        return
    for name, text in zip(host_name_files(host), (envfile_text(host.name), drop_in_text(host.name)), strict=True):
        file = scripts / name
        if file.is_dir():
            raise ConfigError(f"envfile {name} is a directory of the module's bin", hint="another name")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(FILE_MODE)
