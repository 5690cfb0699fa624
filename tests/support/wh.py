"""`wh` as a process under test.

    wh = Wh(hub, tmp_path)
    wh.run("stats", "news").stdout          # CompletedProcess, judged for sanitizers
    with wh.start("sub", "news") as sub:    # one that goes on
        sub.wait_note("subscribed")         # a line of standard error
        sub.line()                          # the next line of standard output
"""

import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path

from support.hub import ROOT, SANITIZER_EXIT, SANITIZER_MARKS

WAIT_SECONDS = 15.0
OK, ERROR, USAGE, TIMEOUT, CONNECT, UNAUTHORIZED, LOST = range(7)


def binary_path():
    return Path(os.environ.get("WIREHUB_WH", ROOT / "build/debug/bin/wh"))


def judge(text):
    for mark in SANITIZER_MARKS:
        assert mark not in text, text


class Running:
    """One that goes on; leaving the block interrupts it and takes its status."""

    def __init__(self, argv, env, expected=OK):
        self.expected = expected
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.notes, self.seen = queue.Queue(), queue.Queue(), []
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((self.process.stdout, self.lines),
                                      (self.process.stderr, self.notes))]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, into):
        for line in stream:
            self.seen.append(line)
            into.put(line.rstrip("\n"))
        into.put(None)

    def line(self):
        line = self.lines.get(timeout=WAIT_SECONDS)
        assert line is not None, f"ended: {self.seen}"
        return line

    def object(self):
        return json.loads(self.line())

    def wait_line(self, text):
        while text not in (line := self.line()):
            pass
        return line

    def wait_note(self, text):
        while True:
            line = self.notes.get(timeout=WAIT_SECONDS)
            assert line is not None, f"ended without {text!r}: {self.seen}"
            if text in line:
                return line

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        status = self.process.wait(WAIT_SECONDS)
        for reader in self._readers:
            reader.join(WAIT_SECONDS)
        judge("".join(self.seen))
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.wait()
        finally:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdout, self.process.stderr):
                stream.close()
        if kind is None:
            assert status == self.expected, (status, self.seen)


class Wh:
    """Its contexts live in `directory`; `hub` may be None."""

    def __init__(self, hub, directory, env=None):
        self.directory = Path(directory)
        sanitizer = f"exitcode={SANITIZER_EXIT}:abort_on_error=0"
        self.env = {
            **{k: v for k, v in os.environ.items()
               if not k.startswith(("WIREHUB_", "XDG_")) and not k.lower().endswith("_proxy")},
            "XDG_CONFIG_HOME": str(directory), "TZ": "UTC",
            "ASAN_OPTIONS": sanitizer, "UBSAN_OPTIONS": sanitizer,
            **({"WIREHUB_URL": hub.ws_url} if hub else {}), **(env or {})}

    def run(self, *args, stdin=None, status=OK, text=True, env=None):
        done = subprocess.run([str(binary_path()), *map(str, args)], input=stdin, text=text,
                              env={**self.env, **(env or {})}, capture_output=True, check=False,
                              timeout=WAIT_SECONDS, **({} if stdin is not None
                                                       else {"stdin": subprocess.DEVNULL}))
        judge(f"{done.stdout}{done.stderr}")
        assert status in (None, done.returncode), (done.returncode, done.stdout, done.stderr)
        return done

    def objects(self, *args, **options):
        return [json.loads(line)
                for line in self.run("--json", *args, **options).stdout.splitlines()]

    def start(self, *args, expected=OK):
        return Running([str(binary_path()), *map(str, args)], self.env, expected)
