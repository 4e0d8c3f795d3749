# SPDX-License-Identifier: BSD-2-Clause
"""The completions of bash and zsh, in the real shells, against what the program's tables say."""
import subprocess

import pytest
import shells

CONF = "[unproxy]\n[listener web]\n[listener  mail ] ; a remark\n[backend rails]\n# [backend not]\n"


def words(*args):
    done = subprocess.run([shells.UNPROXY, "help", "--words", *args], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def commands():
    return sorted(row[1] for row in words() if row[0] == "command")


def flags(command):
    return sorted({row[1] for row in words(command) if row[0] == "flag"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("completions")


@pytest.fixture(scope="module")
def zsh(folder):
    zsh = shells.Zsh(folder)
    yield zsh
    zsh.close()


@pytest.fixture(params=["bash", "bash-alone", "zsh"])
def offer(request, folder):
    """Two shells, and bash without the library of bash-completion."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/unproxy").unlink(missing_ok=True)
    if request.param == "zsh":
        return request.getfixturevalue("zsh")
    return lambda *args, **options: shells.bash(folder, *args, library=request.param == "bash", **options)


def test_commands(offer):
    assert offer("") == sorted([*commands(), "--help", "--version"])


@pytest.mark.parametrize("command", commands())
def test_every_flag_of_every_command(tmp_path, command):
    assert shells.bash(tmp_path, command, "-", library=False) == flags(command)


def test_flags(offer):
    assert offer("explain", "--") == [flag for flag in flags("explain") if flag.startswith("--")]


def test_a_choice_behind_a_flag(offer):
    assert offer("run", "--header", "") == ["optional", "require"]
    assert offer("run", "--listen", "*:80", "--engine", "i") == ["inline"]


def test_a_file_behind_a_flag(offer, folder):
    (folder / "that.conf").write_text("")
    assert offer("check", "-c", "tha") == ["that.conf"]


def test_what_help_takes(offer):
    others = [row[1] for row in words() if row[0] in ("topic", "key")]
    assert "exit" in others and "header_timeout" in others
    assert offer("help", "") == sorted({*commands(), *others})
    assert offer("help", "header_t") == ["header_timeout"]
    assert offer("help", "run", "") == []


def test_filters(offer):
    names = sorted(row[1] for row in words("conns") if row[0] == "filter")
    assert "client=" in names and "older=" in names
    assert offer("conns", "") == names and offer("conns", "cl") == ["client="]
    assert offer("kill", "") == sorted([*names, "all"])
    assert offer("top", "once", "l") == ["listener="]
    assert offer("kill", "r1", "ba") == ["backend=", "balancer="]


def test_nothing_behind_what_takes_nothing(offer):
    assert offer("detach", "") == [] and offer("no-such-command", "") == []


def stand_in(folder, *lines):
    """A program in unproxy's place whose one command takes these words."""
    program = folder / "bin/unproxy"
    program.unlink(missing_ok=True)  # it may be a link to the real one
    program.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(f"'{line}'" for line in lines) + "\n")
    program.chmod(0o755)


@pytest.mark.parametrize("given, wanted", [
    (["backend", ""], ["add", "rails"]),
    (["backend", "rails", ""], ["server", "show"]),
    (["backend", "--json", "rails", "server", "10.0.0.1:80", ""], ["add", "remove", "weight"]),
    (["backend", "rails", "server", "10.0.0.1:80", "weight", ""], []),
    (["backend", "rails", "show", "a", ""], ["a", "b"]),
    (["backend", "rails", "nothing", ""], []),
    (["backend", "add", "x", ""], ["allow", "for"]),
    (["backend", "add", "x", "allow", ""], ["for"]),
])
def test_words_by_their_form(offer, folder, given, wanted):
    stand_in(folder, "form\tNAME server ADDR add|remove ", "form\tNAME server ADDR weight N ", "form\tNAME show a|b... ", "form\tadd X ",
             "form\tadd X allow ", "form\tadd X allow for T ", "form\tadd X for T ",
             "flag\t--json\t\tas JSON")
    assert offer(*given, conf=CONF) == wanted


def test_names_of_listeners(offer, folder):
    stand_in(folder, "form\tNAME drain|ready ")
    assert offer("listener", "", conf=CONF) == ["mail", "web"]
