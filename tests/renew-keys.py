#!/usr/bin/env python3
"""Prints src/keys.tsv anew from a Git repository of gitlab-runner with its tags, without a network.

    tests/renew-keys.py DIRECTORY > keys.tsv

Reads the sources at every tag vX.Y.Z from 12.0 on, and at HEAD, whose version stands in the file VERSION. The first
version that reads a key is the first tag from which on every later one has it; the first that no longer does is the
first tag after the last one that has it. HEAD counts as the newest, so do not run it on an old branch.
"""

import re
import subprocess
import sys

MODULE = "gitlab.com/gitlab-org/gitlab-runner/"
OLDEST = (12, 0, 0)
# Where the file's own struct is: package and name.
TOP = ("common", "Config")
SIMPLE = {
    "string": "string",
    "bool": "bool",
    "float64": "float",
    "time.Duration": "duration",
    "time.Time": "datetime",
    "StringOrArray": "strings",
}
# By what they hold.
MAPS = {"string": "texts", "int": "ints", "bool": "bools", "list": "lists"}
HEADER = """\
# Keys of gitlab-runner's config.toml, read from its source at {version} ({date}). Made by tests/renew-keys.py.
# Section, key, type, first version that reads it, first version that no longer does. No first version: it is
# older than 12.1. Sections are tables from the top; `global` is the top itself.
# Types: string, bool, int, float, list (of strings), strings (a string or a list of them), floats (a list),
# duration (a string like "1h", or nanoseconds), datetime, texts (a table of free names with strings), ints, bools, lists
# (the same with those), map (one with others), table, tables, other.
# The feature flags are those that the code asks for: [runners.feature_flags] itself takes any name."""
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
ALIAS = re.compile(r"^(?:type |\t)(\w+)\s+=?\s*([\w\[\]*.{}]+)$", re.M)
IMPORT = re.compile(r'^\t(?:import )?(?:(\w+) )?"' + re.escape(MODULE) + r'([\w/.-]+)"$', re.M)
# The one that tests alone ask for is none.
FLAG = re.compile(r'^\t\w+\s+(?:string\s+)?= "(FF_\w+)"$', re.M)
FLAGS = ("runners", "feature_flags"), "helpers/featureflags"
FIELD = re.compile(r"^\t(\*?(?:\w+\.)?\w+)(?:[ \t]+([^\s`/]+))?(?:[ \t]+`([^`]*)`)?[ \t]*(?://.*)?$", re.M)


class Repository:
    def __init__(self, directory):
        self.directory = directory
        self.texts = {}

    def git(self, *words):
        run = subprocess.run(["git", "-C", self.directory, *words], check=True, stdout=subprocess.PIPE)
        return run.stdout.decode()

    def tags(self):
        """The tags of releases, oldest first."""
        found = re.findall(r"^v(\d+)\.(\d+)\.(\d+)$", self.git("tag"), re.M)
        return sorted(version for version in (tuple(map(int, parts)) for parts in found) if version >= OLDEST)

    def files(self, commit):
        """The Go files of each package at a commit: the hash of what they hold."""
        packages = {}
        for line in self.git("ls-tree", "-r", commit).splitlines():
            (_, _, blob), path = line.split("\t")[0].split(), line.split("\t")[1]
            if path.endswith(".go") and not path.endswith("_test.go") and "/" in path:
                packages.setdefault(path.rsplit("/", 1)[0], []).append(blob)
        return packages

    def text(self, blob):
        if blob not in self.texts:
            self.texts[blob] = self.git("cat-file", "blob", blob)
        return self.texts[blob]


class Source:
    """What the types of one commit are. A type is known by its package and its name."""

    def __init__(self, repository, packages):
        self.repository = repository
        self.packages = packages
        self.read = {}
        # The blobs that were looked at: other commits with the same ones have the same keys.
        self.used = set()

    def package(self, path):
        """Structs and other types of a package: what is in them, and what the imports of their file are."""
        if path not in self.read:
            structs, aliases = {}, {}
            self.used.add((path, tuple(self.packages.get(path, ()))))
            for blob in self.packages.get(path, ()):
                text = self.repository.text(blob)
                imports = {name or target.rsplit("/", 1)[-1]: target for name, target in IMPORT.findall(text)}
                structs.update((name, (body, imports)) for name, body in STRUCT.findall(text))
                aliases.update((name, (kind, imports)) for name, kind in ALIAS.findall(text))
            self.read[path] = structs, aliases
        return self.read[path]

    def find(self, go, package, imports):
        """Package and name of a type as a file of `package` writes it."""
        qualifier, _, name = go.rpartition(".")
        return (imports.get(qualifier), name) if qualifier else (package, name)

    def fields(self, package, struct):
        """Name, Go type, package and imports of each key of a struct, with those of what is embedded in it."""
        body, imports = self.package(package)[0][struct]
        for name, go, tag in FIELD.findall(body):
            toml = re.search(r'toml:"([^",]*)', tag)
            if not go and not toml:
                inner, inner_name = self.find(name.lstrip("*"), package, imports)
                if inner and inner_name in self.package(inner)[0]:
                    yield from self.fields(inner, inner_name)
            elif not go or (toml and toml.group(1) == "-") or not name[0].isupper():
                continue
            else:
                yield (toml.group(1) if toml and toml.group(1) else name), go, package, imports

    def kind(self, go, package, imports):
        """Our type for a Go type, and the struct whose keys are below it."""
        go = go.lstrip("*")
        if go in SIMPLE:
            return SIMPLE[go], None
        if re.fullmatch(r"u?int(8|16|32|64)?", go):
            return "int", None
        if go.startswith("map["):
            return MAPS.get(self.kind(go.partition("]")[2], package, imports)[0], "map"), None
        if go.startswith("[]"):
            kind, struct = self.kind(go[2:], package, imports)
            lists = {"string": "list", "float": "floats", "table": "tables"}
            return lists.get(kind, "other"), struct
        package, name = self.find(go, package, imports)
        structs, aliases = self.package(package) if package else ({}, {})
        if name in structs:
            return "table", (package, name)
        if name in SIMPLE:
            return SIMPLE[name], None
        if name in aliases:
            go, imports = aliases[name]
            return self.kind(go, package, imports)
        # Another module's.
        return "other", None

    def keys(self, struct=TOP, section="global", above=()):
        """Section, name and type of every key, a section after the keys of the one above it."""
        below = []
        for name, go, package, imports in self.fields(*struct):
            kind, inner = self.kind(go, package, imports)
            yield section, name, kind
            if inner and inner not in above:
                below.append((inner, name if section == "global" else f"{section}.{name}"))
        for inner, path in below:
            yield from self.keys(inner, path, (*above, struct))


def keys_of(repository, commit, known):
    """The keys at a commit, with their types. `known` are those of commits that were read before."""
    packages = repository.files(commit)
    for used, keys in reversed(known):
        if all(tuple(packages.get(path, ())) == blobs for path, blobs in used):
            return keys
    source = Source(repository, packages)
    keys = {}
    for section, name, kind in source.keys():
        keys.setdefault((section, name), kind)
    table, package = FLAGS
    if table in keys:
        keys[table] = "table"
        source.package(package)
        for flag in (flag for blob in packages.get(package, ()) for flag in FLAG.findall(repository.text(blob))):
            keys[".".join(table), flag] = "bool"
    known.append((source.used, keys))
    return keys


def written(version):
    """`16.9` for (16, 9, 0)."""
    return ".".join(map(str, version[: 3 if version[2] else 2]))


def main(directory):
    repository, known = Repository(directory), []
    head = repository.git("show", "HEAD:VERSION").strip()
    newest = tuple(map(int, re.match(r"(\d+)\.(\d+)\.(\d+)", head).groups()))
    tags = [tag for tag in repository.tags() if tag < newest]
    releases = [(tag, keys_of(repository, f"v{'.'.join(map(str, tag))}", known)) for tag in tags]
    releases.append((newest, keys_of(repository, "HEAD", known)))
    # In the order of the newest source; what went away stands behind its section.
    order = dict.fromkeys(releases[-1][1])
    order.update((key, None) for _, keys in reversed(releases) for key in keys)
    sections = dict.fromkeys(section for section, _ in order)
    print(HEADER.format(version=written(newest), date=repository.git("log", "-1", "--format=%cs").strip()[:7]))
    for section in sections:
        for key in (key for key in order if key[0] == section):
            has = [index for index, (_, keys) in enumerate(releases) if key in keys]
            first = last = has[-1]
            while first > 0 and key in releases[first - 1][1]:
                first -= 1
            since = written(releases[first][0]) if first > 0 else ""
            until = written(releases[last + 1][0]) if last + 1 < len(releases) else ""
            print("\t".join([*key, releases[last][1][key], since, until]).rstrip("\t"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
