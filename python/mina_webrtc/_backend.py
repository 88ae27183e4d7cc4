"""Picks the backend, `_native` (Rust) or `_pure` (Python), once, when it is first imported.

`MINA_WEBRTC_BACKEND=native|pure` forces one of them: `BackendError` if that one is unusable or the word is unknown.
Otherwise the native one is taken if it is there and of this package's version; if not, a `BackendWarning` says why
before the pure one takes its place. `name` is the one in use.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

from mina_webrtc._version import __version__
from mina_webrtc.errors import BackendError, BackendWarning

if TYPE_CHECKING:
    from mina_webrtc._native import (
        BinProtReader,
        BinProtWriter,
        ChainId,
        Cipher,
        FrameDecoder,
        PeerId,
        PublicKey,
        SecretKey,
        Signature,
        base58_decode,
        base58_encode,
        base58check_decode,
        base58check_encode,
        frame_batch,
        frame_chunks,
        sdp_hash,
    )

VARIABLE: Final = "MINA_WEBRTC_BACKEND"

__all__ = [
    "BinProtReader",
    "BinProtWriter",
    "ChainId",
    "Cipher",
    "FrameDecoder",
    "PeerId",
    "PublicKey",
    "SecretKey",
    "Signature",
    "base58_decode",
    "base58_encode",
    "base58check_decode",
    "base58check_encode",
    "frame_batch",
    "frame_chunks",
    "name",
    "sdp_hash",
]


def pick(forced: str | None) -> tuple[str, ModuleType]:
    """Name and module of the backend; `forced` is the variable's value, None or empty for an automatic choice.

    Raises `BackendError` when the forced one is unknown or cannot be used; warns before falling back by itself.
    """
    if forced not in {None, "", "native", "pure"}:
        raise BackendError(f"{VARIABLE} is {forced!r}; it must be native, pure or unset")
    if forced == "pure":
        return "pure", import_module("mina_webrtc._pure")
    try:
        return "native", _native()
    except BackendError as error:
        if forced == "native":
            raise
        warnings.warn(
            f"{error}; the slower pure-Python backend takes its place (set {VARIABLE}=pure to choose it without this "
            "warning)",
            BackendWarning,
            stacklevel=2,
        )
        return "pure", import_module("mina_webrtc._pure")


def _native() -> ModuleType:
    try:
        module = import_module("mina_webrtc._native")
    except ImportError as error:
        raise BackendError(f"the native backend cannot be imported: {error}") from error
    found = getattr(module, "__version__", None)
    if found != __version__:
        raise BackendError(f"the native backend was built for version {found}, this package is {__version__}")
    return module


name: str
name, _module = pick(os.environ.get(VARIABLE))

if not TYPE_CHECKING:
    globals().update({key: getattr(_module, key) for key in __all__ if key != "name"})
