"""docs/SDK.md: every snippet compiles; every code, mode and function that it names exists."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/SDK.md").read_text()
INCLUDES = ["-I", ROOT / "client-sdk/include", "-I", ROOT / "build/release/client-sdk/include"]
SNIPPETS = re.findall(r"^```c( fragment)?\n(.*?)^```", TEXT, flags=re.S | re.M)

# What stands around the snippets: the program of whoever reads them.
PROGRAM = """
#include <wirehub/wirehub.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
char *fetch_token(void);
void load_everything_anew(void);
void store_position(uint64_t offset, const char *epoch);
extern uint64_t stored_offset;
extern const char *stored_epoch;
extern bool keep_running;
void on_subscribed(struct wh_sub *, const struct wh_subscribed *, void *);
void on_publication(struct wh_sub *, const struct wh_publication *, void *);
void on_answer(struct wh_client *, const struct wh_error *, const struct wh_data *, void *);
void snippet(struct wh_client *client, struct wh_sub *sub);
"""


def compiled(text, tmp_path):
    unit = tmp_path / "snippet.c"
    unit.write_text(text)
    return subprocess.run(
        ["cc", "-std=c11", "-Wall", "-Werror", "-Wno-unused", "-D_GNU_SOURCE", *INCLUDES, "-fsyntax-only", unit],
        capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippet_compiles(number, tmp_path):
    is_fragment, code = SNIPPETS[number]
    if is_fragment:
        names = "\n    (void)client; (void)sub;\n"
        if re.search(r"struct wh_sub \*sub;", code):
            names = "\n    (void)client;\n"
            program = PROGRAM.replace("struct wh_client *client, struct wh_sub *sub", "struct wh_client *client")
            code = f"{program}void snippet(struct wh_client *client)\n{{{names}{code}}}\n"
        else:
            code = f"{PROGRAM}void snippet(struct wh_client *client, struct wh_sub *sub)\n{{{names}{code}}}\n"
    elif "int main" not in code:
        static = re.sub(r"^void (on_\w+)\(.*?\);$", "", PROGRAM, flags=re.M)
        code = static + code
    done = compiled(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_wrong_snippet_would_be_seen(tmp_path):
    done = compiled(PROGRAM + "int f(struct wh_client *c) { return wh_client_conect(c); }", tmp_path)
    assert done.returncode != 0


def test_every_name_in_the_text_exists():
    headers = "".join(path.read_text() for path in (ROOT / "client-sdk/include/wirehub").glob("*.h*"))
    names = set(re.findall(r"\b(?:wh|WH)_[A-Za-z_0-9]*[a-zA-Z0-9]\b", TEXT))
    assert {name for name in names if name not in headers} == set()


def test_the_short_program_is_the_example():
    (first,) = [code for _, code in SNIPPETS if "pause();" in code]
    strip = lambda text: re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    assert strip(first) == strip((ROOT / "client-sdk/examples/hello.c").read_text())


MANUALS = sorted((ROOT / "client-sdk/man").glob("*.[13]"))


@pytest.mark.parametrize("manual", MANUALS, ids=lambda path: path.name)
def test_the_manual_is_clean(manual):
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", manual], capture_output=True,
                          text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def squeezed(text):
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s*([(),*])\s*", r"\1", text)


def declared():
    """Name → prototype, of everything that the headers offer."""
    found = {}
    for header in sorted((ROOT / "client-sdk/include/wirehub").glob("*.h*")):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        for prototype in re.findall(r"WH_API ([^;{]*\))\s*;", text):
            found[re.search(r"\b(wh_\w+)\s*\(", prototype)[1]] = squeezed(prototype)
        for prototype in re.findall(r"static inline ([^;{]*?\))\s*\{", text):
            name = re.search(r"\b(wh_\w+)\s*\(", prototype)[1]
            if header.name not in ("uv.h", "glib.h", "libevent.h"): # these explain themselves
                found[name] = squeezed(prototype)
    return found


def documented():
    found = {}
    for manual in MANUALS:
        synopsis = manual.read_text().partition(".Sh DESCRIPTION")[0]
        for kind, name, arguments in re.findall(r'^\.Ft (.*)\n\.Fn (\w+) (.*)$', synopsis, flags=re.M):
            listed = re.findall(r'"(.*?)"|(\S+)', arguments)
            text = f'{kind.strip(chr(34))} {name}({", ".join(a or b for a, b in listed)})'
            assert name not in found, f"{name} has two pages"
            found[name] = squeezed(text)
    return found


def test_every_function_has_one_page_with_its_true_prototype():
    assert documented() == declared()


def test_the_manual_of_errors_names_all_of_them():
    header = (ROOT / "client-sdk/include/wirehub/error.h").read_text()
    page = (ROOT / "client-sdk/man/wh_error.3").read_text()
    assert re.findall(r"^\.It Er (\w+)\n(.*)$", page, flags=re.M) == \
        re.findall(r'X\((WH_E\w+), \d+, "(.*?)"\)', header)
