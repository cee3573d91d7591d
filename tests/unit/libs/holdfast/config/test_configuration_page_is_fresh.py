"""docs/configuration.md is written from the table."""

from __future__ import annotations

from holdfast.config.document import PAGE, render


def test_configuration_page_fits_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `python -m holdfast.config.document`"
