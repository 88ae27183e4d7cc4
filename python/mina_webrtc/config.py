"""Every setting, limit and timeout, each default with its reason. Times in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from mina_webrtc.errors import AddressError, ConfigError
from mina_webrtc.identity import ChainId, SecretKey
from mina_webrtc.machines.keeping import Keeping
from mina_webrtc.machines.vocab import Settings, Spreading
from mina_webrtc.wire.address import DialAddress, Host, Http, Relayed, SignalingMethod
from mina_webrtc.wire.ice_url import IceServer, TurnLogin


def _check_positive(owner: object) -> None:
    for item in fields(owner):  # type: ignore[arg-type]
        value = getattr(owner, item.name)
        if value is not None and not value > 0:
            raise ConfigError(f"{item.name} must be above zero, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a peer, or many of them, can make this node hold."""

    max_peers: int = 100
    """Ready peers (protocol.md §6)."""
    max_pending_incoming: int = 64
    """Offers accepted and not authenticated yet (§4)."""
    max_pending_per_source: int = 4
    """The same per IPv4 address or IPv6 /64 (§4)."""
    max_pending_outgoing: int = 64
    """Own dials under way; each holds a socket per address, and file descriptors are finite."""
    max_pending_requests: int = 5
    """Unanswered requests per peer and direction on channel 7; the reference disconnects at the sixth (§7)."""
    max_trees: int = 1024
    """Trees at the end of a staged ledger that comes in parts; the network's own scan states have some 30."""
    max_initial_peers: int = 100
    """Entries of an `InitialPeers` answer, sent or accepted."""
    max_through_relay: int | None = None
    """Peers that are found, or offer themselves, through any one relay (§9), so that none can surround a node; the
    others come through the peers that it has by then. By default a quarter of `max_peers`, and at least three."""
    max_known: int = 1000
    """Addresses remembered; ten times as many as there may be peers."""
    max_learnt_per_peer: int = 32
    """Untried addresses that one peer has told: thirty such peers are needed to fill the table."""
    max_upkeep_dials: int = 8
    """Dials under way that the node began by itself; each gathers candidates, and the application's own go beside."""
    max_source_faults: int = 16
    """Faults of strangers from one source address within `timeouts.ban` before its offers are refused for that long; a
    NAT may hide several, each of which may fail four times at once."""
    item_batch: int = 32
    """Items that one poll asks a peer for on channels 4 to 6, 255 at most (§7): what a peer can make this node hold."""
    max_items_queued: int = 512
    """Items that wait for one peer's poll on each of channels 4 to 6; the oldest is dropped beyond. All peers share
    their bytes, 2 KiB each at most."""
    max_item_handlers: int = 32
    """Items that the application examines at a time, on each of channels 3 to 6: none keeps the others waiting."""
    max_items_waiting: int = 4096
    """Items that the application has not judged yet, on each: what 100 peers may send at once, and a little."""
    item_bytes: int = 256 * 1024 * 1024
    """Their bytes, on each: eight of the largest blocks (32 MiB, §7); all others are at most 2 KiB."""
    items_remembered: int = 16_384
    """Ids of items that are done with, on each of channels 3 to 6; one that is forgotten is examined again."""
    early_data: int = 64 * 1024
    """Bytes kept unparsed per connection before authentication (§6)."""
    receive_credit: int = 1024 * 1024
    """Message bytes delivered to the machines and not processed yet, per connection."""
    receive_buffer: int = 1024 * 1024
    """SCTP receive window: what a peer may have in flight or undelivered. aiortc's own figure."""
    unfinished: int = 512 * 1024 * 1024
    """Bytes of messages that have begun to arrive, over all connections: two of the largest that a channel carries (256
    MiB, §7), or 5 MiB from each of 100 peers. What is not asked for is at most 64 KiB and hardly counts."""
    signal_body: int = 64 * 1024
    """A POSTed offer, or an answer's body (§5)."""
    signal_get: int = 16 * 1024
    """The base58 text of a GET offer (§5); decoding is quadratic."""
    signal_connections: int = 512
    """Open connections to the signaling server."""
    signal_connections_per_source: int = 32
    """The same per source; browsers open six at a time, and a NAT may hide several."""
    event_backlog: int = 1024
    """Notices a slow reader of `node.events()` may fall behind by; older ones are dropped and counted."""

    def __post_init__(self) -> None:
        _check_positive(self)
        if self.item_batch > 255:
            raise ConfigError(f"item_batch must be at most 255, not {self.item_batch}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """How long anything may take."""

    outgoing: float = 15.0
    """A dial, from the call to ready (§6)."""
    incoming: float = 30.0
    """An accepted offer, from its arrival to ready (§6)."""
    give_way: float = 4.0
    """A dial that a greater peer refused with `AlreadyConnected` waits so long for that peer's own offer, which is then
    on its way (§4); gathering may take its 3 s there."""
    gathering: float = 3.0
    """ICE gathering; then the SDP goes out with what is there (§6)."""
    ice: float = 8.0
    """From both SDPs being known to the first candidate pair that works. With the gathering of both sides it
    stays below a dial's 15 s, so that a failure says what was tried; aioice by itself takes 63 s."""
    consent: float = 12.0
    """Silence of the peer's ICE after which a connection is given up: RFC 7675 allows 30 s; above the 5 s for which a
    link may drop, and within the 15 s in which a peer that vanished is to be noticed."""
    caution: float = 3.0
    """First messages on channels 1–8 towards peers without the mark (§6)."""
    handler: float = 60.0
    """How long an application handler may take; every rpc of §7 has given up before but the staged ledger, whose
    handler has 180 s. An item that is not judged in time is dropped."""
    message: float = 180.0
    """A message that has begun to arrive and is not complete after this, twice this at most, ends the connection: what
    it holds of `limits.unfinished` is needed by others. As long as the longest answer may take (§7)."""
    items: float = 30.0
    """For items that a peer has announced (§7) to come: a batch is 64 KiB at most. Longer than `consent`, so that a
    peer that vanished is noticed as such."""
    stream_idle: float = 60.0
    """How long a peer may take to receive a part that it asked for and to ask for the next one: twice what it waits for
    a part itself (§7)."""
    stalled: float = 180.0
    """A peer that owes an answer, or a part of a staged ledger, that nobody waits for any more is disconnected after
    this: it is no use, and takes a place. As long again as the longest answer may take (§7)."""
    relay: float = 10.0
    """As a relay: for asker and target each to answer (§9). Gathering may take 3 s, and a dial gives up after 15 s."""
    relay_rest: float = 60.0
    """As a relay: an asker that refuses a target is left alone so long at most, a twelfth of it at first (§9)."""
    pair_memory: float = 600.0
    """As a relay: the same two peers are not introduced again before this is over (§9)."""
    dns: float = 5.0
    """One name look-up: two tries of a usual resolver."""
    signal: float = 10.0
    """A signaling client's whole exchange outside our own work: slow senders and slow readers are cut."""
    reconnect: float = 30.0
    """From a loss or a failed dial to the next one (§6); doubled by every further failure, and spread by a fifth."""
    reconnect_max: float = 600.0
    """The most it is doubled to. Seeds are tried at least every 54 s, unless they are full and others are there."""
    ask_peers: float = 20.0
    """Between two questions for addresses to one peer while some are missing: three within the minute in which a new
    node is to find its place."""
    room_interval: float = 10.0
    """Above 80 % of `max_peers` one peer is dropped so often (§6) …"""
    room_age: float = 90.0
    """… of those connected for longer than this (§6)."""
    ban: float = 600.0
    """How long a peer that broke the protocol too often is kept out."""

    def __post_init__(self) -> None:
        _check_positive(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """What a `Node` is made of. Raises `ConfigError` for a setting that cannot work, naming it.

    `listen`: endpoints of the signaling server, `host:port` or `[ipv6]:port`, port 0 for a free one; none means that
    others reach this node only when it dials them. `advertise`: where others reach that server, `host:port` or the text
    of a signaling method (`/https/example.com/443`), for nodes behind NAT or a proxy. `external_ips` replace the host
    candidates' addresses (1:1 NAT). `allow_loopback`: loopback candidates always, never, or (None) when nothing else is
    there. `trusted_proxies`: networks whose `X-Forwarded-For` is believed.

    `seeds`: addresses of nodes to join the network by; `seed_lists`: files and https URLs with one such address a line
    (`#` begins a comment). `min_peers`: below this many the node looks for more; by default
    min(max(max_peers/2, 3), max_peers) (§6) with seeds or a peer database, else 0: then it joins nothing by itself.
    `peer_db`: an SQLite file in which known addresses survive this process, made if there is none.
    `learnt_networks`: networks that addresses told by others may point into although they are not global (a test
    network of private addresses).

    `ice_servers`: URLs (`IceServer.parse`); no other server is asked. TURN servers whose URL holds no credentials get
    `turn_name` with `turn_password`, or time-limited ones made from `turn_secret`. `relay_only`: no address of this
    machine is shown to peers, and all traffic goes through TURN. `udp_ports`: first and last port of peer connections'
    sockets. `interfaces`: names or networks to use, with `!` in front those not to use.
    """

    secret_key: SecretKey
    chain_id: ChainId = ChainId.DEVNET
    seeds: tuple[str, ...] = ()
    seed_lists: tuple[str, ...] = ()
    min_peers: int | None = None
    peer_db: Path | None = None
    listen: tuple[str, ...] = ()
    advertise: str | None = None
    external_ips: tuple[str, ...] = ()
    ice_servers: tuple[str, ...] = field(default=(), repr=False)
    turn_name: str = ""
    turn_password: str | None = field(default=None, repr=False)
    turn_secret: str | None = field(default=None, repr=False)
    relay_only: bool = False
    udp_ports: tuple[int, int] | None = None
    interfaces: tuple[str, ...] = ()
    allow_loopback: bool | None = None
    allow_link_local: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    ca_file: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    learnt_networks: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        if not 0 <= (self.min_peers or 0) <= self.limits.max_peers:
            raise ConfigError(f"min_peers must be within 0…{self.limits.max_peers} (max_peers), not {self.min_peers}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("tls_cert and tls_key go together: one of them is missing")
        if self.tls_cert is not None and not self.listen:
            raise ConfigError("tls_cert needs a listen address")
        for text in self.listen:
            endpoint(text)
        for text in self.external_ips:
            _external_ip(text)
        for name in ("trusted_proxies", "learnt_networks"):
            for text in getattr(self, name):
                try:
                    ip_network(text)
                except ValueError as error:
                    raise ConfigError(f"{name}: {text!r} is not an IP network: {error}") from None
        for text in self.seeds:
            seed_address(text)
        for text in self.seed_pages():
            if not text.startswith("https://"):
                raise ConfigError(f"seed_lists: {text!r}: a page is read by https only, or it is a file")
        self._check_ice()
        self.advertised()

    def _check_ice(self) -> None:
        if not any(server.turn for server in self.ice()) and self.relay_only:
            raise ConfigError("relay_only needs a TURN server among ice_servers")
        if self.udp_ports is not None:
            first, last = self.udp_ports
            if not 0 < first <= last < 65_536:
                raise ConfigError(f"udp_ports: {first}-{last} is not a range of ports")
        if not all(text.removeprefix("!") for text in self.interfaces):
            raise ConfigError("interfaces: a name or a network is empty")

    def ice(self) -> tuple[IceServer, ...]:
        """The ICE servers with their credentials. Raises `ConfigError`, which repeats no credentials."""
        if self.turn_password is not None and self.turn_secret is not None:
            raise ConfigError("turn_password and turn_secret exclude each other")
        login = None
        if self.turn_secret is not None:
            login = TurnLogin(self.turn_name, self.turn_secret, shared=True)
        elif self.turn_password is not None:
            login = TurnLogin(self.turn_name, self.turn_password)
        try:
            return tuple(IceServer.parse(url, login) for url in self.ice_servers)
        except AddressError as error:
            raise ConfigError(f"ice_servers: {error}") from None

    def advertised(self) -> SignalingMethod | None:
        """The signaling method that `advertise` names, if any."""
        if self.advertise is None:
            return None
        text = self.advertise
        if not text.startswith("/"):
            host, port = endpoint(text, "advertise")
            scheme = "https" if self.tls_cert else "http"
            text = f"/{scheme}/{_bracketed(host)}/{port}"
        try:
            method = SignalingMethod.parse(text)
        except AddressError as error:
            raise ConfigError(
                f"advertise: {self.advertise!r} is not host:port or a signaling method: {error}"
            ) from None
        if isinstance(method, Relayed):
            raise ConfigError(f"advertise: {self.advertise!r}: a relay's address cannot be advertised")
        return method

    def minimum(self) -> int:
        """Below this many peers the node looks for more."""
        if self.min_peers is not None:
            return self.min_peers
        most = self.limits.max_peers
        return min(max(most // 2, 3), most) if self.seeds or self.seed_lists or self.peer_db else 0

    def seed_pages(self) -> list[str]:
        """The `seed_lists` that are URLs; the others are files."""
        return [text for text in self.seed_lists if "://" in text]

    def machine_settings(self, *, allow_loopback: bool, seed: int) -> Settings:
        """The part the state machines need; `allow_loopback` is the setting of that name, with None decided, and `seed`
        that of every choice they make."""
        method = self.advertised()
        # §4: host and listen_port are read as plain HTTP by the reference, so another method announces no port
        plain = method if isinstance(method, Http) else None
        return Settings(
            public_key=self.secret_key.public_key,
            chain_id=self.chain_id,
            advertised_host=plain.host if plain else Host.ip(IPv4Address("127.0.0.1")),
            advertised_port=plain.port if plain else None,
            max_peers=self.limits.max_peers,
            min_peers=self.minimum(),
            seed=seed,
            max_pending_incoming=self.limits.max_pending_incoming,
            max_pending_per_source=self.limits.max_pending_per_source,
            max_pending_outgoing=self.limits.max_pending_outgoing,
            max_pending_requests=self.limits.max_pending_requests,
            outgoing_timeout=self.timeouts.outgoing,
            incoming_timeout=self.timeouts.incoming,
            yield_timeout=self.timeouts.give_way,
            caution=self.timeouts.caution,
            handler_timeout=self.timeouts.handler,
            stalled=self.timeouts.stalled,
            stream_idle=self.timeouts.stream_idle,
            max_trees=self.limits.max_trees,
            max_initial_peers=self.limits.max_initial_peers,
            max_through_relay=self.limits.max_through_relay or max(self.limits.max_peers // 4, 3),
            relay_timeout=self.timeouts.relay,
            relay_rest=self.timeouts.relay_rest,
            pair_memory=self.timeouts.pair_memory,
            allow_loopback=allow_loopback,
            allow_link_local=self.allow_link_local,
            keeping=Keeping(
                reconnect=self.timeouts.reconnect,
                reconnect_max=max(self.timeouts.reconnect, self.timeouts.reconnect_max),
                max_dials=self.limits.max_upkeep_dials,
                max_known=self.limits.max_known,
                max_learnt_per_peer=self.limits.max_learnt_per_peer,
                ask_interval=self.timeouts.ask_peers,
                room_interval=self.timeouts.room_interval,
                room_age=self.timeouts.room_age,
                ban=self.timeouts.ban,
                max_source_faults=self.limits.max_source_faults,
                learnt_networks=tuple(ip_network(text) for text in self.learnt_networks),
            ),
            spreading=Spreading(
                batch=self.limits.item_batch,
                max_queued=self.limits.max_items_queued,
                max_handlers=self.limits.max_item_handlers,
                max_waiting=self.limits.max_items_waiting,
                max_waiting_bytes=self.limits.item_bytes,
                memory=self.limits.items_remembered,
                timeout=self.timeouts.items,
            ),
        )


def endpoint(text: str, setting: str = "listen") -> tuple[str, int]:
    """`host:port` or `[ipv6]:port` as (host without brackets, port). Raises `ConfigError` naming the setting."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{setting}: {text!r} is not host:port with a port of 0…65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"{setting}: {text!r}: an IPv6 address stands in brackets, as in [::1]:3000")
    if not host:
        raise ConfigError(f"{setting}: {text!r} names no host; use 0.0.0.0 or [::] for every address")
    return host, int(port)


def seed_address(text: str, setting: str = "seeds") -> DialAddress:
    """A dial address that a node can begin with. Raises `ConfigError` naming the setting."""
    try:
        address = DialAddress.parse(text)
    except AddressError as error:
        raise ConfigError(f"{setting}: {text[:200]!r}: {error}") from None
    if isinstance(address.method, Relayed):
        raise ConfigError(f"{setting}: {text[:200]!r}: a node cannot begin with an address behind a relay")
    return address


def _external_ip(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigError(f"external_ips: {text!r} is not an IP address") from None
    if address.is_unspecified or address.is_multicast:
        raise ConfigError(f"external_ips: {text!r} is not an address that others can reach")
    return address


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
