#!/usr/bin/python3
"""What no compiler checks: who may include what, and how long files and functions may get."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 100

# header pattern → files that may include it.  The CMake targets keep the layers apart for linking;
# Debian puts every header into /usr/include, so including needs this table.
HEADERS = {
    r"libwebsockets\.h": r"hub/server\w*\.[ch]$|client-sdk/src/service_lws\.c$",
    r"jwt\.h": r"hub/(auth|token)\w*\.[ch]$|services/user/token\.c$|tests/unit/services/user/"
                 r"|client-sdk/cli/token\w*\.[ch]$",
    r"crypt\.h": r"services/user/password\.c$",
    r"yaml\.h": r"common/config/yaml\.c$",
    r"hiredis/.*|hiredis\.h": r"common/io/|tests/",
    r"curl/.*": r"common/io/",
    r"msgpack(\.h|/.*)": r"common/protocol/|tests/",
    r"zlib\.h": r"hub/http_files\.c$|tests/",
    r"uv\.h": r"common/io/|hub/|tests/|client-sdk/(include/wirehub/uv\.h|examples/uv\.c)$",
    r"jansson\.h": r"hub/config\w*\.[ch]$|hub/(auth|token)\w*\.[ch]$|tests/",
    r"(postgresql/)?libpq.*": r"services/",
    r"microhttpd\.h": r"services/core/http\.c$",
    r"openssl/(ssl|x509v3)\.h": r"client-sdk/src/tls\.c$|tests/",
    r"client-sdk/src/.*": r"client-sdk/src/|tests/(unit|fuzz|support)/",
    r"client-sdk/cli/.*": r"client-sdk/cli/|tests/(unit|fuzz)/",
    r"hub/.*": r"hub/|tests/",
    r"services/.*": r"services/|tests/",
    r"common/config/.*": r"common/config/|hub/|services/|tests/",
    r"common/io/.*": r"common/io/|hub/|services/|tests/",
    r"common/protocol/.*": r"common/(protocol|io)/|hub/|services/|client-sdk/|tests/",
}


def tracked_c_files():
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"],
                             cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listing.split() if (ROOT / name).exists())


def check_includes(name, lines):
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
        for header, allowed in HEADERS.items():
            if found and re.fullmatch(header, found[1]) and not re.match(allowed, name):
                yield f"{name}:{number}: {found[1]} may not be included here (tools/check_tree.py)"


def check_lengths(name, lines):
    if len(lines) > FILE_LINES_MAX:
        yield f"{name}: {len(lines)} lines, at most {FILE_LINES_MAX}: which two rooms are these?"
    # clang-format puts the braces of a function, and of nothing else, into column 0.
    begin = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            begin = number
        elif line.startswith("}") and begin is not None:
            length = number - begin - 1
            if length > FUNCTION_LINES_MAX:
                yield f"{name}:{begin}: function of {length} lines, at most {FUNCTION_LINES_MAX}"
            begin = None


def main():
    problems = []
    names = tracked_c_files()
    for name in names:
        lines = (ROOT / name).read_text().splitlines()
        problems += [*check_includes(name, lines), *check_lengths(name, lines)]
    print("\n".join(problems), end="\n" if problems else "")
    print(f"check_tree: {len(names)} files, {len(problems)} problems")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(main())
