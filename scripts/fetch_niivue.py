"""Take NiiVue, which shows volumes in the private report, out of its npm package.

    npm pack PACKAGE …          each of PACKAGES below, into one folder
    python scripts/fetch_niivue.py FOLDER

Writes ``niivue.umd.js``, and the licences of all that is in it, below ``bidsdeface/report/data``; running it
again writes the same bytes. Nothing of the packages is executed.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path

NIIVUE = "@niivue/niivue@0.69.0"
PACKAGES = {
    NIIVUE: "6e9a6a471b428eb3b258a0086beca9187d95e43a781a39e8a519c6da246af485",
    "@lukeed/csprng@1.1.0": "6ee3bffb2840d06f6717607142c6c3156139c6e9254390ac9ad91f69ab601b42",
    "@lukeed/uuid@2.0.1": "54beeedbb0087987c04591bc3adb18ba6099c8ddb0dcdc271fc564f1376bb7ee",
    "@ungap/structured-clone@1.2.0": "9745a55b62b449948a0389b9cbd756cc5688e561c94846b090c88813c5014763",
    "array-equal@1.0.2": "2223d3c01ba35e4948ed5e19e903c18e0a2c3530a96957423e31b03e1ddabb51",
    "fflate@0.8.2": "61fd5061e2fc8e5e3e3129f7f2fec7bd78a313e1bf4becbf1cc1cc9998d141dc",
    "gl-matrix@3.4.3": "b1ec4d97dc97f9884f5f017b7f9c3555884b4d3191534cdc59b7ede27dc4ea75",
    "nifti-reader-js@0.8.0": "30528e62dfdf31488afe9f857dca8a03893f42dadec356ec5cf073e5d7d31949",
    "numcodecs@0.3.2": "7edfa5a4358a028eb4e339d46ffbf8d8d7ce30e89e410f5ede1b0eadb556a15a",
    "@zarrita/storage@0.1.0": "8f0f32e29d31b493379c1ad91a9f5d56b7ea3cfe1a760d0cc6bbdcf4d9dcfe23",
    "zarrita@0.5.0": "bd8442ba0e010078f5af3982ef4254782f6b5be945283379db1927caeb6c9538",
}
SCRIPT = "package/dist/niivue.umd.js"
TARGET = Path(__file__).parents[1] / "bidsdeface" / "report" / "data"
LICENCE = re.compile(r"package/licen[cs]e(\.\w+)?", re.IGNORECASE)
# The package names this licence and does not hold its text.
BSD_2 = """\
BSD 2-Clause License

Copyright (c) 2021, Niivue
All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this
   list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice,
   this list of conditions and the following disclaimer in the documentation
   and/or other materials provided with the distribution.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"
AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""


def main() -> None:
    """Read the packages and write the script and the licences."""
    texts = {NIIVUE: BSD_2}
    TARGET.mkdir(exist_ok=True)
    for name, sha256 in PACKAGES.items():
        path = Path(sys.argv[1], f"{re.sub('[@/]', '-', name.removeprefix('@'))}.tgz")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            sys.exit(f"{path}: is not {name} as on npm")
        with tarfile.open(fileobj=io.BytesIO(content)) as package:
            files = {member.name: package.extractfile(member) for member in package if member.isfile()}
            contents = {one: file.read() for one, file in files.items() if file}
        if name == NIIVUE:
            (TARGET / "niivue.umd.js").write_bytes(contents[SCRIPT])
        else:
            (texts[name],) = (contents[one].decode() for one in contents if LICENCE.fullmatch(one))
    whole = "\n".join(f"{name}\n{'=' * len(name)}\n\n{text.strip()}\n" for name, text in texts.items())
    (TARGET / "niivue-LICENSES.txt").write_text(whole, encoding="utf-8")


if __name__ == "__main__":
    main()
