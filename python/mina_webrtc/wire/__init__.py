"""Bytes and text to values and back: addresses, signaling messages, SDP, authentication, channel messages.

Everything here is data in, data out, and raises nothing but `mina_webrtc.errors` on what a peer may have written.
"""
