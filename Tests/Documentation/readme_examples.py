#!/usr/bin/env python3
"""Fails when a Swift example of the README is not, word by word, in the example file it names.

A block is named by a comment on the line before it: <!-- Examples/Ring/main.swift -->
"""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
readme = (root / "README.md").read_text()
pattern = re.compile(r"^(?:<!-- (\S+) -->\n)?```swift\n(.*?)^```$", re.MULTILINE | re.DOTALL)
failures = []
found = 0
for match in pattern.finditer(readme):
    name, text = match.groups()
    if name is None:
        continue
    found += 1
    path = root / name
    if not path.is_file():
        failures.append(f"README.md shows {name}, which does not exist")
    elif text.strip() not in path.read_text():
        failures.append(f"README.md and {name} differ: copy the example into the README")
if found < 3:
    failures.append(f"README.md shows {found} examples instead of 3 or more")
for failure in failures:
    print(f"error: {failure}", file=sys.stderr)
sys.exit(1 if failures else 0)
