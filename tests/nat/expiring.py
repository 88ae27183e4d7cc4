"""A TURN allocation whose credentials expire: `python -m tests.nat.expiring URL` makes one, and renews it and binds a
channel after the expiry that its user name tells."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time

from aioice import stun

from mina_webrtc.services.turn import allocate, give_back
from mina_webrtc.wire.ice_url import IceServer


async def main(server: IceServer) -> None:
    assert server.login is not None
    allocation = await allocate(server, [server.host], ssl.create_default_context, asyncio.DatagramProtocol())
    client = vars(allocation)["_TurnTransport__inner_protocol"]
    await asyncio.sleep(int(server.login.name.partition(":")[0]) + 1 - time.time())
    refresh = stun.Message(stun.Method.REFRESH, stun.Class.REQUEST, attributes={"LIFETIME": 600})
    renewed, _ = await client.request_with_retry(refresh)
    await client.channel_bind(0x4000, ("192.0.2.1", 4000))
    await give_back([allocation])
    try:
        await allocate(server, [server.host], ssl.create_default_context, asyncio.DatagramProtocol())
    except stun.TransactionFailed as error:
        print(json.dumps({"lifetime": renewed.attributes["LIFETIME"], "again": error.response.error_code}))


if __name__ == "__main__":
    asyncio.run(main(IceServer.parse(sys.argv[1])))
