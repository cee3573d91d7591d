"""Services that an operator has switched on run beside those that modules need."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.supervisor.registry import SERVICES
from services.supervisor.wanted import FILE_NAME, NODE_FILE_NAME, WantedServices


@pytest.fixture
def wanted(tmp_path: Path) -> WantedServices:
    return WantedServices(tmp_path, SERVICES)


def test_both_lists_count(wanted: WantedServices, tmp_path: Path) -> None:
    always = SERVICES.always
    try:
        assert wanted.read() == always
        (tmp_path / NODE_FILE_NAME).write_text('{"services": ["mail"]}')
        assert wanted.read() == (*always, "mail")
        (tmp_path / FILE_NAME).write_text('{"services": ["rfs@shop", "mail"]}')
        assert wanted.read() == (*always, "rfs@shop", "mail")
        (tmp_path / NODE_FILE_NAME).write_text("rubbish")
        assert wanted.read() is None
    finally:
        wanted.close()
