"""Ports that follow from module ids."""

from __future__ import annotations

import pytest
from holdfast.config.ports import farm_port, heart_port, module_number, replication_port


def test_ports_are_those_of_the_model() -> None:
    assert [heart_port(module_number(number)) for number in (1, 2, 255)] == [8888, 8889, 9142]
    assert [replication_port(module_number(number)) for number in (1, 2, 255)] == [5600, 5604, 6616]
    assert [farm_port(module_number(number)) for number in (1, 2, 255)] == [4803, 4806, 5565]


@pytest.mark.parametrize("number", [0, -1, 256])
def test_module_id_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="not between 1 and 255"):
        module_number(number)
