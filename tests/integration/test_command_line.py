"""The command line as a user meets it: verbs, exit codes, files and what goes wrong."""

import json
import re

import pytest

from support import tokens
from support.client import Disconnected, JsonClient
from support.hub import HMAC_SECRET, run

SECRET_2 = "another secret that is long enough 11"


def signed(claims):
    return tokens.make(claims, HMAC_SECRET)


def forged(claims):
    return tokens.make(claims, SECRET_2)


VERBS = ["serve", "check-config", "print-config", "gen-config", "gen-token", "gen-sub-token",
         "check-token", "version"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    done = run(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: wirehub {verb}")
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert run(verb, "-h").stdout == done.stdout


def test_usage_errors_have_an_exit_code_of_their_own():
    assert run("--help").returncode == 0
    assert all(verb in run("--help").stdout for verb in VERBS)
    for args in ([], ["no-such-verb"], ["no-such\nverb"]):
        done = run(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert "wirehub" in done.stderr


def test_version_names_version_and_commit():
    for args in (["version"], ["--version"]):
        assert re.fullmatch(r"wirehub \d+\.\d+\.\d+\S* \(\S+\)\n", run(*args).stdout)


def test_from_generated_configuration_to_a_connected_client(tmp_path, make_hub, clients):
    path = tmp_path / "wirehub.yaml"
    generated = run("gen-config", "-o", path)
    assert generated.returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    again = run("gen-config", "-o", path)
    assert again.returncode == 1 and path.read_text() == before
    assert str(path) in again.stderr
    assert run("gen-config").stdout != before, "the same secret twice"
    checked = run("check-config", "-c", path)
    assert (checked.returncode, checked.stderr) == (0, "")

    token = run("gen-token", "-c", path, "--user", "42", "--ttl", "5m").stdout.strip()
    for given in (run("check-token", "-c", path, token),
                  run("check-token", "-c", path, stdin=token + "\n")):
        assert given.returncode == 0 and "42" in given.stdout
    hub = make_hub(text=before, args=["--port=0", "--log.format=json"])
    clients(hub, JsonClient, "public:news", "personal:inbox#42", token=token)
    with pytest.raises(Disconnected):
        clients(hub)
    private = "public:$vault"
    subscribing = run("gen-sub-token", "-c", path, "--user", "42", "--channel", private)
    client = clients(hub, token=token)
    client.subscribe(private, token=subscribing.stdout.strip())


CHECKED_TOKENS = [
    (lambda: signed({"sub": "ann"}), 0, "ann"),
    (lambda: signed({"sub": "ann", "exp": 1}), 1, "expired"),
    (lambda: forged({"sub": "ann"}), 1, "signature"),
    (lambda: "rubbish", 1, ""),
    (lambda: "", 2, ""),
]


@pytest.mark.parametrize("make, status, words", CHECKED_TOKENS,
                         ids=["valid", "expired", "forged", "rubbish", "nothing"])
def test_check_token_says_why(tmp_path, make, status, words):
    secret = tmp_path / "secret"
    secret.write_text(HMAC_SECRET + "\n")
    done = run("check-token", "--secret-file", secret, stdin=make())
    assert done.returncode == status
    assert words in done.stdout + done.stderr
    assert done.stdout + done.stderr
    assert HMAC_SECRET not in done.stdout + done.stderr


def test_check_config_reports_every_problem_in_one_run(tmp_path):
    path = tmp_path / "wirehub.yaml"
    path.write_text("http_server:\n  prot: 1\nchannel:\n  namespaces:\n"
                    "    - {name: orders, histroy_size: 3}\nclient: {ping_interval: 5 mins}\n")
    for verb in ("check-config", "serve"):
        done = run(verb, "-c", path)
        assert done.returncode == 1
        for place, words in ((":2:3: ", "did you mean http_server.port"),
                             (":5:22: ", "did you mean history_size"),
                             (":6:25: ", "try 5m")):
            assert any(f"{path}{place}" in line and words in line
                       for line in done.stderr.splitlines()), done.stderr


def test_secrets_are_refused_in_argv_and_masked_in_print_config(tmp_path):
    path = tmp_path / "wirehub.yaml"
    path.write_text(json.dumps({"client": {"token": {"hmac_secret_key": HMAC_SECRET}}}))
    for verb in ("check-config", "print-config", "serve"):
        done = run(verb, "-c", path, f"--client.token.hmac_secret_key={SECRET_2}")
        assert done.returncode == 1
        assert SECRET_2 not in done.stdout + done.stderr
        assert "hmac_secret_key" in done.stderr
    for flags in ([], ["--origin"], ["--env"]):
        shown = run("print-config", "-c", path, *flags)
        assert shown.returncode == 0
        assert HMAC_SECRET not in shown.stdout
    origin = run("print-config", "-c", path, "--origin", "--port=8123",
                 env={"WIREHUB_LOG_LEVEL": "debug"}).stdout
    assert re.search(r" port: 8123 +# --http_server.port\n", origin)
    assert re.search(r" level: debug +# WIREHUB_LOG_LEVEL\n", origin)
    assert re.search(rf" hmac_secret_key: \S+ +# {re.escape(str(path))}:1\n", origin)


def test_the_last_of_a_repeated_flag_counts(tmp_path):
    for port in (1111, 2222):
        (tmp_path / str(port)).write_text(json.dumps({"http_server": {"port": port}}))
    for names in (("-c", "--config"), ("--config", "-c")):
        shown = run("print-config", names[0], tmp_path / "1111", names[1], tmp_path / "2222")
        assert " port: 2222\n" in shown.stdout
    assert " port: 4\n" in run("print-config", "--port=3", "--port=4").stdout


def test_printed_defaults_are_a_valid_configuration(tmp_path):
    path = tmp_path / "defaults.yaml"
    path.write_text(run("print-config", "--defaults").stdout)
    assert run("check-config", "-c", path).returncode == 0


def test_a_busy_port_is_an_error_that_names_it(make_hub):
    hub = make_hub()
    done = run("serve", f"--port={hub.port}", "--client.insecure=true", "--log.format=json")
    assert done.returncode == 1
    failures = [json.loads(line) for line in done.stdout.splitlines() if "listen_failed" in line]
    assert len(failures) == 1
    assert f"127.0.0.1:{hub.port}: another program listens there" in failures[0]["problem"]
