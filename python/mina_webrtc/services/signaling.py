"""The signaling of one node as its configuration wants it: the HTTP client, and the server if there is one."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from mina_webrtc.config import Config, endpoint
from mina_webrtc.services.base import SignalHandler
from mina_webrtc.services.hosts import host_addresses
from mina_webrtc.services.http_client import ClientSettings, HttpOfferClient
from mina_webrtc.services.http_connection import ServerLimits
from mina_webrtc.services.http_server import SignalServer, TlsFiles
from mina_webrtc.services.resolve import Ip, Resolver, ResolveSettings
from mina_webrtc.wire.address import Host, Http, Https, SignalingMethod


class Signaling:
    """Opens what `config` asks for and says where others find it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._server: SignalServer | None = None

    def client(self) -> HttpOfferClient:
        """A client with the configured limits and authorities. Raises `ConfigError` for a bad CA file."""
        config = self._config
        resolver = Resolver(
            ResolveSettings(
                max_addresses=4,
                max_learnt_lookups=16,
                learnt_networks=tuple(ip_network(text) for text in config.learnt_networks),
                nameservers=(),
            ),
        )
        settings = ClientSettings(
            max_response=config.limits.signal_body,
            max_connections=config.limits.max_pending_outgoing,
            max_connections_per_host=config.limits.max_pending_outgoing,
            dns_timeout=config.timeouts.dns,
            happy_eyeballs_delay=0.25,
            ca_file=config.ca_file,
            system_roots=True,
        )
        return HttpOfferClient(settings, resolver)

    async def start(self, handler: SignalHandler) -> None:
        """Listens where the configuration says. Raises `ListenError`."""
        config = self._config
        if not config.listen:
            return
        tls = TlsFiles(config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
        limits = ServerLimits(
            max_body=config.limits.signal_body,
            max_get=config.limits.signal_get,
            max_connections=config.limits.signal_connections,
            max_connections_per_source=config.limits.signal_connections_per_source,
            read_timeout=config.timeouts.signal,
            handler_timeout=config.timeouts.incoming,
            write_timeout=config.timeouts.signal,
            retry_after=int(config.timeouts.incoming),
            backlog=128,
        )
        self._server = await SignalServer.start(
            handler,
            [endpoint(text) for text in config.listen],
            limits=limits,
            tls=tls,
            trusted_proxies=[ip_network(text) for text in config.trusted_proxies],
        )

    def methods(self) -> tuple[SignalingMethod, ...]:
        """How others reach the server: the advertised method alone, else one for each address it listens on."""
        advertised = self._config.advertised()
        if advertised is not None:
            return (advertised,)
        if self._server is None:
            return ()
        kind = Https if self._config.tls_cert else Http
        return tuple(
            kind(Host.ip(ip), port)
            for address, port in self._server.addresses
            for ip in self._reachable(ip_address(address.partition("%")[0]))
        )

    def reload(self) -> None:
        """Reads the certificate again. Raises `ListenError`; the old one stays in use then."""
        if self._server is not None:
            self._server.reload()

    async def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            await self._server.close()

    def _reachable(self, bound: Ip) -> Iterable[Ip]:
        if not bound.is_unspecified:
            return [bound]
        known = [ip_address(text) for text in self._config.external_ips] or machine_addresses()
        return [ip for ip in known if ip.version == bound.version]


def machine_addresses() -> list[Ip]:
    """The addresses of this machine that others may reach it at; its loopback ones when it has nothing else."""
    return [ip_address(text) for text in host_addresses(None)]


def loopback_only() -> bool:
    """Whether this machine has only loopback addresses."""
    return all(ip.is_loopback for ip in machine_addresses())
