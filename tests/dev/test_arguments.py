"""The command line is checked before it works: one line that says what to write, status 2, and nothing started."""

import importlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "demo": "devtools.demo.main",
    "chaos": "devtools.chaos.__main__",
    "soak": "devtools.soak.__main__",
    "fuzz": "devtools.fuzz",
    "mutate": "devtools.cli.mutation",
    "security": "devtools.cli.security",
    "screenshots": "devtools.screenshots",
    "package": "devtools.cli.package",
    "bench": "benchmarks.__main__",
    "doctor": "devtools.cli.doctor",
    "deploy": "devtools.cli.deploy",
    "images": "devtools.images.__main__",
    "cost": "devtools.cost.__main__",
    "docs": "devtools.docs.__main__",
}
LONG = "x" * 300
ONCE = ("--once", "a red circle")
RUN = ("run", "--project", "p", "--bucket", "b", "--region", "r")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory, without the settings of the user who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("SPARKLE_ENGINE", "MODEL_ID", "DATABASE_URL", "SPARKLE_LOCAL_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "missing" / "x.png")
    return tmp_path


def read(word, *given):
    return importlib.import_module(MODULES[word]).read_arguments(list(given))


def refused(capsys, word, *given) -> str:
    with pytest.raises(SystemExit) as ended:
        read(word, *given)
    written = capsys.readouterr()
    assert (ended.value.code, written.out) == (2, "")
    # A command of a command names both: ./dev deploy run.
    assert re.match(rf"\./dev {word}( [a-z]+)?: ", written.err)
    assert written.err.endswith("\n")
    assert written.err.count("\n") == 1
    return written.err


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ((*ONCE, "--out", "x.psd"), "Use .png"),
        ((*ONCE, "--out", "x.xbm"), "Use .png"),
        ((*ONCE, "--out", "x.ico"), "Use .png"),
        ((*ONCE, "--out", "x.pdf"), "Use .png"),
        ((*ONCE, "--out", "x.txt"), "Use .png"),
        ((*ONCE, "--out", "x"), "Use .png"),
        ((*ONCE, "--out", ".png"), "Use .png"),
        ((*ONCE, "--out", "folder"), "is a folder"),
        ((*ONCE, "--out", "folder/"), "is a folder"),
        ((*ONCE, "--out", "."), "is a folder"),
        ((*ONCE, "--out", ""), "name is empty"),
        ((*ONCE, "--out", "no/x.png"), "doesn't exist"),
        ((*ONCE, "--out", "file/x.png"), "doesn't exist"),
        ((*ONCE, "--out", "nowhere.png"), "doesn't exist"),
        ((*ONCE, "--out", "loop/x.png"), "loop"),
        ((*ONCE, "--out", f"{LONG}.png"), "too long"),
        ((*ONCE, "--out", "ä" * 126 + ".png"), "too long"),
        ((*ONCE, "--out", f"{LONG}/x.png"), "too long"),
        ((*ONCE, "--out", "a\nb.png"), "control characters"),
        ((*ONCE, "--out", "a\0b.png"), "control characters"),
        ((*ONCE, "--out"), "--out needs a value: --out=VALUE"),
        (("--out", "x.png"), "--once=PROMPT --out="),
        (("--seed", "7"), "--once=PROMPT --seed="),
        (("--negative-prompt", "blur"), "--once=PROMPT --negative-prompt="),
        (("--guild", "Night Owls"), "--once=PROMPT --guild="),
        (("--once", "-anime"), '"-" needs the "="'),
        (("--once",), "--once needs a value: --once=VALUE"),
        (("--once", "--out", "x.png"), "--once needs a value: --once=VALUE"),
        (("--once", ""), "empty"),
        (("--once", " \t"), "empty"),
        (("--once", "x" * 6001), "at most 6,000 characters (this is 6,001)"),
        (("--once", "\udcff"), "UTF-8"),
        ((*ONCE, "--seed", "x"), "from -1 to 4294967295"),
        ((*ONCE, "--seed", "1.5"), "from -1 to 4294967295"),
        ((*ONCE, "--seed=-2"), "from -1 to 4294967295"),
        ((*ONCE, "--seed", "4294967296"), "from -1 to 4294967295"),
        ((*ONCE, "--seed", "9" * 5000), "from -1 to 4294967295"),
        ((*ONCE, "--seed", "٣"), "from -1 to 4294967295"),
        ((*ONCE, "--steps", "0"), "from 1 to 150"),
        ((*ONCE, "--steps", "9999"), "from 1 to 150"),
        ((*ONCE, "--count", "5"), "from 1 to 4"),
        ((*ONCE, "--guidance", "nan"), "from 0 to 30"),
        ((*ONCE, "--guidance", "inf"), "from 0 to 30"),
        ((*ONCE, "--guidance", "31"), "from 0 to 30"),
        ((*ONCE, "--sampler", "k_best"), "k_lms"),
        ((*ONCE, "--size", "large"), "512x512"),
        ((*ONCE, "--guild", "Nobody's"), "Pixel Garden"),
        ((*ONCE, "--port", "8123"), "can't be used with --once"),
        ((*ONCE, "--outt", "x.png"), "unrecognized argument"),
        ((*ONCE, "--see", "7"), "unrecognized argument"),
        ((*ONCE, "and", "a", "square"), "unrecognized argument"),
        (("--port", "0"), "from 1 to 65535"),
        (("--port", "65536"), "from 1 to 65535"),
        (("--port", "http"), "from 1 to 65535"),
        (("--port=-1",), "from 1 to 65535"),
    ],
)
def test_the_demo_says_what_to_write(given, hint, place, capsys):
    assert hint in refused(capsys, "demo", *given)


@pytest.mark.parametrize("name", ["x.png", "x.PNG", "x.jpg", "x.JPEG", "x.webp", "folder/x.bmp", "-x.png", "file.tiff"])
def test_names_that_can_be_saved_are_accepted(name, place):
    assert read("demo", "--once=a", f"--out={name}").out == Path(name)


def test_a_value_may_begin_with_a_dash_after_an_equals_sign(place):
    options = read("demo", "--once=-anime", "--negative-prompt=--", "--seed=0", "--steps=150", "--guidance=0")
    assert (options.once, options.negative_prompt, options.seed) == ("-anime", "--", 0)


def test_a_prompt_of_the_maximum_length_is_accepted(place):
    assert len(read("demo", "--once", "x" * 6000).once) == 6000


def test_the_servers_that_can_be_named_are_the_simulators():
    from devtools.demo import main
    from devtools.simulator import seed_data

    assert tuple(server.name for server in seed_data.SERVERS) == main.GUILDS


def test_a_taken_port_is_refused_with_a_free_one(place, capsys, monkeypatch):
    from devtools.demo import main

    monkeypatch.setenv("SPARKLE_LOCAL_DIR", str(place / "local"))
    monkeypatch.setattr(main, "interrupt_on_termination", lambda: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main.main(["--port", str(port)]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"./dev demo: port {port} is already in use")
    assert "Use --port=" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("MODEL_ID", "/no/such/model", "/no/such/model is neither a folder"),
        ("MODEL_ID", "./folder", "model_index.json"),
        ("MODEL_ID", "a/b/c", "owner/name"),
        ("MODEL_ID", "", "owner/name"),
        ("MODEL_ID", "two words", "owner/name"),
        ("SPARKLE_ENGINE", "magic", "Use diffusers or noise"),
        ("DATABASE_URL", "sqlite:///x", "postgres://"),
        ("SPARKLE_LOCAL_DIR", "file", "is not a folder"),
    ],
)
def test_a_setting_that_cannot_work_is_named(name, value, hint, place, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    line = refused(capsys, "demo", *ONCE, "--out", "x.png")
    assert name in line
    assert hint in line


@pytest.mark.parametrize(
    ("word", "given", "hint"),
    [
        ("chaos", ("--jobs", "0"), "at least 1"),
        ("chaos", ("--jobs", "many"), "at least 1"),
        ("chaos", ("--faults", "-1"), "at least 0"),
        ("chaos", ("--rate", "0"), "from 0 to"),
        ("chaos", ("--rate", "nan"), "not a number"),
        ("chaos", ("--workers", "1000000"), "from 1 to 64"),
        ("chaos", ("--release", "folder"), "not a checkout of Sparkle"),
        ("chaos", ("--json", "folder"), "is a folder"),
        ("chaos", ("--json", "no/x.json"), "doesn't exist"),
        ("chaos", ("--logs", "file"), "is not a folder"),
        ("soak", ("--minutes", "0"), "above 0"),
        ("soak", ("--minutes", "inf"), "above 0"),
        ("soak", ("--rate", "x"), "not a number"),
        ("soak", ("--json", f"{LONG}"), "too long"),
        ("fuzz", ("--count", "0"), "at least 1"),
        ("mutate", ("guilds.models",), 'unknown value "guilds.models". Choose from: guilds.policy, guilds.quota'),
        ("mutate", ("guilds.policy", ""), 'unknown value ""'),
        ("mutate", ("--all",), "unrecognized argument"),
        ("fuzz", ("--seed", "1e3"), "at least 0"),
        ("fuzz", ("--json", "a\nb"), "control characters"),
        ("security", ("--out", "file"), "is not a folder"),
        ("security", ("--out", "file/below"), "is not a folder"),
        ("screenshots", ("--look", "dusk"), "light, dark, phone"),
        ("screenshots", ("--only", ""), "empty"),
        ("screenshots", ("--out", "file"), "is not a folder"),
        ("package", ("--out", "folder"), "is a folder"),
        ("package", ("--out", "lambda.tar"), ".zip"),
        ("package", ("--out", "file/lambda.zip"), "is not a folder"),
        ("package", ("--architecture", "mips"), "arm64"),
        ("package", ("--python", "2.7"), "3.13"),
        ("bench", ("nothing",), "scaling"),
        ("bench", ("--json", "folder"), "is a folder"),
        ("doctor", ("--folder", "none"), "the folder none doesn't exist"),
        ("doctor", ("--folder", "file"), "file is not a folder"),
        ("doctor", ("--folder", ""), "the name is empty"),
        ("doctor", ("--folder",), "--folder=VALUE"),
        ("doctor", ("terraform",), "unrecognized argument"),
        ("deploy", (), "./dev deploy status or ./dev deploy run"),
        ("deploy", ("undo",), "choose from"),
        ("deploy", ("status", "--all"), "unrecognized argument"),
        ("deploy", ("run", "--project", "p"), "--bucket, --region"),
        ("deploy", (*RUN, "--steps", "destroy"), "separated by spaces"),
        ("deploy", (*RUN, "--steps="), "separated by spaces"),
        ("deploy", (*RUN, "--bucket", ""), "the value is empty"),
        ("deploy", (*RUN, "--step", "build"), "unrecognized argument"),
        ("images", ("--no-build",), "--no-build needs --check"),
        ("images", ("--check=yes",), "--check takes no value"),
        ("images", ("--mount", "none"), "the folder none doesn't exist"),
        ("images", ("--mount", "loop"), "loop"),
        ("images", ("web",), "unrecognized argument"),
        ("cost", ("--plan", "none.json"), "the file none.json doesn't exist"),
        ("cost", ("--plan", "folder"), "is a folder, not a file"),
        ("cost", ("--profile", "large"), "small, standard"),
        ("cost", ("--region", " "), "the value is empty"),
        ("cost", ("plan.json",), "unrecognized argument"),
        ("docs", ("--port", "0"), "from 1 to 65535"),
        ("docs", ("--write=yes",), "--write takes no value"),
        *((word, ("--no-such-option",), "--help") for word in MODULES),
        *((word, ("--json",), "--json=VALUE") for word in ("chaos", "soak", "fuzz", "bench")),
        ("security", ("stray",), "unrecognized argument"),
    ],
)
def test_the_other_commands_say_what_to_write(word, given, hint, place, capsys):
    assert hint in refused(capsys, word, *given)


@pytest.mark.processes
def test_a_path_without_write_permission_is_refused(make_folder):
    """Root may write anywhere: there, the check runs as another account."""
    place = make_folder("arguments")
    (place / "closed").mkdir(mode=0o555)
    (place / "closed.png").touch()
    (place / "closed.png").chmod(0o444)
    code = (
        "import os, pwd, sys; from devtools.cli import arguments\n"
        "if os.geteuid() == 0: os.setuid(pwd.getpwnam('nobody').pw_uid)\n"
        "for read, name in ((arguments.file_to_write, 'closed/x'), (arguments.folder_to_write, 'closed/x'),"
        " (arguments.file_to_write, 'closed.png')):\n"
        "    try: print('taken', read(name))\n"
        "    except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, second, third = done.stdout.splitlines()
    assert first.startswith("ArgumentTypeError the folder")
    assert "isn't writable" in first
    assert "isn't writable" in second
    assert "can't be overwritten" in third
