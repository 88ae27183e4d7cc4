"""URLs of STUN and TURN servers as values, and the credentials that go with them (RFC 7064, RFC 7065, TURN REST)."""

from __future__ import annotations

import base64
import hmac
import re
from urllib.parse import unquote

from msgspec import Struct

from mina_webrtc.errors import AddressError

_URL = re.compile(
    r"(?P<scheme>stun|turns?):(?:(?P<user>[^:@\s]+):(?P<password>[^@\s]+)@)?"
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\[\]/:?@\s]+)(?::(?P<port>[0-9]{1,5}))?(?:\?transport=(?P<transport>udp|tcp))?",
    re.ASCII,
)

CREDENTIAL_LIFETIME = 24 * 3600
"""Seconds that time-limited credentials are made for; the usual server script gives a day. coturn looks at the expiry
when an allocation is made, and not when it is renewed, so that a connection may last longer than its credentials."""


class TurnLogin(Struct, frozen=True):
    """What a TURN server wants to know: a name and a password, or the secret that it shares with us.

    With `shared`, `password` is that secret, from which time-limited credentials are made.
    """

    name: str
    password: str
    shared: bool = False

    def __repr__(self) -> str:
        return f"TurnLogin({self.name!r}, ***)"

    def credentials(self, now: float) -> tuple[str, str]:
        """User name and password to use at `now` (seconds since 1970)."""
        if not self.shared:
            return self.name, self.password
        return rest_credentials(self.password, self.name, int(now) + CREDENTIAL_LIFETIME)


def rest_credentials(secret: str, name: str, expiry: int) -> tuple[str, str]:
    """Time-limited TURN credentials (draft-uberti-behave-turn-rest-00 §2.2): the user name is `expiry:name` with the
    expiry in seconds since 1970, the password base64 of its HMAC-SHA1 under the secret shared with the server."""
    user = f"{expiry}:{name}" if name else str(expiry)
    return user, base64.b64encode(hmac.digest(secret.encode(), user.encode(), "sha1")).decode()


class IceServer(Struct, frozen=True):
    """A STUN server, or (with `login`) a TURN server. str() is its URL without credentials."""

    host: str
    port: int
    turn: bool = False
    transport: str = "udp"
    tls: bool = False
    login: TurnLogin | None = None

    @staticmethod
    def parse(url: str, login: TurnLogin | None = None) -> IceServer:
        """`stun:host[:port]`, `turn:[user:password@]host[:port][?transport=udp|tcp]`, `turns:…` (TLS over TCP).

        The standards have no place for credentials in a URL; here they may stand as in other URLs, percent-encoded
        where they must be, and come before `login`, which is for all servers. Raises `AddressError`, which does not
        repeat the URL.
        """
        match = _URL.fullmatch(url)
        if match is None:
            raise _refusal("not of the form stun:host:port or turn:user:password@host:port?transport=udp")
        turn, tls = match["scheme"] != "stun", match["scheme"] == "turns"
        port = int(match["port"] or (5349 if tls else 3478))
        transport = match["transport"] or ("tcp" if tls else "udp")
        if not 0 < port < 65_536:
            raise _refusal("its port is not in 1…65535")
        if not turn and (match["user"] or match["transport"]):
            raise _refusal("stun: takes no credentials and no transport")
        if tls and transport == "udp":
            raise _refusal("turns: over UDP (DTLS) is not supported")
        if match["user"]:
            login = TurnLogin(unquote(match["user"]), unquote(match["password"]))
        if turn and login is None:
            raise _refusal("a TURN server needs credentials")
        return IceServer(match["host"].strip("[]"), port, turn, transport, tls, login if turn else None)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        if not self.turn:
            return f"stun:{host}:{self.port}"
        return f"{'turns' if self.tls else 'turn'}:{host}:{self.port}?transport={self.transport}"


def _refusal(why: str) -> AddressError:
    return AddressError("Other", f"an ICE server is refused: {why}")
