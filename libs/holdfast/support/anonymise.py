"""Pure: replaces addresses, host names, user names and mail addresses in texts, each always by the same pseudonym.

A pseudonym is of the same kind, so that the texts can still be read: an IPv4 address becomes one of the networks kept
for tests (RFC 2544, 198.18.0.0/15) and addresses of one /24 stay together, an IPv6 address one of those kept for
documentation (RFC 3849, 2001:db8::/32), a hardware address a locally administered one.
What replaced what is the catalogue, which stays with its owner.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

NETWORKS_MAX = 512
"""/24 networks in 198.18.0.0/15; those beyond share the last one's addresses."""
WORD_CHARS_MIN = 2
"""A name of one letter would replace letters everywhere."""
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:])")
_HARDWARE = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![\w:])")
_MAIL = re.compile(r"[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_ATTRIBUTE = re.compile(r"""\b(?:l?addr|host|hostname|virtualhostname|name_server)\s*=\s*["']([^"'\s%<>]{1,253})["']""")
_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_KEPT_NETWORKS = ("0.", "127.", "255.")
"""Their addresses say nothing about anybody: any, loopback, masks."""


def host_names(text: str) -> set[str]:
    """Host names that stand where a configuration has addresses."""
    found = {match[1].strip("[]") for match in _ATTRIBUTE.finditer(text)}
    return {name for name in found if _HOST.match(name) and not _is_address(name)}


class Anonymiser:
    """hosts, users: names to be replaced wherever they stand as whole words. words: others that are to go."""

    def __init__(self, *, hosts: Iterable[str], users: Iterable[str] = (), words: Iterable[str] = ()) -> None:
        self.catalogue: dict[str, str] = {}
        """Original to pseudonym, of everything that was met."""
        self._networks: dict[str, tuple[int, list[str]]] = {}
        """First three numbers of an IPv4 address to the place of its network, and the addresses in it."""
        self._counts: Counter[str] = Counter()
        self._kinds = {
            name: kind for kind, names in (("word", words), ("user", users), ("host", hosts)) for name in names
        }
        known = sorted((n for n in self._kinds if len(n) >= WORD_CHARS_MIN), key=lambda name: (-len(name), name))
        pattern = "|".join(re.escape(name) for name in known)
        self._names = re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])") if known else None

    def text(self, text: str) -> str:
        """Return the text with everything replaced."""
        text = _MAIL.sub(lambda match: self._named(match[0], "mail", "@example.invalid"), text)
        text = _HARDWARE.sub(lambda match: self._hardware(match[0]), text)
        text = _IPV6.sub(lambda match: self._address(match[0]), text)
        text = _IPV4.sub(lambda match: self._address(match[0]), text)
        if self._names is None:
            return text
        return self._names.sub(lambda match: self._named(match[0], self._kinds[match[0]]), text)

    def _named(self, original: str, kind: str, ending: str = "") -> str:
        if original not in self.catalogue:
            self.catalogue[original] = f"{kind}-{self._next(kind)}{ending}"
        return self.catalogue[original]

    def _hardware(self, original: str) -> str:
        if original not in self.catalogue:
            high, low = divmod(self._next("hardware"), 256)
            self.catalogue[original] = f"02:00:00:00:{high % 256:02x}:{low:02x}"
        return self.catalogue[original]

    def _next(self, kind: str) -> int:
        self._counts[kind] += 1
        return self._counts[kind]

    def _address(self, original: str) -> str:
        try:
            address = ip_address(original)
        except ValueError:
            return original
        if isinstance(address, IPv4Address):
            return original if original.startswith(_KEPT_NETWORKS) else self._ipv4(original)
        return original if address.is_loopback or address.is_unspecified else self._ipv6(original, address)

    def _ipv4(self, original: str) -> str:
        if original not in self.catalogue:
            place, members = self._networks.setdefault(original.rpartition(".")[0], (len(self._networks), []))
            members.append(original)
            network = min(place, NETWORKS_MAX - 1)
            self.catalogue[original] = f"198.{18 + network // 256}.{network % 256}.{(len(members) - 1) % 254 + 1}"
        return self.catalogue[original]

    def _ipv6(self, original: str, address: IPv6Address) -> str:
        if original not in self.catalogue:
            network = "fe80" if address.is_link_local else "2001:db8"
            self.catalogue[original] = f"{network}::{self._next(network):x}"
        return self.catalogue[original]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
