"""A host in an address: a domain or an IP, in the URL standard's text and in JSON (protocol.md §4, §5)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import ada_url
from msgspec import Struct

from mina_webrtc.errors import AddressError, SignalError
from mina_webrtc.wire.json import Bytes, Json, parse_json, read_text, read_variant, text_json

MAX_TEXT = 1024
"""Characters of a host's text: DNS stops at 253, percent-encoded at three times that."""

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#/<>?@\\^|]")
"""Forbidden host code points that a URL parser would take as a separator or strip, instead of refusing the host."""
_IPV4 = re.compile(r"[0-9]+(\.[0-9]+){3}")
"""How ada prints every host that is an IPv4 address, and no other."""


class Host(Struct, frozen=True):
    """A domain, an IPv4 or an IPv6 address.

    str() is the URL standard's text (IPv6 in brackets); `Host.parse` is its inverse. A domain that came by JSON or
    `Host.domain` is not validated: `canonical` does that.
    """

    value: str | IPv4Address | IPv6Address

    def __post_init__(self) -> None:
        if isinstance(self.value, IPv6Address) and self.value.scope_id is not None:
            raise _refused(f"{self.value}", "an IPv6 zone means nothing to another machine")

    @staticmethod
    def parse(text: str) -> Host:
        """The host that a URL with this text would name (percent-decoded, IDNA, numeric IPv4 forms; IPv6 in brackets).
        Raises `AddressError` of kind `HostParseError`."""
        if not text:
            raise _refused(text, "empty host")
        if len(text) > MAX_TEXT:
            raise AddressError("HostParseError", f"host of {len(text)} characters is longer than {MAX_TEXT}")
        if _FORBIDDEN.search(text) or (":" in text and not (text[0] == "[" and text[-1] == "]")):
            raise _refused(text, "forbidden character in a host")
        try:
            name = ada_url.URL(f"http://{text}/").hostname
        except (ValueError, UnicodeError):
            raise _refused(text, "invalid host") from None
        return _host(name, text)

    @staticmethod
    def domain(name: str) -> Host:
        """A domain, taken as it is."""
        return Host(name)

    @staticmethod
    def ip(address: IPv4Address | IPv6Address) -> Host:
        """An IP address; one with a zone is an `AddressError`."""
        return Host(address)

    @property
    def kind(self) -> str:
        """The wire's word: `Domain`, `Ipv4` or `Ipv6`."""
        if isinstance(self.value, str):
            return "Domain"
        return "Ipv4" if isinstance(self.value, IPv4Address) else "Ipv6"

    def canonical(self) -> Host:
        """The same host as `Host.parse` would give it: domains are validated, mapped, and become an IP if they spell
        one. Raises `AddressError`."""
        return Host.parse(self.value) if isinstance(self.value, str) else self

    def __str__(self) -> str:
        if isinstance(self.value, IPv6Address):
            return f"[{_hex_groups(self.value)}]"
        return str(self.value)

    def to_json(self) -> bytes:
        """`{"Domain": …}`, `{"Ipv4": …}` or `{"Ipv6": …}` as serde prints it (§4)."""
        return self.json_text().encode()

    def json_text(self) -> str:
        """`to_json` as text, to be put into a larger one."""
        value = ip_text(self.value) if not isinstance(self.value, str) else self.value
        return f'{{"{self.kind}":{text_json(value)}}}'

    @staticmethod
    def from_json(data: Bytes) -> Host:
        """Raises `SignalError`."""
        return read_host_json(parse_json(data))


def read_host_json(value: Json) -> Host:
    """A host out of parsed JSON (§4: a domain is not validated there). Raises `SignalError`."""
    kind, content = read_variant(value, "host")
    if kind not in ("Domain", "Ipv4", "Ipv6"):
        raise SignalError("host must be Domain, Ipv4 or Ipv6")
    text = read_text(content, f"host {kind}")
    if kind == "Domain":
        return Host.domain(text)
    try:
        return Host(parse_ipv4(text) if kind == "Ipv4" else parse_ipv6(text))
    except ValueError:
        raise SignalError(f"host {kind} is no such address") from None


def parse_ipv4(text: str) -> IPv4Address:
    """Four decimal numbers without leading zeros; `ValueError` otherwise."""
    return IPv4Address(text)


def parse_ipv6(text: str) -> IPv6Address:
    """An IPv6 address without brackets or zone; `ValueError` otherwise."""
    if "%" in text:
        raise ValueError("an IPv6 zone means nothing to another machine")
    return IPv6Address(text)


def ip_text(address: IPv4Address | IPv6Address) -> str:
    """The text the reference gives an address outside of URLs: IPv4-mapped ones end in dotted form."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped is not None:
        return f"::ffff:{mapped}"
    return str(address)


def _hex_groups(address: IPv6Address) -> str:
    # The URL standard writes mapped addresses in hex; newer Pythons print them dotted.
    if address.ipv4_mapped is None:
        return str(address)
    low = int(address) & 0xFFFFFFFF
    return f"::ffff:{low >> 16:x}:{low & 0xFFFF:x}"


def _host(name: str, text: str) -> Host:
    if name.startswith("["):
        return Host(IPv6Address(name[1:-1]))
    if _IPV4.fullmatch(name):
        return Host(IPv4Address(name))
    if not name or ("xn--" in name and not _is_international(name)):
        raise _refused(text, "invalid international domain name")
    return Host(name)


def _is_international(name: str) -> bool:
    # ada checks a domain by UTS 46 §4 when it maps it from Unicode, but takes labels that are ASCII already unseen.
    try:
        labels = (
            label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
            for label in name.split(".")
        )
        return ada_url.URL(f"http://{'.'.join(labels)}/").hostname == name
    except ValueError:
        return False


def _refused(text: str, why: str) -> AddressError:
    return AddressError("HostParseError", f"{why}: {text!r}", text)
