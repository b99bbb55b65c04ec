#!/usr/bin/env python3
"""Prints src/keys.tsv anew from gitlab-runner's own source, without a network.

    tests/renew-keys.py VERSION DATE common/config.go [FILE.go …] > keys.tsv

Give the files that `common/config.go` takes types from as well: `helpers/docker/credentials.go` (the link to the
daemon), `cache/cacheconfig/config.go`, `common/config/runner/monitoring.go`, `referees/referees.go`. A struct that
is in none of them becomes a table that is not judged.

First and last versions are not in the source: those of the present table are kept, a new key gets VERSION, and a
key that is gone gets it as the first version that no longer reads it. Look at both before you commit them.
"""

import os
import re
import sys

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "keys.tsv")
# Deeper tables of these sections are left out: too many keys that no host of ours has.
SHALLOW = {"runners.kubernetes", "runners.referees", "runners.monitoring"}
SIMPLE = {
    "string": "string",
    "bool": "bool",
    "float64": "float",
    "time.Duration": "duration",
    "time.Time": "datetime",
    "StringOrArray": "strings",
}
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
ALIAS = re.compile(r"^type (\w+) ([\w\[\]*.{}]+)$", re.M)
FIELD = re.compile(r"^\t(?:\w+\.)?(\w+)(?:[ \t]+([^\s`/]+))?(?:[ \t]+`([^`]*)`)?[ \t]*(?://.*)?$", re.M)


class Source:
    def __init__(self, paths):
        text = "\n".join(open(path, encoding="utf-8").read() for path in paths)
        self.structs = {name: body for name, body in STRUCT.findall(text)}
        self.aliases = {name: kind for name, kind in ALIAS.findall(text)}

    def fields(self, struct):
        """Name and Go type of each key of a struct, with those of the structs that are embedded in it."""
        for name, kind, tag in FIELD.findall(self.structs[struct]):
            toml = re.search(r'toml:"([^",]*)', tag)
            if not kind and not tag:
                if name in self.structs:
                    yield from self.fields(name)
            elif (toml and toml.group(1) == "-") or not name[0].isupper():
                continue
            else:
                yield (toml.group(1) if toml and toml.group(1) else name), kind

    def kind(self, go):
        """Our type for a Go type, and the struct whose keys are below it."""
        go = go.lstrip("*")
        bare = go.split(".")[-1]
        if go in SIMPLE or bare in SIMPLE:
            return SIMPLE.get(go) or SIMPLE[bare], None
        if re.fullmatch(r"u?int(8|16|32|64)?", go):
            return "int", None
        if go.startswith("map["):
            return "map", None
        if go.startswith("[]"):
            kind, struct = self.kind(go[2:])
            lists = {"string": "list", "float": "floats", "table": "tables"}
            return lists.get(kind, "other"), struct
        if bare in self.structs:
            return "table", bare
        if bare in self.aliases:
            return self.kind(self.aliases[bare])
        return "table", None

    def keys(self, struct, section, above=()):
        """Section, name and type of every key, a section after the keys of the one above it."""
        below = []
        for name, go in self.fields(struct):
            kind, inner = self.kind(go)
            yield section, name, kind
            if inner and inner not in above and section not in SHALLOW:
                below.append((inner, name if section == "global" else f"{section}.{name}"))
        for inner, path in below:
            yield from self.keys(inner, path, (*above, struct))


def main():
    version, date, *paths = sys.argv[1:]
    lines = open(TABLE, encoding="utf-8").read().splitlines()
    known = {tuple(line.split("\t")[:2]): line.split("\t") for line in lines if line[:1] not in ("", "#")}
    header = [line for line in lines if line.startswith("#")]
    header[0] = re.sub(r"at \S+ \(\S+\)", f"at {version} ({date})", header[0])
    print("\n".join(header))
    seen = set()
    for section, name, kind in Source(paths).keys("Config", "global"):
        if (section, name) in seen:
            continue
        seen.add((section, name))
        old = known.get((section, name))
        versions = old[3:] if old else [version]
        print("\t".join([section, name, kind, *versions]).rstrip("\t"))
    # What the source no longer has; a section that it does not even know may lack its file.
    sections = {section for section, _ in seen}
    for (section, name), fields in known.items():
        if (section, name) not in seen:
            fields = fields + [""] * (5 - len(fields))
            if section in sections and not fields[4]:
                fields[4] = version
            print("\t".join(fields).rstrip("\t"))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main()
