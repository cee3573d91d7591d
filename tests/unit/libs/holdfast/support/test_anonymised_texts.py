"""Addresses and names are replaced, each always by the same pseudonym."""

from __future__ import annotations

import re

from holdfast.support.anonymise import Anonymiser, host_names
from hypothesis import given
from hypothesis import strategies as st


def test_addresses_become_addresses_of_the_same_kind() -> None:
    anonymiser = Anonymiser(hosts=())
    text = anonymiser.text("10.1.2.3 10.1.2.4 10.9.9.3 fd00::1 fe80::1 52:54:00:12:34:56 10.1.2.3/24")
    assert text == "198.18.0.1 198.18.0.2 198.18.1.1 2001:db8::1 fe80::1 02:00:00:00:00:01 198.18.0.1/24"


def test_what_says_nothing_about_anybody_stays() -> None:
    text = "127.0.0.1 0.0.0.0 255.255.255.0 ::1 09:26:40.123456 2026-11-23 09:26:40 epoch 12:34"
    assert Anonymiser(hosts=()).text(text) == text


def test_names_are_replaced_as_whole_words() -> None:
    anonymiser = Anonymiser(hosts=["db1", "db1.example.org"], users=["ann"], words=["Payroll"])
    text = anonymiser.text("ann@db1: db1.example.org annals Payroll db1-17 db10 mail ann@corp.example")
    assert text == "user-1@host-1: host-2 annals word-1 host-1-17 db10 mail mail-1@example.invalid"
    assert anonymiser.text("ann") == "user-1"


def test_catalogue_tells_what_replaced_what() -> None:
    anonymiser = Anonymiser(hosts=["db1"])
    anonymiser.text("db1 10.0.0.1")
    assert anonymiser.catalogue == {"10.0.0.1": "198.18.0.1", "db1": "host-1"}


def test_host_names_stand_where_configurations_have_addresses() -> None:
    text = """<to addr="db.example.org" port="1"/><node name="n" addr="10.0.0.1" laddr='inner'/><x addr="%M%"/>"""
    assert host_names(text) == {"db.example.org", "inner"}


@given(st.lists(st.ip_addresses(v=4).map(str), min_size=1, max_size=20))
def test_no_address_is_left_and_none_is_given_twice(addresses: list[str]) -> None:
    anonymiser = Anonymiser(hosts=())
    anonymiser.text(" ".join(addresses))
    given_out = list(anonymiser.catalogue.values())
    assert len(set(given_out)) == len(given_out)
    assert all(re.fullmatch(r"198\.1[89]\.\d+\.\d+", each) for each in given_out)
