"""./dev as a newcomer meets it: in a copy of the checkout that has next to nothing to install."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.cli.main import pin, translate

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A folder with a space in its name: ./dev, empty requirements, and a manage.py that says what it was given."""
    folder = tmp_path / "a checkout"
    (folder / "devtools" / "cli").mkdir(parents=True)
    (folder / "requirements").mkdir()
    for file in ("dev", "devtools/__init__.py", "devtools/cli/__init__.py", "devtools/cli/main.py"):
        shutil.copy(ROOT / file, folder / file)
    for file in ("torch.txt", "dev.txt"):
        (folder / "requirements" / file).touch()
    (folder / "manage.py").write_text("import sys; print(sys.prefix, *sys.argv[1:], flush=True); sys.exit(7)\n")
    return folder


def dev(checkout, *arguments, **environment):
    return subprocess.run(
        [sys.executable, checkout / "dev", *arguments],
        env=os.environ | {"PIP_NO_INDEX": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_help_fits_a_screen_and_offers_only_what_is_there(checkout):
    done = dev(checkout, "help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 24
    assert "check" in done.stdout
    assert "demo" not in done.stdout
    (checkout / "devtools" / "demo").mkdir()
    (checkout / "devtools" / "demo" / "main.py").touch()
    assert "demo" in dev(checkout).stdout


def test_an_unknown_word_gets_one_line_and_the_nearest_command(checkout):
    done = dev(checkout, "tets")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'dev: unknown command "tets". Did you mean "test"?\n'


def test_an_old_python_gets_one_line(checkout):
    program = "import runpy, sys; sys.version_info = (3, 8, 1, 'final', 0); runpy.run_path(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, checkout / "dev"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "needs Python 3.11 or later; this is 3.8" in done.stderr


def test_the_first_command_installs_and_the_second_does_not(checkout):
    first = dev(checkout, "manage", "shell", "two words")
    assert first.returncode == 7, first.stderr
    assert [line.split(" ... ")[0] for line in first.stdout.splitlines()[:-1]] == [
        "Creating .venv",
        "Installing everything but PyTorch",
        "Installing PyTorch",
    ]
    assert first.stdout.splitlines()[-1] == f"{checkout / '.venv'} shell two words"
    second = dev(checkout, "manage", "shell", "two words")
    assert second.stdout == first.stdout.splitlines()[-1] + "\n"


def test_changed_requirements_are_installed_again(checkout):
    dev(checkout, "manage")
    (checkout / "requirements" / "dev.txt").write_text("# changed\n")
    assert "Installing everything but PyTorch" in dev(checkout, "manage").stdout


def test_a_failed_download_gets_one_line_and_the_next_run_continues(checkout):
    (checkout / "requirements" / "torch.txt").write_text("no-such-package-as-this==1\n")
    failed = dev(checkout, "manage")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "No matching distribution found for no-such-package-as-this==1" in failed.stderr
    assert ".local/install.log" in failed.stderr
    (checkout / "requirements" / "torch.txt").write_text("")
    assert dev(checkout, "manage").returncode == 7


def test_an_unreachable_index_gets_one_line(checkout):
    (checkout / "requirements" / "torch.txt").write_text("no-such-package-as-this==1\n")
    index = {
        "PIP_NO_INDEX": "0",
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    failed = dev(checkout, "manage", **index)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "a download failed" in failed.stderr


def test_an_interrupted_installation_starts_again(checkout):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    assert dev(checkout, "manage").returncode == 7


def test_a_command_gets_the_signals_itself(checkout):
    dev(checkout, "manage")
    (checkout / "manage.py").write_text("import time; print('ready', flush=True); time.sleep(600)\n")
    process = subprocess.Popen([sys.executable, checkout / "dev", "manage"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM
    process.stdout.close()


def test_a_failing_check_shows_what_was_wrong_and_the_others_still_run(checkout):
    dev(checkout, "manage")
    for program, line in (("ruff", "exit 0"), ("lint-imports", "echo it is broken; exit 1"), ("mypy", "exit 0")):
        script = checkout / ".venv" / "bin" / program
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
    done = dev(checkout, "check", "lint", "import contracts", "types")
    assert done.returncode == 1
    assert done.stdout.split("\n") == [
        "lint ... ok",
        "import contracts ... failed",
        "it is broken",
        "",
        "types ... ok",
        "Failed: import contracts.",
        "",
    ]
    assert dev(checkout, "check", "lint", "types").returncode == 0


def test_pips_settings_reach_uv():
    listed = """\
:env:.find-links='/from/the/environment'
global.cert='/etc/company.pem'
global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'
global.find-links='/opt/wheels /more'
global.index-url='https://pypi.example/simple'
install.index-url='https://install.example/simple'
install.no-index='false'
global.trusted-host='a.example b.example'
not a setting
"""
    assert translate(listed) == {
        "UV_DEFAULT_INDEX": "https://install.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/from/the/environment",
        "UV_INSECURE_HOST": "a.example b.example",
        "SSL_CERT_FILE": "/etc/company.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert translate(":env:.no-index='1'")["UV_NO_INDEX"] == "true"


def test_uv_is_installed_by_the_hashes_of_the_lock():
    wanted = "uv==0.13.9 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    lock = f"urllib3==2.5.0 \\\n    --hash=sha256:00\n{wanted}vine==5\n"
    assert pin("uv", lock) == wanted
    assert pin("u", lock) == ""
    assert pin("uv", (ROOT / "requirements" / "dev.txt").read_text()).count("--hash=") > 5


def test_without_uv_pip_installs(checkout):
    (checkout / "requirements" / "dev.txt").write_text(f"uv==0.0.1 --hash=sha256:{'0' * 64}\n")
    failed = dev(checkout, "manage")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "No matching distribution found for uv==0.0.1" in failed.stderr
