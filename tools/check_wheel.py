"""Looks into the wheels of a folder: all that must be in them is there, and they run where their names say.

maturin checks the same things in its own way while it builds; this reads the finished files.
"""

from __future__ import annotations

import re
import sys
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

EXTENSION = "mina_webrtc/_native.abi3.so"
INSIDE = {"mina_webrtc/py.typed", "mina_webrtc/_native.pyi", "mina_webrtc/_pure/__init__.py", EXTENSION}
NOTES = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/THIRD_PARTY_LICENSES.txt"}
ALIEN = re.compile(r"(^|/)(tests|benches|docs|node_modules|__pycache__)/|\.(pyc|rs|toml|lock)$")
MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine of the ELF header
NEEDED = {b"libc.so.6", b"libdl.so.2", b"libgcc_s.so.1", b"libm.so.6", b"libpthread.so.0", b"librt.so.1"}
GLIBC = (2, 17)  # what manylinux2014 promises


def faults(path: Path) -> list[str]:
    """What is wrong with one wheel, in words."""
    name = re.fullmatch(r"mina_webrtc-([\w.]+)-cp311-abi3-manylinux2014_(\w+?)\.manylinux_2_17_\2\.whl", path.name)
    if name is None:
        return ["its name is not that of a manylinux2014 wheel for CPython 3.11 and newer"]
    with ZipFile(path) as wheel:
        names = set(wheel.namelist())
        notes = {f"mina_webrtc-{name[1]}.dist-info/{note}" for note in NOTES}
        found = [f"{missing} is missing" for missing in sorted((INSIDE | notes) - names)]
        found += [f"{entry} does not belong in it" for entry in sorted(names) if ALIEN.search(entry)]
        if found:
            return found
        found += _faults_of_metadata(wheel.read(f"mina_webrtc-{name[1]}.dist-info/METADATA"), name[1])
        return found + _faults_of_extension(wheel.read(EXTENSION), name[2])


def _faults_of_metadata(data: bytes, version: str) -> list[str]:
    fields = message_from_bytes(data)
    wanted = {"Version": version, "License-Expression": "Apache-2.0", "Requires-Python": ">=3.11"}
    found = [f"{key} is {fields[key]}, not {value}" for key, value in wanted.items() if fields[key] != value]
    return found if "Typing :: Typed" in fields.get_all("Classifier", []) else [*found, "it is not marked as typed"]


def _faults_of_extension(data: bytes, machine: str) -> list[str]:
    found = []
    if data[:4] != b"\x7fELF" or int.from_bytes(data[18:20], "little") != MACHINES[machine]:
        found.append(f"the extension is not for {machine}")
    versions = {tuple(map(int, text.split(b"."))) for text in re.findall(rb"\0GLIBC_(\d+(?:\.\d+)+)(?=\0)", data)}
    if not versions or max(versions) > GLIBC:
        found.append(f"the extension asks for glibc {max(versions, default='?')}, not at most {GLIBC}")
    libraries = set(re.findall(rb"(?<=\0)lib[\w+-]+\.so(?:\.\d+)*(?=\0)", data))
    found += [f"the extension asks for {library.decode()}" for library in sorted(libraries - NEEDED)]
    return found


def main() -> int:
    """Check every wheel of the folder named first."""
    wheels = sorted(Path(sys.argv[1]).glob("*.whl"))
    found = [f"{wheel.name}: {fault}" for wheel in wheels for fault in faults(wheel)]
    print("\n".join(found) if found else f"{len(wheels)} wheels, nothing wrong with them", file=sys.stderr)
    return 1 if found or not wheels else 0


if __name__ == "__main__":
    sys.exit(main())
