"""The rooms and what they load: the architecture is a test that fails."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "benchmarks", "demo_model", "devtools", "sparkle_site", "interactions_lambda", "gpu_worker", "jobs", "guilds",
    "discord_api", "telemetry", "deployment",
)  # fmt: skip


def loaded_by(statement: str, *, settings: str | None = None) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after `statement`."""
    program = f"{statement}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    if settings:
        environment |= {
            "DJANGO_SETTINGS_MODULE": settings,
            "DJANGO_SECRET_KEY": "x" * 50,
            "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.processes
def test_the_import_contracts_are_kept():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.processes
def test_a_broken_contract_is_noticed(tmp_path):
    """The contracts can fail: an interactions_lambda that imports the worker breaks one."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
        (tmp_path / room / "apps.py").touch()
    for module in ("settings", "urls", "wsgi"):
        (tmp_path / "sparkle_site" / f"{module}.py").touch()
    (tmp_path / "interactions_lambda" / "handler.py").write_text("import gpu_worker.apps\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / ".importlinter"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "interactions_lambda is not allowed to import gpu_worker" in done.stdout


@pytest.mark.processes
def test_importing_the_handler_loads_neither_django_nor_torch_nor_celery():
    packages = loaded_by("import interactions_lambda.handler")
    assert not packages & {"django", "torch", "diffusers", "celery", "kombu", "boto3", "PIL", "psycopg", "numpy"}


@pytest.mark.processes
def test_the_headless_settings_load_no_web_site():
    packages = loaded_by("import django; django.setup()", settings="sparkle_site.settings.headless")
    assert "django" in packages
    assert not packages & {"unfold", "allauth", "gunicorn", "whitenoise", "celery", "torch", "diffusers"}


@pytest.mark.processes
def test_the_web_site_loads_no_torch_and_no_celery():
    packages = loaded_by("import sparkle_site.wsgi", settings="sparkle_site.settings.web")
    assert not packages & {"celery", "torch", "diffusers", "transformers"}


@pytest.mark.parametrize(
    "module", ["gpu_worker.job_runner", "gpu_worker.sqs_consumer", "gpu_worker.batch_policy", "gpu_worker.engine"]
)
@pytest.mark.processes
def test_only_the_engine_loads_torch(module):
    packages = loaded_by(f"import django; django.setup()\nimport {module}", settings="sparkle_site.settings.headless")
    assert not packages & {"torch", "diffusers", "transformers", "celery"}


def test_room_packages_are_empty():
    filled = [
        str(file.relative_to(ROOT)) for room in ROOMS for file in (ROOT / room).rglob("__init__.py") if file.read_text()
    ]
    assert filled == []
