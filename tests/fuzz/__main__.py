"""`python -m tests.fuzz TARGET [libFuzzer's arguments]`: one of `checks` under atheris, with coverage of the package.

`-max_total_time=60 FOLDER tests/corpus/TARGET` keeps what it finds in FOLDER; a crash's input is a file in the current
folder unless `-artifact_prefix` names another.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mina_webrtc", "json"]):
    from tests.fuzz.checks import CHECKS

target = sys.argv.pop(1)
words = Path(__file__).parent / "words" / target
if words.exists():
    sys.argv.append(f"-dict={words}")
atheris.Setup(sys.argv, CHECKS[target])
atheris.Fuzz()
