"""The functions' zip: small, the same every time, and enough by itself for whatever the code asks of AWS."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from interactions_lambda import packaging

from .conftest import ARCHITECTURE, PYTHON

# Runs from the unpacked zip with nothing else to import from, in a region that the shared files must know.
_ASKS = """
import json, sys, types
from interactions_lambda import handler, router
router.setup_django()
import boto3
from django.conf import settings
from django.core.files.storage import default_storage
from jobs.dispatch import sqs
from sparkle_site.rds.connection import rds

clients = [sqs.client(), rds(), boto3.client("secretsmanager"), default_storage.connection.meta.client]
token = rds().generate_db_auth_token(DBHostname="db.example", Port=5432, DBUsername="sparkle")
files = [each.__file__ for each in list(sys.modules.values()) if getattr(each, "__file__", None)]
print(json.dumps({
    "addresses": {each.meta.service_model.service_name: each.meta.endpoint_url for each in clients},
    "token": token.split("?")[0],
    "image": default_storage.url("1/2/x.png").split("?")[0],
    "from_elsewhere": sorted(each for each in files if "/site-packages/" in each),
}))
"""


def asked_for() -> set[str]:
    """The services whose clients the packaged code makes."""
    found = {"s3"}  # By django-storages: jobs/s3_storage.py.
    for package in packaging.PACKAGES:
        for file in (packaging.ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "boto3.client":
                    assert isinstance(node.args[0], ast.Constant), f"{file}: a service by another name than its own"
                    found.add(str(node.args[0].value))
    return found


def test_the_zip_keeps_the_description_of_each_service_that_the_code_asks_and_of_no_other() -> None:
    assert set(packaging.SERVICES) == asked_for()


def test_the_zip_holds_the_sql_files(tmp_path: Path) -> None:
    packaging.copy_packages(tmp_path)
    names = {path.name for path in (packaging.ROOT / "jobs" / "sql").glob("*.sql")}
    assert names == {path.name for path in (tmp_path / "jobs" / "sql").iterdir()} != set()


@pytest.mark.slow
@pytest.mark.processes
def test_the_zip_alone_makes_every_client_and_signs_what_needs_no_call(package: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(package).extractall(tmp_path)
    kept = {path.name for path in (tmp_path / "botocore" / "data").iterdir() if path.is_dir()}
    assert kept == set(packaging.SERVICES)
    environment = {
        "PYTHONPATH": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.headless",
        "DJANGO_SECRET_KEY": "k" * 60,
        "DATABASE_URL": "postgres://sparkle@db.example/sparkle",
        "IMAGE_BUCKET": "images",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    # Without `site` nothing that is installed here can help out.
    done = subprocess.run(
        [sys.executable, "-S", "-c", _ASKS], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {
        "addresses": {
            "sqs": "https://sqs.eu-central-1.amazonaws.com",
            "rds": "https://rds.eu-central-1.amazonaws.com",
            "secretsmanager": "https://secretsmanager.eu-central-1.amazonaws.com",
            "s3": "https://s3.eu-central-1.amazonaws.com",
        },
        "token": "db.example:5432/",
        "image": "https://images.s3.eu-central-1.amazonaws.com/1/2/x.png",
        "from_elsewhere": [],
    }


@pytest.mark.slow
@pytest.mark.processes
def test_the_same_code_makes_the_same_bytes(package: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    packaging.build(again, architecture=ARCHITECTURE, python=PYTHON)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


@pytest.mark.slow
@pytest.mark.processes
def test_the_zip_is_far_from_lambdas_limit(package: Path) -> None:
    unpacked = sum(each.file_size for each in zipfile.ZipFile(package).infolist())
    assert unpacked < packaging.LIMIT / 4
