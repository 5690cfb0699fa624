"""What wh does without a connection: help, completion, tokens, frames, contexts."""

import json
import os
import re
import stat
import subprocess

import pytest

from support import zsh
from support.client import JsonClient
from support.hub import HMAC_SECRET, ROOT
from support.wh import ERROR, OK, UNAUTHORIZED, USAGE, Wh

COMMANDS = ["sub", "pub", "rpc", "presence", "stats", "history", "ping", "watch", "bench",
            "gen-token", "check-token", "decode", "context", "svc", "completion", "version", "help"]


@pytest.fixture
def wh(tmp_path):
    return Wh(None, tmp_path / "config")


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(HMAC_SECRET + "\n")
    return path


def private_key(path, *how):
    subprocess.run(["openssl", "genpkey", *how, "-out", str(path)], check=True, capture_output=True)
    return path


def public_key(path):
    pem = subprocess.run(["openssl", "pkey", "-in", str(path), "-pubout"], check=True,
                         capture_output=True, text=True).stdout
    public = path.with_suffix(".pub")
    public.write_text(pem)
    return public


EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example_and_is_the_same_both_ways(wh, command):
    text = wh.run("help", command).stdout
    assert text == wh.run(command, "--help").stdout
    assert text.startswith(f"Usage: wh {command}")
    assert f"  wh {command}" in text or f"  wh --json {command}" in text \
        or command in ("version", "help")
    assert max(map(len, text.splitlines())) <= 100


def test_help_names_every_command_and_no_command_is_usage(wh):
    text = wh.run("--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", text, re.MULTILINE)
    alone = wh.run(status=USAGE)
    assert alone.stdout == "" and alone.stderr == text


def test_the_man_page_says_what_the_program_says(wh):
    page = (ROOT / "client-sdk/man/wh.1").read_text()
    part = re.search(r'\.\\" generated: begin\n(.*)\.\\" generated: end\n', page, re.DOTALL)[1]
    assert part == wh.run("help", "mdoc").stdout, "put in what `wh help mdoc` prints"
    lint = subprocess.run(["mandoc", "-T", "lint", ROOT / "client-sdk/man/wh.1"],
                          capture_output=True, text=True, check=False)
    # wirehub(3) is found once it is installed.
    assert not [line for line in lint.stdout.splitlines() if "Xr wirehub" not in line]


def test_a_mistyped_word_is_told_with_the_near_one(wh):
    assert "did you mean stats?" in wh.run("stat", "x", status=USAGE).stderr
    assert "did you mean --recover?" in wh.run("sub", "--recovr", "x", status=USAGE).stderr


def test_version_is_an_object_too(wh):
    (version,) = wh.objects("version")
    assert version["type"] == "version" and version["version"] == version["library"]
    assert wh.run("version").stdout.startswith(f"wh {version['version']} (")


# Completion


def complete(wh, words):
    """What bash offers for the last of `words`."""
    script = wh.run("completion", "bash").stdout
    array = " ".join(f"'{word}'" for word in words)
    program = f'{script}\nCOMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _wh\n' \
              'printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "--norc", "-u", "-c", program], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


COMPLETIONS = pytest.mark.parametrize("words, offered", [
    (["wh", "chec"], ["check-token"]),
    (["wh", "-u", "x", "--json", "hist"], ["history"]),
    (["wh", "sub", "--jo"], ["--join-leave"]),
    (["wh", "sub", "-e", "m"], ["msgpack"]),
    (["wh", "sub", "news", "--reco"], ["--recover"]),
    (["wh", "context", "a"], ["add"]),
    (["wh", "svc", ""], ["info", "ls", "stats"]),
    (["wh", "help", "gen"], ["gen-token"]),
    (["wh", "gen-token", "--ur"], []),
    (["wh", "sub", "-w", ""], []),
], ids=lambda value: "_".join(value) if isinstance(value, list) else None)


@COMPLETIONS
def test_bash_completes(wh, words, offered):
    assert sorted(complete(wh, words)) == offered


@COMPLETIONS
def test_zsh_completes(wh, words, offered):
    assert zsh.complete(wh.run("completion", "zsh").stdout, words) == offered


def test_zsh_finds_the_script_in_a_folder_of_functions(wh, tmp_path):
    (tmp_path / "_wh").write_text(wh.run("completion", "zsh").stdout)
    assert zsh.complete("", ["wh", "sub", "-e", "m"], functions=tmp_path) == ["msgpack"]


def test_bash_completes_files_where_files_are_meant(wh, tmp_path):
    (tmp_path / "token.jwt").touch()
    assert complete(wh, ["wh", "sub", "--token-file", f"{tmp_path}/tok"]) == \
        [f"{tmp_path}/token.jwt"]


def test_completion_of_zsh_names_every_option(wh):
    script = wh.run("completion", "zsh").stdout
    assert script.startswith("#compdef wh\n")
    for option in re.findall(r"^ +(?:-\w, )?--([\w-]+)", wh.run("--help").stdout, re.MULTILINE):
        assert f"--{option}[" in script
    assert wh.run("completion", "fish", status=USAGE).stdout == ""


# Tokens


def test_a_token_of_a_secret_connects_and_has_its_claims(make_hub, wh, secret_file):
    hub = make_hub({"client": {"allow_anonymous_connect_without_token": False},
                    "channel": {"without_namespace": {"presence": True,
                                                      "allow_presence_for_client": True}}})
    token = wh.run("gen-token", "--secret-file", secret_file, "--user", "ann", "--info",
                   '{"name":"Ann"}', "--claim", 'meta={"plan":"pro"}').stdout.strip()
    with JsonClient.open(hub.ws_url) as client:
        assert client.connect(token=token)["expires"]
        client.subscribe("news")
        (info,) = client.call("presence", channel="news")["presence"].values()
        assert info["user"] == "ann" and info["conn_info"] == {"name": "Ann"}


def test_a_token_of_a_channel_lets_into_it(make_hub, wh, secret_file):
    hub = make_hub()
    connection = wh.run("gen-token", "--secret-file", secret_file, "--user", "ann").stdout.strip()
    channel = wh.run("gen-token", "--secret-file", secret_file, "--user", "ann", "--channel",
                     "$orders:1", "--ttl", "7d").stdout.strip()
    with JsonClient.open(hub.ws_url) as client:
        client.connect(token=connection)
        assert client.subscribe("$orders:1", token=channel) is not None


@pytest.mark.parametrize("how, option, algorithm", [(RSA, "rsa_public_key", "RS256"),
                                                    (EC, "ecdsa_public_key", "ES256")],
                         ids=["RS256", "ES256"])
def test_a_token_of_a_private_key_connects(make_hub, wh, tmp_path, how, option, algorithm):
    key = private_key(tmp_path / "key.pem", *how)
    hub = make_hub({"client": {"token": {option: public_key(key).read_text()}}})
    token = wh.run("gen-token", "--key", key, "--user", "ann").stdout.strip()
    with JsonClient.open(hub.ws_url) as client:
        assert client.connect(token=token)["client"]
    (seen,) = wh.objects("check-token", "--key", key, token)
    assert seen["verdict"] == "valid" and seen["header"]["alg"] == algorithm
    assert wh.objects("check-token", "--key", public_key(key), token)[0]["verdict"] == "valid"


def test_check_token_judges(wh, tmp_path, secret_file):
    other = tmp_path / "other"
    other.write_text("another secret of these tests\n")
    key = private_key(tmp_path / "ec.pem", *EC)

    def make(*args):
        return wh.run("gen-token", "--secret-file", secret_file, *args).stdout.strip()

    def judge(token, *args, status):
        return wh.objects("check-token", *args, token, status=status)[0]["verdict"]

    good, late, early = make(), make("--claim", "exp=5"), make("--claim", "nbf=99999999999")
    header, payload, signature = good.split(".")
    forged = f"{header}.{payload}.{'A' * len(signature)}"
    with_secret = ("--secret-file", secret_file)
    assert judge(good, *with_secret, status=OK) == "valid"
    assert judge(good, status=ERROR) == "unverified"
    assert judge(late, *with_secret, status=UNAUTHORIZED) == "expired"
    assert judge(late, status=UNAUTHORIZED) == "expired"
    assert judge(early, *with_secret, status=UNAUTHORIZED) == "not_yet_valid"
    assert judge(forged, *with_secret, status=UNAUTHORIZED) == "wrong_signature"
    assert judge(good, "--secret-file", other, status=UNAUTHORIZED) == "wrong_signature"
    assert judge(good, "--key", key, status=UNAUTHORIZED) == "wrong_key"
    assert judge(make("--claim", "exp=soon"), *with_secret, status=UNAUTHORIZED) == "wrong_claims"
    assert wh.run("check-token", "rubbish", status=UNAUTHORIZED).stdout == ""


def test_a_public_key_as_shared_secret_forges_nothing(wh, tmp_path):
    key = public_key(private_key(tmp_path / "rsa.pem", *RSA))
    text = tmp_path / "as-secret"
    text.write_text("x" + key.read_text())  # gen-token refuses PEM; nothing else would
    token = wh.run("gen-token", "--secret-file", text).stdout.strip()
    assert wh.objects("check-token", "--key", key, token,
                      status=UNAUTHORIZED)[0]["verdict"] == "wrong_key"
    assert "PEM" in wh.run("gen-token", "--secret-file", key, status=USAGE).stderr


def test_check_token_reads_standard_input_and_says_it_in_words(wh, secret_file):
    token = wh.run("gen-token", "--secret-file", secret_file, "--user", "ann").stdout
    text = wh.run("check-token", "--secret-file", secret_file, stdin=f"  {token}\n").stdout
    assert '"sub":"ann"' in text and "verdict:  valid" in text and "connection token, HS256" in text


@pytest.mark.parametrize("args", [
    (), ("--key", "/nonexistent"), ("--secret-file", "S", "--info", "{"),
    ("--secret-file", "S", "--claim", "=x"), ("--secret-file", "S", "--alg", "RS256"),
    ("--secret-file", "S", "--key", "S"), ("--secret-file", "/dev/null"), ("--key", "S"),
], ids=" ".join)
def test_gen_token_refuses(wh, secret_file, args):
    given = [secret_file if arg == "S" else arg for arg in args]
    assert wh.run("gen-token", *given, status=USAGE).stdout == ""


# Frames


def test_decode_reads_all_encodings(wh):
    assert wh.run("decode", "07 08 01 22 03 0a 01 78").stdout == \
        'command {"id":1,"connect":{"token":"x"}}\n'
    assert wh.run("decode", stdin='{"id":1,"rpc":{"data":7}}\n{}\n').stdout == \
        'reply {"id":1,"rpc":{"data":7}}\nreply {}\n'
    done = wh.objects("decode", "-e", "msgpack", "--as", "command", "gqJpZAGjcnBjgaZtZXRob2ShbQ==")
    assert done == [{"type": "command", "encoding": "msgpack",
                     "message": {"id": 1, "rpc": {"method": "m"}}}]


def test_decode_takes_raw_bytes_from_a_pipe(wh):
    raw = wh.run("decode", "--input", "raw", stdin=b"\x07\x08\x01\x22\x03\x0a\x01x", text=False)
    assert raw.stdout == b'command {"id":1,"connect":{"token":"x"}}\n'


@pytest.mark.parametrize("args", [("zz!",), ("-e", "json", "{"), ("-e", "protobuf", "07 08"), ("",),
                                  ("--input", "hex", "xyz")], ids=" ".join)
def test_what_is_no_frame_is_an_error(wh, args):
    assert wh.run("decode", *args, status=ERROR).stderr


# Contexts


def test_a_context_is_kept_for_its_owner_alone(wh):
    wh.run("context", "add", "shop", "-u", "wss://shop.example", "-t", "t.o.k", "-H", "A: 1",
           "-H", "B: 2", "--timeout", "90s", "--insecure")
    path = wh.directory / "wh/contexts/shop"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == {
        "url": "wss://shop.example", "token": "t.o.k", "header": ["A: 1", "B: 2"],
        "timeout": "90s", "insecure": True}
    shown = wh.run("context", "show").stdout
    assert "t.o.k" not in shown and "wss://shop.example" in shown
    assert "t.o.k" not in json.dumps(wh.objects("context", "show", "shop"))


def test_the_first_context_is_used_until_another_is(wh):
    for name in ("b", "a"):
        wh.run("context", "add", name, "-u", f"ws://{name}")
    assert [(c["name"], c["current"]) for c in wh.objects("context", "list")] == \
        [("a", False), ("b", True)]
    wh.run("context", "use", "a")
    assert "* a" in wh.run("context", "list").stdout
    wh.run("context", "rm", "a")
    assert [(c["name"], c["current"]) for c in wh.objects("context", "list")] == [("b", False)]
    wh.run("context", "show", status=ERROR)


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", "", "x" * 65, "a b"])
def test_a_name_cannot_leave_the_directory(wh, name):
    wh.run("context", "add", name, "-u", "ws://x", status=USAGE)
    assert not list(wh.directory.glob("**/*"))


def test_contexts_that_are_not_there_or_damaged_are_told(wh):
    wh.run("context", "use", "nosuch", status=USAGE)
    wh.run("--context", "nosuch", "stats", "x", status=USAGE)
    wh.run("context", "rm", "nosuch", status=ERROR)
    wh.run("context", "add", "x", status=USAGE)
    wh.run("context", "add", "x", "-u", "ws://x")
    (wh.directory / "wh/contexts/x").write_text('{"url":')
    assert "no context as wh writes it" in wh.run("context", "show", status=USAGE).stderr


def test_a_context_that_others_can_read_is_warned_of(wh):
    wh.run("context", "add", "x", "-u", "ws://x")
    os.chmod(wh.directory / "wh/contexts/x", 0o644)
    assert "others can read it" in wh.run("context", "show").stderr
