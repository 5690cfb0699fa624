"""What zsh offers: a real interactive zsh on a terminal of its own, whose completion writes down the
words that it is given instead of showing them.

    complete(script, ["wh", "sub", "--jo"])      ["--join-leave"]
    complete("", words, functions=DIRECTORY)     with the functions of a folder, as packages install
"""

import os
import pty
import select
import subprocess
import tempfile
import time
from pathlib import Path

WAIT_SECONDS = 20.0
END = "-- that was all --"

# compadd is what every completion function ends in; -O, -A and -D only compute.
SETUP = r"""
PROMPT= RPROMPT= PROMPT_EOL_MARK=
unsetopt zle_bracketed_paste prompt_sp
fpath=(./functions $fpath)
autoload -Uz compinit; compinit -u -D
zstyle ':completion:*' completer _complete
zstyle ':completion:*' use-cache no
compadd() {
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
        local -a offered_here
        builtin compadd -O offered_here "$@"
        print -rl -- $offered_here >>offered
    fi
    builtin compadd "$@"
}
note_completion() {
    _main_complete
    print -r -- '@END@' >>offered
    compstate[insert]= compstate[list]=
}
zle -C note_completion complete-word note_completion
bindkey '^I' note_completion
source ./script
print -r -- '@END@' >>offered
""".replace("@END@", END)


def complete(script, words, functions=None):
    """For the last of `words`, sorted."""
    with tempfile.TemporaryDirectory(prefix="wirehub-zsh-") as directory:
        place = Path(directory)
        (place / "script").write_text(script)
        (place / "setup").write_text(SETUP)
        if functions:
            (place / "functions").symlink_to(functions)
        offered = place / "offered"
        master, slave = pty.openpty()
        env = {"PATH": os.environ["PATH"], "HOME": directory, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        shell = subprocess.Popen(["zsh", "-f", "-i"], cwd=place, env=env, stdin=slave, stdout=slave,
                                 stderr=slave, start_new_session=True)
        os.close(slave)
        try:
            _type(master, "source ./setup\n")
            _wait(master, shell, offered, 1)
            _type(master, " ".join(words) + "\t")
            _wait(master, shell, offered, 2)
        finally:
            shell.kill()
            shell.wait()
            os.close(master)
        return sorted({line for line in offered.read_text().splitlines() if line and line != END})


def _type(master, text):
    os.write(master, text.encode())


def _wait(master, shell, offered, ends):
    """Until the file has so many ends; what zsh shows meanwhile is read, so that it never waits."""
    deadline, shown = time.monotonic() + WAIT_SECONDS, b""
    while not offered.exists() or offered.read_text().splitlines().count(END) < ends:
        if select.select([master], [], [], 0.02)[0]:
            shown += os.read(master, 65536)
        if time.monotonic() > deadline or shell.poll() is not None:
            raise TimeoutError(f"zsh does not complete: {shown!r}")
