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
tab() { zle complete-word; print -r -- DONE >>$OFFERED; }
zle -N tab
bindkey '^I' tab
PS1='> '
"""


def read_until(terminal, wanted, seconds=20):
    text, deadline = b"", time.monotonic() + seconds
    while not wanted(text):
        assert time.monotonic() < deadline, text
        if select.select([terminal], [], [], 0.02)[0]:
            text += os.read(terminal, 65536)
    return text


class Zsh:
    """A zsh on a terminal, asked by its TAB key; one for many questions, as compinit takes its time."""

    def __init__(self, folder):
        self.folder, self.offered = folder, folder / "offered"
        (folder / "setup").write_text(ZSH)
        env = environment(folder) | {"OFFERED": str(self.offered), "COMPLETIONS": str(COMPLETIONS)}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe("zsh", ["zsh", "-f", "-i"], env)
        os.write(self.terminal, b". ./setup; print REA''DY\n")
        read_until(self.terminal, lambda text: b"READY" in text)

    def __call__(self, *words, conf=""):
        """What it offers at the last word."""
        environment(self.folder, conf)
        self.offered.write_text("")
        kill_line = b"\x15"
        os.write(self.terminal, kill_line + " ".join(["unproxy", *words]).encode() + b"\t")
        read_until(self.terminal, lambda _: self.offered.read_text().endswith("DONE\n"))
        return sorted(set(self.offered.read_text().split("\n")) - {"", "DONE"})

    def close(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)
