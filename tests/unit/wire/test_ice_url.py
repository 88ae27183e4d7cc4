"""URLs and credentials of STUN and TURN servers."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from mina_webrtc import Config, SecretKey
from mina_webrtc.errors import AddressError, ConfigError
from mina_webrtc.wire.ice_url import CREDENTIAL_LIFETIME, IceServer, TurnLogin, rest_credentials

LOGIN = TurnLogin("me", "secret")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("stun:example.org", IceServer("example.org", 3478)),
        ("stun:192.0.2.1:19302", IceServer("192.0.2.1", 19302)),
        ("stun:[::1]:99", IceServer("::1", 99)),
        ("turn:h", IceServer("h", 3478, True, "udp", False, LOGIN)),
        ("turn:h:1?transport=tcp", IceServer("h", 1, True, "tcp", False, LOGIN)),
        ("turns:h", IceServer("h", 5349, True, "tcp", True, LOGIN)),
        ("turns:h:443?transport=tcp", IceServer("h", 443, True, "tcp", True, LOGIN)),
        ("turn:a:b@h", IceServer("h", 3478, True, "udp", False, TurnLogin("a", "b"))),
        ("turn:17%3Aa:p%40%2F=@h", IceServer("h", 3478, True, "udp", False, TurnLogin("17:a", "p@/="))),
    ],
)
def test_urls(url: str, server: IceServer) -> None:
    assert IceServer.parse(url, LOGIN) == server
    assert "secret" not in repr(server)
    assert IceServer.parse(str(server), server.login) == server


@pytest.mark.parametrize(
    "url",
    [
        "stun:::",
        "stun:",
        "http://secret",
        "turn:secret:1",
        "stun:secret:99999",
        "stun:secret:0",
        "stun:secret?transport=udp",
        "stun:a:secret@h",
        "turn:a:secret@h:0",
        "turns:a:secret@h?transport=udp",
        "stuns:secret:1",
        "turn:a:secret@h/path",
        "turn:a:secret@h\n",
        "turn:a:secret@h:\u0661",
    ],
)
def test_a_bad_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        IceServer.parse(url)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="ice_servers") as refused:
        Config(secret_key=SecretKey.deterministic(1), ice_servers=(url,))
    assert "secret" not in str(refused.value)


def test_time_limited_credentials() -> None:
    digest = hmac.new(b"north", b"1700000000:node", hashlib.sha1).digest()
    assert rest_credentials("north", "node", 1_700_000_000) == ("1700000000:node", base64.b64encode(digest).decode())
    user, password = TurnLogin("node", "north", shared=True).credentials(1_000.9)
    assert (user, password) == rest_credentials("north", "node", 1_000 + CREDENTIAL_LIFETIME)
    assert rest_credentials("north", "", 5)[0] == "5"


def test_credentials_of_the_configuration_are_for_servers_without_their_own() -> None:
    key = SecretKey.deterministic(1)
    urls = ("stun:a", "turn:b", "turn:x:y@c")
    config = Config(secret_key=key, ice_servers=urls, turn_name="me", turn_secret="hidden")
    assert [server.login for server in config.ice()] == [None, TurnLogin("me", "hidden", True), TurnLogin("x", "y")]
    assert "hidden" not in repr(config)
    assert "x:y" not in repr(config)
    with pytest.raises(ConfigError, match="exclude"):
        Config(secret_key=key, turn_password="a", turn_secret="b")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"relay_only": True}, "relay_only"),
        ({"relay_only": True, "ice_servers": ("stun:a",)}, "relay_only"),
        ({"udp_ports": (2, 1)}, "udp_ports"),
        ({"udp_ports": (0, 1)}, "udp_ports"),
        ({"udp_ports": (1, 65_536)}, "udp_ports"),
        ({"interfaces": ("!",)}, "interfaces"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Config(secret_key=SecretKey.deterministic(1), **changes)  # type: ignore[arg-type]
