"""libwirehub as a user's compiler meets it: installed somewhere, found by pkg-config and CMake, its
headers alone, its symbols and nothing else, its ABI as it was."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/release"
BASELINE = ROOT / "tests/golden/libwirehub.abi"
C11 = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror"]
CPP17 = ["-std=c++17", "-pedantic", "-Wall", "-Wextra", "-Werror"]
CONSUMER = "{ (void)wh_client_open; return wh_version_num() == WH_VERSION_NUM ? 0 : 1; }\n"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=120, check=False, **options)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """The installed tree, away from where it was built."""
    place = tmp_path_factory.mktemp("installed")
    for component in ("libwirehub", "libwirehub-dev", "wh"):
        run("cmake", "--install", BUILD, "--prefix", place, "--component", component)
    return place


@pytest.fixture(scope="module")
def libdir(prefix):
    (found,) = prefix.rglob("libwirehub.so")
    return found.parent


@pytest.fixture
def environment(libdir):
    return {**os.environ, "PKG_CONFIG_PATH": str(libdir / "pkgconfig"),
            "LD_LIBRARY_PATH": str(libdir)}


def pkg_config(environment, *flags):
    return shlex.split(run("pkg-config", *flags, "wirehub", env=environment))


def headers(prefix):
    return sorted((prefix / "include/wirehub").glob("*.h"))


def source(place, text=CONSUMER):
    path = place / "consumer.c"
    path.write_text("#include <wirehub/wirehub.h>\nint main(void)\n" + text)
    return path


def test_everything_that_is_needed_is_installed(prefix):
    names = {path.name for path in headers(prefix)}
    assert names == {"call.h", "client.h", "data.h", "error.h", "glib.h", "libevent.h", "runtime.h",
                     "subscription.h", "uv.h", "version.h", "wirehub.h"}
    assert (prefix / "bin/wh").exists()


def test_pkg_config_builds_a_program_with_the_shared_library(prefix, environment, tmp_path):
    run("cc", *C11, "-o", tmp_path / "consumer", source(tmp_path),
        *pkg_config(environment, "--cflags", "--libs"))
    run(tmp_path / "consumer", env=environment)
    assert "libwirehub.so.0" in run("readelf", "-d", tmp_path / "consumer")


def test_pkg_config_builds_a_program_with_the_static_library(environment, tmp_path):
    libraries = ["-Wl,-Bstatic" if word == "-lwirehub" else word
                 for word in pkg_config(environment, "--static", "--libs")]
    at = libraries.index("-Wl,-Bstatic") + 1
    libraries[at:at] = ["-lwirehub", "-Wl,-Bdynamic"]
    run("cc", *C11, "-o", tmp_path / "consumer", source(tmp_path),
        *pkg_config(environment, "--cflags"), *libraries)
    run(tmp_path / "consumer")
    assert "libwirehub" not in run("readelf", "-d", tmp_path / "consumer")


@pytest.mark.parametrize("target", ["wirehub::wirehub", "wirehub::static"])
def test_cmake_builds_a_program(prefix, environment, tmp_path, target):
    source(tmp_path)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(consumer LANGUAGES C)\n"
        "find_package(wirehub 0.1 REQUIRED)\nadd_executable(consumer consumer.c)\n"
        f"target_link_libraries(consumer PRIVATE {target})\n")
    run("cmake", "-B", tmp_path / "b", "-S", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "b")
    run(tmp_path / "b/consumer", env=environment)


def test_cmake_refuses_another_major_version(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(consumer LANGUAGES C)\n"
        "find_package(wirehub 1.0 REQUIRED)\n")
    done = subprocess.run(["cmake", "-B", tmp_path / "b", "-S", tmp_path,
                           f"-DCMAKE_PREFIX_PATH={prefix}"], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode != 0 and "0.1.0" in done.stderr


def test_cpp17_builds_a_program(environment, tmp_path):
    run("c++", *CPP17, "-o", tmp_path / "cpp", ROOT / "client-sdk/examples/cpp.cpp",
        *pkg_config(environment, "--cflags", "--libs"))
    done = subprocess.run([tmp_path / "cpp"], env=environment, capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage:")


FOREIGN = {"uv.h": "libuv", "glib.h": "glib-2.0", "libevent.h": "libevent"}


@pytest.mark.parametrize("name", ["call.h", "client.h", "data.h", "error.h", "glib.h", "libevent.h",
                                  "runtime.h", "subscription.h", "uv.h", "version.h", "wirehub.h"])
@pytest.mark.parametrize("language", ["c", "c++"])
def test_each_header_compiles_alone(prefix, tmp_path, name, language):
    flags = C11 if language == "c" else CPP17
    extra = []
    if name in FOREIGN: # theirs are not pedantic, and are not ours to mend
        extra = [word.replace("-I", "-isystem", 1) for word in
                 shlex.split(run("pkg-config", "--cflags", FOREIGN[name]))]
        extra.append("-D_GNU_SOURCE")
    unit = tmp_path / "unit.c"
    unit.write_text(f"#include <wirehub/{name}>\n#include <wirehub/{name}>\n"
                    "int nothing(void); int nothing(void) { return 0; }\n")
    run("cc", "-x", language, *flags, "-I", prefix / "include", *extra, "-c", "-o", os.devnull, unit)


def declared(prefix):
    text = "".join(path.read_text() for path in headers(prefix))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return set(re.findall(r"WH_API[^;{]*?\b(wh_\w+)\s*\(", text))


def test_the_shared_library_exports_what_the_headers_declare_and_nothing_else(prefix, libdir):
    exported = {}
    for line in run("readelf", "--dyn-syms", "-W", libdir / "libwirehub.so").splitlines():
        word = line.split()
        if len(word) >= 8 and word[6] != "UND" and word[4] == "GLOBAL" and word[3] != "OBJECT":
            name, _, version = word[7].partition("@@")
            exported[name] = version
    assert set(exported) == declared(prefix)
    assert set(exported.values()) == {"WIREHUB_1.0"}


def test_the_archive_shows_what_the_headers_declare_and_nothing_else(prefix, libdir):
    listing = run("nm", "--defined-only", "--extern-only", libdir / "libwirehub.a")
    shown = {line.split()[-1] for line in listing.splitlines() if len(line.split()) == 3}
    assert shown == declared(prefix)


def test_the_name_of_the_shared_object_is_its_major_version(libdir):
    assert re.search(r"SONAME.*\[libwirehub\.so\.0\]", run("readelf", "-d", libdir / "libwirehub.so"))


def test_the_abi_is_that_of_the_baseline_or_more(libdir):
    # Without the headers' folder: with it abidiff 2.2 sees no change of a struct.
    # After an addition that is meant tools/abi_baseline.sh writes it anew.
    done = subprocess.run(
        ["abidiff", "--exported-interfaces-only", "--no-added-syms",
         "--suppressions", BASELINE.with_suffix(".abignore"), BASELINE,
         (libdir / "libwirehub.so").resolve()],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_needs_few_other_libraries(libdir):
    needed = set(re.findall(r"NEEDED.*\[(.*?)\]", run("readelf", "-d", libdir / "libwirehub.so")))
    needed -= {"ld-linux-x86-64.so.2"}
    assert needed <= {"libc.so.6", "libm.so.6", "libwebsockets.so.17", "libcrypto.so.3", "libssl.so.3"}


def test_no_path_of_the_build_is_in_what_is_installed(prefix):
    for path in prefix.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix in {".pc", ".cmake", ".h"}:
            assert str(ROOT) not in path.read_text(), path
