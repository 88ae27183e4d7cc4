"""Writes THIRD_PARTY_LICENSES.txt: the licence texts of every crate whose code is inside the native extension.

`--check` writes nothing and fails when the file is not what would be written. Build scripts and procedural macros run
when the extension is compiled and are not part of it, so their crates are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "THIRD_PARTY_LICENSES.txt"
EXTENSION = "mina-webrtc-native"
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
RULE = "=" * 80
HEAD = f"""\
The native extension of mina-webrtc contains code of the Rust crates below, each under the licence named beside it,
and of the Rust standard library (MIT OR Apache-2.0, https://www.rust-lang.org), taken under the Apache License 2.0
in the file LICENSE. Where a crate offers a choice that includes the MIT licence, it is taken under that.

Written by tools/third_party.py (`make licenses`).

{RULE}
"""

Package = dict[str, Any]


def crates() -> list[Package]:
    """The crates linked into the extension, on any of the platforms that wheels are built for, by name."""
    found: dict[str, Package] = {}
    for target in TARGETS:
        command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        metadata = json.loads(done.stdout)
        packages = {package["id"]: package for package in metadata["packages"]}
        found |= _linked(packages, {node["id"]: node["deps"] for node in metadata["resolve"]["nodes"]})
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def _linked(packages: dict[str, Package], links: dict[str, Any]) -> dict[str, Package]:
    todo = [key for key, package in packages.items() if package["name"] == EXTENSION]
    seen = set(todo)
    while todo:
        for link in links[todo.pop()]:
            normal = any(kind["kind"] is None for kind in link["dep_kinds"])
            macro = any("proc-macro" in target["kind"] for target in packages[link["pkg"]]["targets"])
            if normal and not macro and link["pkg"] not in seen:
                seen.add(link["pkg"])
                todo.append(link["pkg"])
    return {key: packages[key] for key in seen if packages[key]["source"] is not None}


def texts(package: Package) -> list[str]:
    """The licence texts that the crate carries; of a choice with MIT in it, that one."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")))
    if "MIT" in package["license"] and "AND" not in package["license"]:
        files = [path for path in files if "MIT" in path.name.upper()] or files
    files += sorted(folder.glob("NOTICE*"))
    if not files:
        raise SystemExit(f"{package['name']} {package['version']} carries no licence text; add it by hand")
    return ["\n".join(line.rstrip() for line in path.read_text("utf-8").strip().splitlines()) for path in files]


def document() -> str:
    """The whole file: a list of the crates, then each text once, under the names of the crates that carry it."""
    packages = crates()
    owners: dict[str, list[str]] = {}
    for package in packages:
        for text in texts(package):
            owners.setdefault(text, []).append(f"{package['name']} {package['version']}")
    listed = "".join(f"{p['name']} {p['version']}: {p['license']}\n" for p in packages)
    return HEAD + "\n" + listed + "".join(f"\n{RULE}\n{', '.join(names)}\n\n{text}\n" for text, names in owners.items())


def main() -> int:
    """Write the file, or compare it with `--check`."""
    expected = document()
    if "--check" not in sys.argv[1:]:
        OUTPUT.write_text(expected, "utf-8")
        return 0
    if not OUTPUT.exists() or OUTPUT.read_text("utf-8") != expected:
        print(f"{OUTPUT.name} is out of date; run `make licenses`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
