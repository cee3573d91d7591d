"""Packages: what is installed, what is built, and what is refused without a trace."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from holdfast.config import package
from holdfast.config.layout import ENTRIES_MAX, FILE_BYTES_MAX
from holdfast.config.package import (
    build_package,
    check_handlers,
    install_package,
    list_package,
    read_userconfig,
    recover_install,
)
from holdfast.config.parse import parse_module
from holdfast.errors import ConfigError, EnvironmentFaultError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

USERCONFIG = b'<safe><service mode="mirror"><heart><heartbeat name="default"/></heart></service></safe>'
CONTENT = {"conf/userconfig.xml": USERCONFIG, "bin/start_prim": b"#!/bin/sh\n", "manifest.xml": b"<m/>"}


def write_zip(file: Path, content: dict[str, bytes], *extra: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        for info, data in extra:
            archive.writestr(info, data)
    return file


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refusal(tmp_path: Path, file: Path) -> str:
    """Installs over an existing module and checks that nothing has changed."""
    target = tmp_path / "modules" / "AM"
    target.mkdir(parents=True)
    (target / "kept").write_text("old")
    with pytest.raises(ConfigError) as caught:
        install_package(file, target)
    assert tree(target.parent) == {"AM/kept": b"old"}
    assert [path.name for path in target.parent.iterdir()] == ["AM"]
    return str(caught.value)


def test_package_is_installed_with_its_scripts_executable(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", CONTENT, (entry("web/", stat.S_IFDIR | 0o777), b""))
    target = tmp_path / "AM"
    install_package(file, target)
    assert tree(target) == CONTENT
    modes = {path.relative_to(target).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in target.rglob("*")}
    assert modes["bin/start_prim"] == modes["bin"] == modes["web"] == 0o755
    assert modes["conf/userconfig.xml"] == 0o644
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert read_userconfig(file) == read_userconfig(target) == USERCONFIG


def test_set_uid_does_not_survive(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", CONTENT, (entry("bin/su", stat.S_IFREG | 0o6777), b"x"))
    install_package(file, tmp_path / "AM")
    assert stat.S_IMODE((tmp_path / "AM/bin/su").stat().st_mode) == 0o755


def test_installing_replaces_the_whole_module(tmp_path: Path) -> None:
    target = tmp_path / "AM"
    install_package(write_zip(tmp_path / "one.safe", {**CONTENT, "bin/stop_prim": b"x"}), target)
    install_package(write_zip(tmp_path / "two.safe", CONTENT), target)
    assert tree(target) == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["AM", "one.safe", "two.safe"]


def test_installing_works_where_directories_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "AM"
    install_package(write_zip(tmp_path / "am.safe", {**CONTENT, "old": b""}), target)
    monkeypatch.setattr(package, "_exchanged", lambda one, other: False)
    install_package(write_zip(tmp_path / "am.safe", CONTENT), target)
    assert tree(target) == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["AM", "am.safe"]


def test_crash_between_two_renames_is_put_right(tmp_path: Path) -> None:
    previous = tmp_path / ".AM.previous"
    previous.mkdir()
    (previous / "kept").write_text("old")
    recover_install(tmp_path / "AM")
    assert tree(tmp_path) == {"AM/kept": b"old"}


def test_directory_of_the_same_layout_is_installed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    install_package(write_zip(tmp_path / "am.safe", CONTENT), source)
    install_package(source, tmp_path / "AM")
    assert tree(tmp_path / "AM") == CONTENT


def test_built_package_has_the_same_bytes_whatever_the_dates(tmp_path: Path) -> None:
    source = tmp_path / "source"
    install_package(write_zip(tmp_path / "am.safe", CONTENT), source)
    build_package(source, tmp_path / "one.safe")
    for path in source.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    build_package(source, tmp_path / "two.safe")
    assert (tmp_path / "one.safe").read_bytes() == (tmp_path / "two.safe").read_bytes()
    install_package(tmp_path / "one.safe", tmp_path / "AM")
    assert tree(tmp_path / "AM") == CONTENT


def test_built_package_leaves_out_what_is_excluded(tmp_path: Path) -> None:
    source = tmp_path / "source"
    install_package(write_zip(tmp_path / "am.safe", {**CONTENT, "log/a": b"", "bin/log": b""}), source)
    build_package(source, tmp_path / "out.safe", exclude=frozenset({"log"}))
    assert {str(entry.path) for entry in list_package(tmp_path / "out.safe")} == {*CONTENT, "bin/log"}


def test_directory_with_a_link_or_a_pipe_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    install_package(write_zip(tmp_path / "am.safe", CONTENT), source)
    (source / "bin/link").symlink_to("/etc/shadow")
    (source / "linked").symlink_to("/etc", target_is_directory=True)
    os.mkfifo(source / "pipe")
    with pytest.raises(ConfigError) as caught:
        build_package(source, tmp_path / "out.safe")
    assert len(caught.value.problems) == 3
    assert not (tmp_path / "out.safe").exists()


@pytest.mark.parametrize(
    "name",
    ["../evil", "bin/../../evil", "/etc/evil", "bin//x", "./x", "bin\\x", "C:/x", "a\nb", "x" * 256, "d/" * 17 + "x"],
)
def test_name_that_leaves_the_module_or_is_odd_is_refused(tmp_path: Path, name: str) -> None:
    text = refusal(tmp_path, write_zip(tmp_path / "am.safe", CONTENT, (entry(name), b"x")))
    assert "1 problem" in text or "one problem" in text


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (stat.S_IFLNK | 0o777, "is a symbolic link"),
        (stat.S_IFCHR | 0o666, "is neither a file nor a directory"),
        (stat.S_IFIFO | 0o666, "is neither a file nor a directory"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, mode: int, words: str) -> None:
    assert words in refusal(tmp_path, write_zip(tmp_path / "am.safe", CONTENT, (entry("bin/x", mode), b"/etc/passwd")))


def test_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    text = refusal(tmp_path, write_zip(tmp_path / "am.safe", {**CONTENT, "bin/bomb": b"\0" * 20_000_000}))
    assert "would unpack to 20000000 bytes" in text


def test_many_small_bombs_are_refused_together(tmp_path: Path) -> None:
    bombs = {f"bin/{n}": b"\0" * 1_000_000 for n in range(20)}
    assert "packed bytes would become" in refusal(tmp_path, write_zip(tmp_path / "am.safe", {**CONTENT, **bombs}))


def test_bomb_that_lies_about_its_size_stops_at_what_it_promised(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", {**CONTENT, "bin/bomb": b"\0" * 5_000_000})
    data = file.read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 5_000))
    file.write_bytes(data)
    assert "damaged package" in refusal(tmp_path, file)


def test_promised_size_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", {**CONTENT, "bin/big": b"x" * 12_345})
    file.write_bytes(file.read_bytes().replace(struct.pack("<I", 12_345), struct.pack("<I", FILE_BYTES_MAX + 1)))
    assert "would unpack" in refusal(tmp_path, file)


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", {**CONTENT, **{f"bin/{n}": b"" for n in range(ENTRIES_MAX)}})
    assert f"{ENTRIES_MAX + 3} entries" in refusal(tmp_path, file)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_same_name_twice_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path, write_zip(tmp_path / "am.safe", CONTENT, (entry("bin/start_prim"), b"other")))
    assert "the same name twice: bin/start_prim" in text


def test_file_that_is_also_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is a file and a directory" in refusal(tmp_path, write_zip(tmp_path / "am.safe", {**CONTENT, "bin": b""}))


def test_encrypted_entry_is_refused(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", CONTENT)
    data = bytearray(file.read_bytes())
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    file.write_bytes(data)
    assert "is encrypted" in refusal(tmp_path, file)


def test_package_without_userconfig_is_refused(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", {"bin/start_prim": b""})
    assert "conf/userconfig.xml is missing" in refusal(tmp_path, file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a zip at all",
        lambda data: data[: len(data) // 2],
        lambda data: data[-22:],
        lambda data: b"\0" * 100 + data[100:],
    ],
    ids=["empty", "text", "cut", "only its end", "overwritten start"],
)
def test_what_is_no_package_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = write_zip(tmp_path / "am.safe", CONTENT)
    file.write_bytes(damage(file.read_bytes()))
    refusal(tmp_path, file)


def test_package_in_zip64_form_is_refused(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "am.safe", CONTENT)
    data = file.read_bytes()
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 3, 3, 1 << 40, 0)
    locator = struct.pack("<IIQI", 0x07064B50, 0, len(data) - 22, 1)
    file.write_bytes(data[:-22] + record + locator + data[-22:])
    assert "zip64" in refusal(tmp_path, file)


def test_missing_package_is_the_environments_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFaultError, match="cannot be read"):
        install_package(tmp_path / "none.safe", tmp_path / "AM")


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(min_value=0), st.integers(0, 8), st.binary(max_size=8))
def test_damaged_package_is_listed_or_refused(tmp_path: Path, at: int, length: int, insert: bytes) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in CONTENT.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    whole = stream.getvalue()
    at %= len(whole) + 1
    file = tmp_path / "am.safe"
    file.write_bytes(whole[:at] + insert + whole[at + length :])
    with suppress(ConfigError):
        list_package(file)
        assert read_userconfig(file)


def test_handler_must_be_among_the_scripts(tmp_path: Path) -> None:
    text = USERCONFIG.replace(b"</service>", b'<user/><errd><proc name="a" action="fix.sh"/></errd></service>')
    config = parse_module(text, "userconfig.xml", {})
    file = write_zip(tmp_path / "am.safe", CONTENT)
    with pytest.raises(ConfigError, match=r"userconfig.xml:1:\d+: the handler 'fix.sh' is not in"):
        check_handlers(config, list_package(file))
    check_handlers(config, list_package(write_zip(file, {**CONTENT, "bin/fix.sh": b""})))
