# SPDX-License-Identifier: BSD-2-Clause
"""Real shells, asked what they offer behind a line that is not finished."""
import os
import pty
import select
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNPROXY = ROOT / os.environ.get("BUILD", "build") / "unproxy"
COMPLETIONS = ROOT / "dist/completions"


def environment(folder, conf=""):
    """A PATH whose unproxy is the one that was built, and a configuration."""
    (folder / "bin").mkdir(exist_ok=True)
    link = folder / "bin/unproxy"
    if not link.exists():
        link.symlink_to(UNPROXY)
    (folder / "unproxy.conf").write_text(conf)
    return {**os.environ, "PATH": f"{folder}/bin:/usr/bin:/bin", "UNPROXY_CONF": str(folder / "unproxy.conf"),
            "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C"}


BASH = """
[ -z "$LOAD" ] || . /usr/share/bash-completion/bash_completion
. "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_unproxy
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(folder, *words, conf="", library=True):
    """What bash offers in place of the last word."""
    env = environment(folder, conf) | {"LOAD": "1" if library else ""}
    done = subprocess.run(["bash", "-c", BASH, "bash", COMPLETIONS / "unproxy.bash", "unproxy", *words], env=env, cwd=folder,
                          capture_output=True, text=True, timeout=20, check=False)
    assert not done.stderr, done.stderr
    return sorted(filter(None, done.stdout.split("\n")))


ZSH = """
fpath=($COMPLETIONS $fpath)
autoload -U compinit && compinit -u -D
zstyle ':completion:*' completer _complete
compadd() {
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
        local -a hits
        builtin compadd -A hits "$@"
        (( $#hits )) && print -rl -- $hits >>$OFFERED
    fi
    builtin compadd "$@"
}
finished() { print -r -- DONE >>$OFFERED; }
comppostfuncs=(finished)
PS1='> '
"""


def read_until(terminal, wanted, seconds=20):
    text, deadline = b"", time.monotonic() + seconds
    while not wanted(text):
        assert time.monotonic() < deadline, text
        if select.select([terminal], [], [], 0.02)[0]:
            text += os.read(terminal, 65536)
    return text


def zsh(folder, *words, conf=""):
    """What zsh offers at the last word, asked by the TAB key on a terminal."""
    offered = folder / "offered"
    offered.write_text("")
    (folder / "setup").write_text(ZSH)
    env = environment(folder, conf) | {"OFFERED": str(offered), "COMPLETIONS": str(COMPLETIONS)}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe("zsh", ["zsh", "-f", "-i"], env)
    try:
        os.write(terminal, b". ./setup; print REA''DY\n")
        read_until(terminal, lambda text: b"READY" in text)
        # comppostfuncs is emptied each time it was called.
        os.write(terminal, " ".join(["unproxy", *words]).encode() + b"\t")
        read_until(terminal, lambda _: offered.read_text().endswith("DONE\n"))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)
    return sorted(set(offered.read_text().split("\n")) - {"", "DONE"})
