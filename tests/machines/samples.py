"""A representative of every situation and of every case of an event, for `test_table`."""

from __future__ import annotations

from tests.machines.world import KEYS, address, offer, sdp, settings

from mina_webrtc.machines import incoming, outgoing
from mina_webrtc.machines import vocab as v
from mina_webrtc.machines.channel import Cautious, Clear, Lane, Unopened, Way
from mina_webrtc.machines.finalize import FinalizePending, FinalizeSuccess, Ours, Theirs
from mina_webrtc.machines.peer import Success
from mina_webrtc.machines.state import Attempt, Error, State, step
from mina_webrtc.wire.auth import ConnectionAuth
from mina_webrtc.wire.channels import Channel
from mina_webrtc.wire.messages import Rpc, RpcRequest, encode
from mina_webrtc.wire.sdp import Mark
from mina_webrtc.wire.signal import Answer, P2pConnectionResponse, RejectionReason

NOW = 1000.0
CONN = 7
ME, PEER = 3, 4
HASH = bytes(32)
AUTH = ConnectionAuth.new("offer", "answer")
ALL_OPEN = 0b1_1111_1111
ACCEPTED = P2pConnectionResponse.accepted(Answer(sdp("answer"), KEYS[PEER].public_key, KEYS[ME].peer_id))
WRONG = P2pConnectionResponse.accepted(Answer(sdp("answer"), KEYS[PEER + 1].public_key, KEYS[ME].peer_id))


def link(outgoing: bool) -> Attempt:
    return Attempt(
        conn=CONN,
        settings=settings(ME),
        peer=KEYS[PEER].peer_id,
        key=KEYS[PEER].public_key,
        outgoing=outgoing,
        deadline=NOW + 15.0,
        address=address(PEER) if outgoing else None,
        source=None if outgoing else "10.0.0.4",
    )


def states(is_outgoing: bool) -> dict[str, State]:
    """A state for every row of the table."""
    way = link(is_outgoing)
    if is_outgoing:
        method = address(PEER).method
        first: dict[str, State] = {
            "Init": outgoing.Init(way),
            "OfferSdpCreatePending": outgoing.OfferSdpCreatePending(way, method),
            "OfferSdpCreateSuccess": outgoing.OfferSdpCreateSuccess(way, method, sdp("offer")),
            "OfferReady": outgoing.OfferReady(way, sdp("offer")),
            "AnswerRecvPending": outgoing.AnswerRecvPending(way, sdp("offer")),
        }
    else:
        first = {
            "Init": incoming.Init(way, sdp("offer"), Mark()),
            "AnswerSdpCreatePending": incoming.AnswerSdpCreatePending(way, 1, sdp("offer"), Mark()),
            "AnswerReady": incoming.AnswerReady(way, AUTH, Mark()),
        }
    return first | _finalize(way) | _success(way) | {"Error": Error(way, v.Failure(v.Stage.ICE, "timeout"))}


def _finalize(way: Attempt) -> dict[str, State]:
    def pending(ours: Ours, theirs: Theirs) -> State:
        return FinalizePending(
            way, AUTH, Mark(), ice=True, dtls=True, opened=ALL_OPEN, sealed=b"s" * 92, ours=ours, theirs=theirs
        )

    return {
        "FinalizePending/entered": FinalizePending(way, AUTH, Mark()),
        "FinalizePending/sealed": FinalizePending(way, AUTH, Mark(), sealed=b"s" * 92),
        "FinalizePending/sent": pending(Ours.SENT, Theirs.AWAITED),
        "FinalizePending/left": pending(Ours.LEFT, Theirs.AWAITED),
        "FinalizePending/heard": pending(Ours.SENT, Theirs.EXAMINED),
        "FinalizePending/passed": pending(Ours.SENT, Theirs.PASSED),
        "FinalizePending/examined": pending(Ours.LEFT, Theirs.EXAMINED),
    }


def _success(way: Attempt) -> dict[str, State]:
    idle = quiet(Success.begin(way, Mark(), ALL_OPEN, NOW)[0])
    busy: State = idle
    for event in (
        v.RequestMade(1, CONN, Rpc.BLOCK, HASH, 8.0),
        v.MessageReceived(CONN, 7, encode(RpcRequest(1, Rpc.BLOCK, HASH))),
    ):
        busy, _ = step(busy, event, NOW)
    return {"Success/idle": idle, "Success/busy": busy}


def quiet(state: Success) -> State:
    """Everything that was said first is on the wire."""
    return step(state, v.MessagesSent(CONN, len(state.unsent)), NOW)[0] if state.unsent else state


def admitted(state: State) -> State:
    """What `peers` makes of an attempt that has authenticated."""
    return state.admit(NOW)[0] if isinstance(state, FinalizeSuccess) else state


EVENTS: dict[str, v.Event] = {
    "DialRequested": v.DialRequested(1, address(PEER)),
    "OfferReceived": v.OfferReceived(1, offer(PEER, ME), "10.0.0.4", False),
    "OfferSdpCreated": v.OfferSdpCreated(CONN, sdp("offer")),
    "OfferPrepared": v.OfferPrepared(CONN, b"{}"),
    "OfferSent": v.OfferSent(CONN),
    "AnswerReceived accepted": v.AnswerReceived(CONN, ACCEPTED, False),
    "AnswerReceived refused": v.AnswerReceived(
        CONN, P2pConnectionResponse.rejected(RejectionReason.PEER_CAPACITY_FULL), False
    ),
    "AnswerReceived wrong": v.AnswerReceived(CONN, WRONG, False),
    "AnswerSdpCreated": v.AnswerSdpCreated(CONN, sdp("answer")),
    "AnswerSent": v.AnswerSent(CONN),
    "OfferWithdrawn": v.OfferWithdrawn(1),
    "SignalingFailed": v.SignalingFailed(CONN, "refused", ""),
    "SdpFailed local": v.SdpFailed(CONN, False, ""),
    "SdpFailed remote": v.SdpFailed(CONN, True, ""),
    "IceConnected": v.IceConnected(CONN),
    "DtlsConnected": v.DtlsConnected(CONN),
    "ChannelOpened 0": v.ChannelOpened(CONN, 0),
    "ChannelOpened n": v.ChannelOpened(CONN, 3),
    "ChannelClosed 0": v.ChannelClosed(CONN, 0),
    "ChannelClosed n": v.ChannelClosed(CONN, 3),
    "MessageReceived 0": v.MessageReceived(CONN, 0, b"t" * 92),
    "MessageReceived 7": v.MessageReceived(CONN, 7, encode(RpcRequest(2, Rpc.BLOCK, HASH))),
    "MessageReceived 7 bad": v.MessageReceived(CONN, 7, b"\x09garbage"),
    "MessageReceived n": v.MessageReceived(CONN, 1, b"\x00"),
    "MessageReceived n bad": v.MessageReceived(CONN, 1, b"\x07"),
    "MessagesSent": v.MessagesSent(CONN, 1),
    "AuthSealed": v.AuthSealed(CONN, b"s" * 92),
    "AuthOpened passed": v.AuthOpened(CONN, v.AuthVerdict.PASSED),
    "AuthOpened failed": v.AuthOpened(CONN, v.AuthVerdict.MISMATCH),
    "TransportFailed": v.TransportFailed(CONN, "lost", ""),
    "TransportFailed remote": v.TransportFailed(CONN, "early_data", "", True),
    "RequestMade": v.RequestMade(2, CONN, Rpc.BLOCK, HASH, 8.0),
    "RequestCancelled": v.RequestCancelled(CONN, 1),
    "RequestHandled": v.RequestHandled(CONN, 1, b"block"),
    "StreamAsked": v.StreamAsked(3, CONN, HASH, 30.0),
    "PartWanted": v.PartWanted(CONN, 3),
    "StreamCancelled": v.StreamCancelled(CONN, 3),
    "PartMade": v.PartMade(CONN, 1, None),
    "TimerFired ATTEMPT": v.TimerFired(v.Timer.ATTEMPT, CONN, 0),
    "TimerFired CAUTION": v.TimerFired(v.Timer.CAUTION, CONN, 7),
    "TimerFired RPC_REPLY": v.TimerFired(v.Timer.RPC_REPLY, CONN, 1),
    "TimerFired HANDLER": v.TimerFired(v.Timer.HANDLER, CONN, 1),
    "TimerFired DISCOVERED": v.TimerFired(v.Timer.DISCOVERED, CONN, 0),
    "TimerFired REST": v.TimerFired(v.Timer.REST, CONN, 0),
    "TimerFired EXCHANGED": v.TimerFired(v.Timer.EXCHANGED, CONN, 0),
    "TimerFired ITEMS": v.TimerFired(v.Timer.ITEMS, CONN, Channel.SNARK),
    "TimerFired STREAM_PART": v.TimerFired(v.Timer.STREAM_PART, CONN, 0),
    "TimerFired STREAM_MADE": v.TimerFired(v.Timer.STREAM_MADE, CONN, 0),
    "TimerFired STREAM_NEXT": v.TimerFired(v.Timer.STREAM_NEXT, CONN, 0),
}

UNMARKED, MARKED = Way(CONN, Channel.RPC, 3.0), Way(CONN, Channel.RPC, 0.0)

LANES: dict[str, Lane] = {
    "Unopened/unmarked": Unopened(UNMARKED, (b"queued",)),
    "Unopened/marked": Unopened(MARKED, (b"queued",)),
    "Unopened/heard": Unopened(UNMARKED, (b"queued",), heard=True),
    "Cautious": Cautious(UNMARKED, (b"queued",)),
    "Clear": Clear(UNMARKED),
}

LANE_EVENTS: dict[str, v.Event] = {
    "ChannelOpened": v.ChannelOpened(CONN, 7),
    "MessageReceived": v.MessageReceived(CONN, 7, b"x"),
    "TimerFired CAUTION": v.TimerFired(v.Timer.CAUTION, CONN, 7),
}
