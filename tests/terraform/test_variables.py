"""What is missing or wrong is told before anything is asked of AWS, in words that say what to write where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import required_programs as requirements

from .terraform import FOLDER, Terraform

pytestmark = pytest.mark.terraform

# Provider 5.100.0 is published for fourteen platforms, and its manifest has a checksum of its own.
ARCHIVES = 15
REQUIRED = ("vpc_id", "discord_application_id", "discord_public_key", "discord_bot_secret", "django_secret_key")
RIGHT = {
    "vpc_id": "vpc-0123456789abcdef0",
    "discord_application_id": "1234567890123456789",
    "discord_public_key": "0" * 64,
    "discord_bot_secret": "t" * 60,
    "django_secret_key": "k" * 60,
    "lambda_package": "versions.tf",
    "build_images": "false",
}


NOWHERE = {"AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Terraform's working directory, initialized once: no plan here gets as far as a state."""
    requirements.require("terraform")
    made = tmp_path_factory.mktemp("terraform")
    Terraform(data=made, environment=NOWHERE).init()
    return made


def refusal(folder: Path, variables: dict[str, str]) -> str:
    """What `plan` says that must refuse, on one line."""
    given = {f"TF_VAR_{name}": value for name, value in variables.items()}
    terraform = Terraform(data=folder, environment=NOWHERE | given)
    with pytest.raises(AssertionError) as refused:
        terraform.run("plan", "-input=false", f"-state={folder / 'none.tfstate'}")
    return " ".join(str(refused.value).replace("│", " ").split())


def test_every_missing_variable_is_named(folder: Path) -> None:
    said = refusal(folder, {})
    for name in REQUIRED:
        assert f'variable "{name}" is not set' in said


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"vpc_id": "my-vpc"}, "`aws ec2 describe-vpcs` lists them"),
        ({"discord_application_id": "12ab"}, "17 to 20 digits, from General Information in Discord's developer portal"),
        ({"discord_public_key": "t" * 60}, "64 hexadecimal digits, from General Information"),
        ({"discord_bot_secret": "short"}, "the bot's token"),
        ({"django_secret_key": "short"}, "at least 50 characters, such as the output of `openssl rand -base64 48`"),
        ({"lambda_package": "no-such.zip"}, "no such file. Run `./dev package` first"),
        ({"worker_image_tag": "latest"}, "`latest` cannot be rolled back"),
        ({"domain_name": "https://sparkle.example.org/"}, "without https:// and without a path"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_a_wrong_variable_is_told_with_what_to_write(folder: Path, wrong: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(folder, RIGHT | wrong)


def test_init_works_on_every_platform() -> None:
    """One checksum of a provider's archive for each platform it is published for; `init` refuses a platform without."""
    lock = (FOLDER / ".terraform.lock.hcl").read_text()
    published = re.findall(r'"zh:([0-9a-f]{64})"', lock)
    assert len(set(published)) == len(published) == ARCHIVES
