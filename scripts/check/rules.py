#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The project's own rules as code: what no ready-made linter knows.

Usage: rules.py [--root DIR] [--notes | --list] [RULE...]     exit 1 and one line per offence: file:line: message
Each function below whose name begins with rule_ is a rule; its docstring is its reason.
tests/check holds a small tree per rule that must be refused.
"""
import argparse
import re
import statistics
import sys
from pathlib import Path

SKIP_DIRS = {"build", "node_modules", "__pycache__", ".git", ".pytest_cache", "corpus", "vectors"}
GENERATED = {"compile_commands.json"}
SOURCE = {".c", ".h", ".py", ".sh", ".js", ".mjs"}

# base <- {loop, obs, conf} <- {kern, client, backend, takeover} <- deny <- {relay, inline} <- {change, snapshot} <- ctl <- {daemon, doctor} <- cmd <- main
LEVELS = [
    {"base"},
    {"loop", "obs", "conf"},
    {"kern", "client", "backend", "takeover"},
    {"deny"},
    {"relay", "inline"},
    {"change", "snapshot"},
    {"ctl"},
    {"daemon", "doctor"},
    {"cmd"},
    {"main"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}

FUNCTION_MAX = 80
FILE_MAX = 500
NESTING_MAX = 3
PARAMETERS_MAX = 5


def files(root, *suffixes):
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and not path.is_symlink() and path.name not in GENERATED and not SKIP_DIRS & set(inside.parts):
            if not suffixes or path.suffix in suffixes:
                yield inside.as_posix(), path


def text(path):
    return path.read_text(errors="surrogateescape")


def includes(path):
    for number, line in enumerate(text(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[1] == "<", match[2]


def rule_spdx(root):
    """Every source file says its licence in its first lines; the kernel side is dual."""
    for name, path in files(root):
        head = text(path).splitlines()[:3] if path.suffix in SOURCE or path.name in ("Makefile", "run") else None
        if head is None:
            continue
        found = re.search(r"SPDX-License-Identifier: ([^*\n]+?) *(\*/)?$", "\n".join(head), re.M)
        if not found:
            yield name, 1, "no SPDX-License-Identifier in the first lines"
            continue
        dual = "(GPL-2.0-only OR BSD-2-Clause)"
        wanted = {"BSD-2-Clause"}
        if name.startswith(("bpf/", "include/unproxy/")) or name.endswith(".bpf.c"):
            wanted = {dual}
        elif name.startswith("tests/bpf/"):
            wanted.add(dual)  # what its programs include
        if found[1] not in wanted:
            yield name, 1, f"licence is {found[1]}, here it is {' or '.join(sorted(wanted))}"


def stage(name):
    """user/kern/load.c -> kern; user/daemon.c -> daemon."""
    parts = name.split("/")[1:]
    return parts[0] if len(parts) > 1 else parts[0].split(".")[0]


def rule_direction(root):
    """A stage includes only stages below it, so that each can be read, tested and replaced alone."""
    for name, path in files(root, ".c", ".h"):
        if not name.startswith("user/"):
            continue
        own = stage(name)
        if own not in LEVEL:
            yield name, 1, f"user/{own} has no place in the order of stages (scripts/check/rules.py)"
            continue
        for number, system, target in includes(path):
            if system or target.startswith("unproxy/") or target.endswith(".skel.h"):
                continue
            other = stage("user/" + target) if "/" in target or not (path.parent / target).exists() else own
            if other not in LEVEL:
                yield name, number, f"includes {target}, which is no stage of user/"
            elif other != own and LEVEL[other] >= LEVEL[own]:
                yield name, number, f"{own} includes {target}: {other} is not below it"


def rule_contracts(root):
    """include/unproxy and bpf/ lean on nothing of the daemon's."""
    for name, path in files(root, ".c", ".h"):
        if not name.startswith(("include/unproxy/", "bpf/")):
            continue
        for number, system, target in includes(path):
            local = (path.parent / target).exists()
            if not system and not local and not target.startswith("unproxy/") and target != "vmlinux.h":
                yield name, number, f"includes {target}: only unproxy/*.h, vmlinux.h and its own folder"


def rule_libbpf(root):
    """user/kern is the only code that calls libbpf: the rest runs and is tested without a kernel side."""
    for name, path in files(root, ".c", ".h"):
        if not name.startswith("user/") or name.startswith("user/kern/"):
            continue
        for number, _, target in includes(path):
            if target.startswith("bpf/") or target.endswith(".skel.h"):
                yield name, number, f"includes {target}: only user/kern may"


# Written in pieces where needed, so that this file does not offend itself.
FORBIDDEN = [
    (re.compile(r"(?<![\w./:$}*-])/(?:work|home|root|farm|Users)/\w"), "a path of one machine"),
    (re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b"), "an unfinished note: finish it or file an issue"),
]


def rule_words(root):
    """Nothing in the tree may depend on whose machine it is; no unfinished notes."""
    for name, path in files(root):
        if path.suffix in (".png", ".bin") or name.startswith("tests/fuzz/corpus"):
            continue
        for number, line in enumerate(text(path).splitlines(), 1):
            for pattern, why in FORBIDDEN:
                found = pattern.search(line)
                if found:
                    yield name, number, f"{why}: {found[0]}"


def rule_flags(root):
    """What a command takes stands in its usage: the man page and the completions are printed from that."""
    for name, path in files(root, ".c"):
        if not name.startswith("user/cmd/"):
            continue
        told = text(path)
        header = path.with_suffix(".h")
        told += text(header) if header.exists() else ""
        for number, line in enumerate(text(path).splitlines(), 1):
            for flag in re.findall(r'\{ "([\w-]+)", (?:no|required|optional)_argument', line):
                if not re.search(rf'"  [^"]*--{flag}[ ,\\]', told):
                    yield name, number, f"--{flag} is not in the usage"


def rule_lock(root):
    """The npm lock holds versions and hashes; which registry serves them is each machine's own affair."""
    for name, path in files(root, ".json"):
        if path.name == "package-lock.json":
            for number, line in enumerate(text(path).splitlines(), 1):
                if '"resolved"' in line:
                    yield name, number, "a download address in the lock (npm config omit-lockfile-registry-resolved)"


def rule_links(root):
    """A link in the documentation leads somewhere."""
    for name, path in files(root, ".md"):
        for number, line in enumerate(text(path).splitlines(), 1):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if "://" not in target and not (path.parent / target).exists():
                    yield name, number, f"link to {target}, which is not there"


def strip_noise(line):
    """Without strings, characters and comments that end on the same line."""
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    line = re.sub(r"'(\\.|[^'\\])*'", "''", line)
    return re.sub(r"/\*.*?\*/|//.*", "", line)


def functions(path):
    """(first line, lines, name, parameters, nesting, comment above) of each function; relies on clang-format's layout."""
    lines = text(path).splitlines()
    start = None
    for at, line in enumerate(lines):
        if line == "{" and start is None:
            start = at
            while start > 0 and lines[start - 1].strip() and not re.search(r"[;}]$|\*/$|^#", lines[start - 1]):
                start -= 1
            body = at
        elif line.startswith("}") and start is not None:
            above = start
            while above > 0 and re.match(r"\s*(/?\*|//)", lines[above - 1]):
                above -= 1
            signature = " ".join(strip_noise(l) for l in lines[start:body])
            name = re.search(r"(\w+)\s*\(", signature)
            depth = deepest = 0
            for inner in lines[body : at + 1]:
                for char in strip_noise(inner):
                    depth += (char == "{") - (char == "}")
                    deepest = max(deepest, depth)
            comma = signature.rpartition(")")[0]
            parameters = comma.count(",") + 1 if "(" in comma and not re.search(r"\(\s*(void)?\s*$", comma) else 0
            yield (start + 1, at - start + 1, name[1] if name else "?", parameters, deepest - 1,
                   "\n".join(lines[above:start]))
            start = None


def rule_size(root):
    """A function is read at one glance, a file in one sitting; what must be longer says why."""
    for name, path in files(root, ".c", ".h"):
        length = len(text(path).splitlines())
        if length > FILE_MAX:
            yield name, FILE_MAX + 1, f"{length} lines; a file has at most {FILE_MAX}"
        for line, size, function, _, _, above in functions(path):
            if size > FUNCTION_MAX and "Long because" not in above:
                yield name, line, f"{function}() has {size} lines; at most {FUNCTION_MAX}, or a comment \"Long because ...\""


def notes(root):
    """Worth a look, no offence: deep nesting, many parameters, and the median."""
    sizes = []
    for name, path in files(root, ".c", ".h"):
        if not name.startswith(("bpf/", "user/", "include/")):
            continue
        for line, size, function, parameters, nesting, _ in functions(path):
            sizes.append(size)
            if nesting > NESTING_MAX:
                yield f"{name}:{line}: note: {function}() nests {nesting} deep (aim: {NESTING_MAX})"
            if parameters > PARAMETERS_MAX:
                yield f"{name}:{line}: note: {function}() takes {parameters} parameters (aim: {PARAMETERS_MAX})"
    if sizes:
        yield f"note: {len(sizes)} functions, median {statistics.median(sizes):.0f} lines, longest {max(sizes)}"


RULES = {name[5:]: rule for name, rule in sorted(globals().items()) if name.startswith("rule_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--notes", action="store_true", help="print what is worth a look, no offence")
    parser.add_argument("--list", action="store_true", help="print the rules' names and reasons")
    parser.add_argument("rules", nargs="*", metavar="RULE", help=" ".join(RULES))
    args = parser.parse_args()
    unknown = [name for name in args.rules if name not in RULES]
    if unknown:
        parser.error(f"no rule {unknown[0]}; there are: {' '.join(RULES)}")
    if args.list:
        print("\n".join(f"{name}: {rule.__doc__}" for name, rule in RULES.items()))
        return 0
    if args.notes:
        print("\n".join(notes(args.root)))
        return 0
    offences = [
        f"{name}:{line}: {rule}: {message}"
        for rule in args.rules or RULES
        for name, line, message in RULES[rule](args.root)
    ]
    print("\n".join(offences), end="\n" if offences else "")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
