"""wirehub-loadgen against all of Wirehub."""

import re
import shutil
import subprocess

import pytest

from chaos.stack import Stack
from support.hub import SANITIZER_MARKS, binary_path

LOADGEN = binary_path().parent / "wirehub-loadgen"


def loadgen(*args, timeout=150):
    done = subprocess.run([LOADGEN, *args], text=True, capture_output=True, timeout=timeout,
                          check=False)
    assert not any(mark in done.stderr for mark in SANITIZER_MARKS), done.stderr
    return done


def test_its_customers_order_and_cancel_and_the_databases_agree_with_its_summary():
    stack = Stack(binary_path().parent, instances=1)
    try:
        done = loadgen("--url", stack.url, "--rate", "8", "--customers", "3", "--duration", "5s",
                       "--cancel", "50")
        assert done.returncode == 0, done.stdout + done.stderr
        ordered = int(re.search(r"in [\d.]+ s: (\d+) ordered", done.stdout)[1])
        refused = int(re.search(r"(\d+) out of stock", done.stdout)[1])
        cancelled = int(re.search(r"(\d+) cancelled", done.stdout)[1])
        assert ordered + refused == 40 and cancelled > 0, done.stdout
        assert stack.postgres.value("select count(*) from orders",
                                    "wirehub_order") == str(ordered)
        assert stack.postgres.value("select count(distinct user_id) from orders",
                                    "wirehub_order") == "3"
        assert int(stack.postgres.value(
            "select count(*) from orders where reason = 'cancelled_by_user'",
            "wirehub_order")) <= cancelled
        lines = [line for line in done.stdout.splitlines() if re.match(r" +\d+ s  ", line)]
        assert len(lines) >= 4, done.stdout
        assert re.search(r"answers: p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms", done.stdout)
    finally:
        stack.close()
        shutil.rmtree(stack.directory)


@pytest.mark.parametrize("args, words", [
    (["--rate", "fast"], "--rate fast: a number from"),
    (["--customers", "1.5"], "--customers 1.5: a whole number"),
    (["--url", "ftp://x"], "--url ftp://x: like http://"),
    (["--nothing"], "unrecognized option"),
    (["more"], "more: no such option"),
])
def test_a_wrong_command_line_says_what_is_wrong(args, words):
    done = loadgen(*args)
    assert done.returncode == 2 and words in done.stderr


def test_help_names_every_option():
    done = loadgen("--help")
    assert done.returncode == 0
    for name in ("--url", "--rate", "--customers", "--duration", "--cancel", "--quiet"):
        assert name in done.stdout
