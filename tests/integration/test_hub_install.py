"""The hub after `cmake --install`, away from where it was built: its demo page is there with it."""

import re
import shutil
import subprocess
import urllib.request

import pytest

from support.hub import ROOT, binary_path

DEMO = {"demo": {"enabled": True}}


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """Installed, and what tests start."""
    if not (ROOT / "web-demo/node_modules/.package-lock.json").exists():
        pytest.skip("npm --prefix web-demo ci was not run")
    build = binary_path().parents[1]
    done = subprocess.run(["cmake", "--install", build, "--prefix", tmp_path / "usr", "--component", "hub"],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("WIREHUB_BIN", str(tmp_path / "usr/bin/wirehub"))
    return tmp_path / "usr"


def fetch(hub, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{hub.url}{path}", timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def references(name, text):
    """What a file of the page loads: tags of HTML, imports of JavaScript."""
    if name.endswith(".html"):
        return set(re.findall(r'(?:src|href)="([\w.]+\.(?:js|css|svg))"', text))
    return set(re.findall(r"(?:from|import\()\s*'\./([\w.]+)'", text))


def test_an_installed_hub_serves_its_page_with_all_that_it_loads(prefix, make_hub):
    hub = make_hub(DEMO)
    assert "Kill the server" in fetch(hub, "/demo/")[1]
    seen, wanted = set(), {"index.html"}
    while wanted - seen:
        name = (wanted - seen).pop()
        seen.add(name)
        kind, text = fetch(hub, f"/demo/{name}")
        assert text and kind, name
        if name.endswith((".html", ".js")):
            wanted |= references(name, text)
    assert {"app.js", "page.js", "centrifuge.js", "uplot.js", "uplot.css", "msgpack.js", "icon.svg"} <= seen
    assert (prefix / "share/wirehub/demo/centrifuge.LICENSE").exists()


def test_the_page_is_found_wherever_the_installed_tree_was_moved(prefix, make_hub, monkeypatch):
    moved = prefix.parent / "opt"
    shutil.move(prefix, moved)
    monkeypatch.setenv("WIREHUB_BIN", str(moved / "bin/wirehub"))
    assert "Kill the server" in fetch(make_hub(DEMO), "/demo/")[1]


def test_a_hub_without_a_page_says_where_it_looked(prefix, tmp_path):
    shutil.rmtree(prefix / "share/wirehub/demo")
    config = tmp_path / "wirehub.yaml"
    config.write_text("http_server: { address: 127.0.0.1, port: 0 }\ndemo: { enabled: true }\n"
                      "client: { token: { hmac_secret_key: 'only for this test, nothing else' } }\n")
    done = subprocess.run([binary_path(), "serve", "--config", config], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 78  # EX_CONFIG
    assert f"demo.dir: {prefix}/share/wirehub/demo: " in done.stdout + done.stderr
    assert "no page is installed there: name its folder" in done.stdout + done.stderr
