"""What of Ed25519's curve `cryptography` does not offer: is it a point, and its Montgomery form (RFC 7748 §4.1)."""

from __future__ import annotations

from typing import Final

P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P
SIGN: Final = 2**255


def on_curve(point: bytes) -> bool:
    """Whether 32 bytes decompress to a point, as the reference does it (protocol.md §1).

    A y of p or more is reduced, and x = 0 with the sign bit set is taken, both against RFC 8032 §5.1.3.
    """
    square = _y(point) ** 2
    # x² = u/v has a root when u·v has one; v is never zero, because -1/d is no square.
    product = (square - 1) * (D * square + 1) % P
    return product == 0 or pow(product, (P - 1) // 2, P) == 1


def montgomery(point: bytes) -> bytes:
    """The u coordinate of a point, 32 bytes; the neutral element has none and gives 0."""
    y = _y(point)
    # x ↦ x^(p-2) maps zero to zero, where pow(x, -1, p) raises.
    return ((1 + y) * pow(1 - y, P - 2, P) % P).to_bytes(32, "little")


def _y(point: bytes) -> int:
    return int.from_bytes(point, "little") % SIGN % P
