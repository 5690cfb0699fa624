"""valgrind's memcheck around a program without sanitizers, and what it has to say against it.

    log = tmp_path / "memcheck"
    play(world, script, command=memcheck.around(log, program, "uv"))
    assert memcheck.complaints(log) == ""
"""

import re

OPTIONS = ("--leak-check=full", "--show-leak-kinds=definite,indirect",
           "--errors-for-leak-kinds=definite,indirect", "--track-fds=yes", "--num-callers=30")
# "Open file descriptor 3: /x", "Open AF_INET socket 4: a <-> b"; below it where it came from.
OPEN = re.compile(r"== Open (.*)\n(.*)\n")


def around(log, *command):
    return ("valgrind", *OPTIONS, f"--log-file={log}", *map(str, command))


def complaints(log):
    """Errors, leaks, descriptors that are left open or closed twice: "", or the whole log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    left = [what for what, origin in OPEN.findall(text) if "<inherited from parent>" not in origin]
    is_clean = "ERROR SUMMARY: 0 errors" in text and "FILE DESCRIPTORS:" in text
    if is_clean and not left and "Warning: invalid file descriptor" not in text:
        return ""
    return f"left open: {left}\n{text}"
