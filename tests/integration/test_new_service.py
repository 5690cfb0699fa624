"""./dev new-service: what it makes builds, passes its own tests and answers."""

import os
import shutil
import subprocess
import sys

import pytest

from support.hub import ROOT


def scaffold(tree, *args):
    return subprocess.run([str(tree / "dev"), "new-service", *args], cwd=tree, timeout=60,
                          capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path):
    """The sources as they are here, without history and builds."""
    target = tmp_path / "tree"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                           capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.mark.parametrize("name", ["", "Reviews", "re views", "../x", "-x", "x-", "1x", "a--b", "x/y",
                                  "x;y", "$(x)", "a" * 33, "core", "testing", "--help"])
def test_a_bad_name_makes_nothing(tree, name):
    before = sorted(tree.rglob("*"))
    done = scaffold(tree, name)
    assert done.returncode == 1 and done.stderr
    assert sorted(tree.rglob("*")) == before


def test_nothing_is_overwritten(tree):
    page = tree / "docs/services/book-reviews.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("mine")
    done = scaffold(tree, "book-reviews")
    assert done.returncode == 1 and "docs/services/book-reviews.md" in done.stderr
    assert page.read_text() == "mine"
    assert not (tree / "services/book-reviews").exists()


def test_a_new_service_builds_runs_and_answers(tree):
    done = scaffold(tree, "book-reviews")
    assert done.returncode == 0, done.stderr
    build = tree / "build/debug"
    commands = [
        ["cmake", "--preset", "debug", "-DWH_BUILD_HUB=OFF"],
        ["cmake", "--build", "--preset", "debug", "--target", "service_book-reviews",
         "unit_services_book-reviews_test_greeting"],
        [str(build / "tests/unit_services_book-reviews_test_greeting")],
        [str(build / "bin/wirehub-book-reviews"), "check-config"],
        [sys.executable, "-m", "pytest", "-q", "tests/integration/test_service_book_reviews.py"],
        [sys.executable, "tools/check_tree.py"],
    ]
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    environment = {**os.environ, "WIREHUB_BUILD": "build/debug"}
    for command in commands:
        result = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True,
                                timeout=600, check=False)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    if shutil.which("clang-format"):
        sources = [*tree.glob("services/book-reviews/*.[ch]"),
                   *tree.glob("tests/unit/services/book-reviews/*.c")]
        subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, sources)], check=True)
