#!/usr/bin/python3
"""Runs the suites and counts: run_tests.py [unit|integration|conformance|sdk|browser]...

Counts come from what the runners write for machines: ctest's JUnit file with the XML of cmocka
inside (cases, not executables), pytest's JUnit file, node's TAP.  A runner that crashes, hangs,
or runs nothing is a failure.  The last line is the total.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build/results"
PYTHON = "/usr/bin/python3"  # Debian's, which sees Debian's pytest; not one of pyenv or a venv
SANITIZER_OPTIONS = {"UBSAN_OPTIONS": "print_stacktrace=1"}


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Counts(self.passed + other.passed, self.failed + other.failed,
                      self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def problem(text):
    print(f"FAILED: {text}", flush=True)
    return Counts(failed=1)


def run(command, seconds, env=None):
    """Run to its end in a process group of its own; None when it had to be killed."""
    print("+", *command, flush=True)
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})},
                               stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"{command[0]} did not end within {seconds} s", flush=True)
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def judged(counts, status, what):
    """`counts`, and one failure more when the runner says failure and the counts do not."""
    if counts.passed + counts.failed == 0:
        return counts + problem(f"{what} ran nothing")
    if status != 0 and counts.failed == 0:
        return counts + problem(f"{what} ended with {status} and no failed test")
    return counts


def fresh(name):
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / name
    path.unlink(missing_ok=True)
    return path


# ctest and cmocka

def count_ctest(report, cmocka_names):
    total = Counts()
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name, status = case.get("name"), case.get("status")
        if name not in cmocka_names:
            total += Counts(skipped=1) if status in ("notrun", "disabled") else \
                Counts(passed=1) if status == "run" else problem(name)
            continue
        output = case.findtext("system-out") or ""
        counts = count_cmocka(output)
        if status != "run" and counts.failed == 0:
            counts += problem(f"{name} crashed or was killed")
        elif counts == Counts():
            counts += problem(f"{name} ran no case")
        total += counts
    return total


def count_cmocka(output):
    """Add up the heads <testsuite … tests= failures= errors= skipped=>, one per group."""
    total = Counts()
    for head in re.findall(r"<testsuite [^>]*>", output):
        number = {key: int(value) for key, value in re.findall(r'(\w+)="(\d+)"', head)}
        failed = number["failures"] + number["errors"]
        total += Counts(number["tests"] - failed - number["skipped"], failed, number["skipped"])
    return total


def ctest(preset, only="."):
    """`only`: a regular expression of test names."""
    directory = ROOT / "build" / preset
    report = fresh(f"unit-{preset}.xml")
    listing = subprocess.run(["ctest", "--test-dir", directory, "--show-only=json-v1"],
                             capture_output=True, check=False)
    if listing.returncode != 0:
        return problem(f"ctest cannot list {preset}")
    cmocka_names = {
        test["name"] for test in json.loads(listing.stdout)["tests"]
        for item in test.get("properties", [])
        if item["name"] == "LABELS" and "cmocka" in item["value"]}
    status = run(["ctest", "--test-dir", str(directory), "--output-on-failure", "--timeout", "120", "-R", only,
                  "-j", str(os.cpu_count()), "--output-junit", str(report),
                  "--test-output-size-passed", "100000000",
                  "--test-output-size-failed", "100000000"],
                 300, {**SANITIZER_OPTIONS, "CMOCKA_MESSAGE_OUTPUT": "xml"})
    if not report.exists():
        return problem(f"ctest left no report for {preset}")
    return judged(count_ctest(report, cmocka_names), status, f"ctest {preset}")


# pytest

def count_pytest(report):
    total = Counts()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        number = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
        failed = number["failures"] + number["errors"]
        total += Counts(max(0, number["tests"] - failed - number["skipped"]), failed,
                        number["skipped"])
    return total


def pytest(folder, preset, seconds):
    name = Path(folder).name
    report = fresh(f"{name}-pytest.xml")
    # More processes than cores: most tests wait, for time-outs and for processes to come and go.
    status = run([PYTHON, "-m", "pytest", folder, "-q", "-n", "4", "--durations=5",
                  f"--junitxml={report}"], seconds, binary_environment(preset))
    if not report.exists():
        return problem(f"pytest {folder} left no report (status {status})")
    return judged(count_pytest(report), status, f"pytest {folder}")


# node

def count_tap(report):
    """node's own summary, the comment lines at the end."""
    number = {key: int(value) for key, value in
              re.findall(r"^# (tests|pass|fail|cancelled|skipped|todo) (\d+)$",
                         report.read_text(), re.MULTILINE)}
    return Counts(number.get("pass", 0), number.get("fail", 0) + number.get("cancelled", 0),
                  number.get("skipped", 0) + number.get("todo", 0))


def node_files_at_once(count):
    """Most tests wait, as those of pytest do; node 18 runs as many files as there are cores but one."""
    options = subprocess.run(["node", "--help"], capture_output=True, text=True, check=False).stdout
    return [f"--test-concurrency={count}"] if "--test-concurrency" in options else []


def node(folder, files, preset, seconds, at_once):
    name = Path(folder).name
    report = fresh(f"{name}-node.tap")
    status = run(["node", "--test", *node_files_at_once(at_once),
                  "--test-reporter=spec", "--test-reporter-destination=stdout",
                  "--test-reporter=tap", f"--test-reporter-destination={report}",
                  *[str(file.relative_to(ROOT)) for file in files]],
                 seconds, binary_environment(preset))
    if not report.exists():
        return problem(f"node --test {folder} left no report (status {status})")
    return judged(count_tap(report), status, f"node --test {folder}")


def binary_environment(preset):
    return {**SANITIZER_OPTIONS, "WIREHUB_BIN": str(ROOT / f"build/{preset}/bin/wirehub"),
            "PYTHONDONTWRITEBYTECODE": "1"}


def folder(path, preset, seconds, at_once=1):
    """Every test of a folder: test_*.py by pytest, *.test.mjs and *.test.js by node, `at_once` files."""
    base = ROOT / path
    scripts = sorted(f for kind in ("*.test.mjs", "*.test.js") for f in base.glob(kind))
    has_python = any(base.glob("test_*.py"))
    if not scripts and not has_python:
        return problem(f"{path} has no tests")
    counts = pytest(path, preset, seconds) if has_python else Counts()
    return counts + (node(path, scripts, preset, seconds, at_once) if scripts else Counts())


def sdk():
    """With a Centrifugo where one can be built; elsewhere its tests are skipped, with the reason.
    And its threads under ThreadSanitizer."""
    run([PYTHON, "-m", "support.centrifugo"], 900, {"PYTHONPATH": str(ROOT / "tests"),
                                                    "PYTHONDONTWRITEBYTECODE": "1"})
    return folder("tests/sdk", "debug", 300) + ctest("tsan", "^client-sdk/shell/")


# What is tested and with which build: the sanitized one finds more, the browser meets the shipped
# one.  Times are bounds against hanging; the whole stays below 15 minutes on two cores.
SUITES = {
    "unit": lambda: ctest("debug") + ctest("release"),
    "integration": lambda: folder("tests/integration", "debug", 540),
    "conformance": lambda: folder("tests/conformance", "debug", 420, at_once=3),
    "sdk": sdk,
    "browser": lambda: folder("tests/browser", "release", 300),
}


def main(names):
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"no suite {unknown[0]} ({', '.join(SUITES)})", file=sys.stderr)
        print(Counts(failed=1))
        return 2
    lines, total = [], Counts()
    for name in names or SUITES:
        print(f"\n== {name}", flush=True)
        begin = time.monotonic()
        try:
            counts = SUITES[name]()
        except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
            counts = problem(f"{name}: {error!r}")
        total += counts
        lines.append(f"{name:12} {counts}  ({time.monotonic() - begin:.1f} s)")
    print("\n" + "\n".join(lines))
    print(total)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
