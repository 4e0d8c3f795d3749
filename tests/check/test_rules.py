# SPDX-License-Identifier: BSD-2-Clause
"""Each rule of scripts/check/rules.py refuses the small tree written for it and accepts its well-made twin."""
import subprocess
import sys
from pathlib import Path

import pytest

RULES = Path(__file__).resolve().parents[2] / "scripts/check/rules.py"
BSD = "/* SPDX-License-Identifier: BSD-2-Clause */\n"
DUAL = "/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n"


def run(root, rule, tree):
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return subprocess.run(
        [sys.executable, RULES, "--root", root, rule], capture_output=True, text=True, check=False
    )


def function(lines, above=""):
    return BSD + above + "static int f(int a)\n{\n" + "\ta++;\n" * (lines - 3) + "}\n"


REFUSED = {
    "no licence": ("spdx", {"user/base/a.c": "int a;\n"}, "user/base/a.c:1"),
    "no licence in a script": ("spdx", {"scripts/a.sh": "#!/bin/sh\n:\n"}, "scripts/a.sh:1"),
    "kernel side under BSD alone": ("spdx", {"bpf/a.bpf.c": BSD}, "bpf/a.bpf.c:1"),
    "daemon under the dual licence": ("spdx", {"user/base/a.c": DUAL}, "user/base/a.c:1"),
    "base includes a stage above": ("direction", {"user/base/a.c": '\n#include "conf/conf.h"\n'}, "user/base/a.c:2"),
    "stages beside each other": ("direction", {"user/client/a.c": '#include "backend/pool.h"\n'}, "client includes"),
    "relay includes the daemon": ("direction", {"user/relay/a.h": '#include "daemon.h"\n'}, "daemon is not below"),
    "a folder without a place": ("direction", {"user/misc/a.c": BSD}, "user/misc has no place"),
    "a contract leans on the daemon": (
        "contracts", {"include/unproxy/a.h": '#include "base/addr.h"\n'}, "include/unproxy/a.h:1"),
    "a program leans on the daemon": ("contracts", {"bpf/a.bpf.c": '#include "base/addr.h"\n'}, "bpf/a.bpf.c:1"),
    "libbpf outside user/kern": ("libbpf", {"user/relay/a.c": "#include <bpf/libbpf.h>\n"}, "user/relay/a.c:1"),
    "a skeleton outside user/kern": ("libbpf", {"user/daemon.c": '#include "relay.skel.h"\n'}, "user/daemon.c:1"),
    "a path of one machine": ("words", {"docs/a.md": "see /ho" "me/me/notes\n"}, "docs/a.md:1"),
    "an unfinished note": ("words", {"user/base/a.c": "/* TO" "DO: later */\n"}, "user/base/a.c:1"),
    "a flag without help": ("flags", {"user/cmd/a.c": '\t"  --two\\n"\n\t{ "one", no_argument, NULL, 1 },\n'}, "user/cmd/a.c:2"),
    "a registry in the lock": (
        "lock", {"tests/package-lock.json": '{\n "resolved": "x"\n}\n'}, "tests/package-lock.json:2"),
    "a link to nowhere": ("links", {"docs/a.md": "see [b](b.md)\n"}, "docs/a.md:1"),
    "a long function": ("size", {"user/base/a.c": function(81)}, "f() has 81 lines"),
    "a long file": ("size", {"user/base/a.c": BSD + "int a;\n" * 500}, "501 lines"),
}

ACCEPTED = {
    "licences": ("spdx", {"user/base/a.c": BSD, "bpf/a.bpf.c": DUAL, "scripts/a.sh": "#!/bin/sh\n# SPDX-License-Identifier: BSD-2-Clause\n"}),
    "downwards": ("direction", {"user/relay/a.c": '#include "relay/b.h"\n#include "client/log.h"\n#include "unproxy/abi.h"\n'}),
    "a neighbour by its short name": ("direction", {"user/conf/a.c": '#include "b.h"\n', "user/conf/b.h": BSD}),
    "contracts": ("contracts", {"bpf/a.bpf.c": '#include "vmlinux.h"\n#include "b.bpf.h"\n#include "unproxy/abi.h"\n', "bpf/b.bpf.h": DUAL}),
    "libbpf in user/kern": ("libbpf", {"user/kern/a.c": '#include <bpf/bpf.h>\n#include "relay.skel.h"\n'}),
    "words": ("words", {"docs/a.md": "/sys/fs/bpf and network/work/flow and https://example.com/home/x\n"}),
    "flags": ("flags", {"user/cmd/a.c": '\t"  --two  text"\n\t{ "one", no_argument, NULL, 1 }, { "two", no_argument, NULL, 2 },\n',
                        "user/cmd/a.h": '\t"  -o, --one\\n"'}),
    "links": ("links", {"docs/a.md": "[b](../b.md#part) [c](https://example.com/c)\n", "b.md": "x\n"}),
    "a function at the limit": ("size", {"user/base/a.c": function(80)}),
    "a long function with its reason": ("size", {"user/base/a.c": function(200, "/* Long because it is a table. */\n")}),
    "build output": ("words", {"build/a.c": "/ho" "me/me/x\n"}),
}


@pytest.mark.parametrize("rule, tree, where", REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, rule, tree, where):
    result = run(tmp_path, rule, tree)
    assert result.returncode == 1, result.stderr
    assert where in result.stdout


@pytest.mark.parametrize("rule, tree", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(tmp_path, rule, tree):
    result = run(tmp_path, rule, tree)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_every_rule_has_a_bad_tree():
    listed = subprocess.run([sys.executable, RULES, "--list"], capture_output=True, text=True, check=True).stdout
    assert {line.partition(":")[0] for line in listed.splitlines()} == {rule for rule, _, _ in REFUSED.values()}
