"""./dev doctor: each wrong input is named, with the command that repairs it, before anything is applied."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from django.utils import timezone

from deployment import account, checks, doctor, terraform_inputs
from deployment.account import Subnet
from deployment.checks import MISSING, OK, UNKNOWN, Finding
from devtools.cli import doctor as command
from devtools.simulator import seed_data
from devtools.sqs_emulator import ministack

from ..required_programs import processes_of_the_run
from ..simulator.in_process_transport import SiteTransport

MODULE = Path(__file__).resolve().parents[2] / "terraform" / "modules" / "sparkle" / "variables.tf"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
RIGHT = {
    "vpc_id": "vpc-0123456789abcdef0",
    "discord_application_id": "1000000000000000001",
    "discord_public_key": "ab" * 32,
    "discord_bot_secret": "x" * 60,
    "django_secret_key": "y" * 50,
}


def subnet(name: str, zone: str, *, tier: str = "", public: bool = True) -> Subnet:
    return Subnet(id=f"subnet-{name}", zone=f"us-east-1{zone}", tier=tier, public=public)


# Inputs.


def test_inputs_come_from_files_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "terraform.tfvars").write_text(
        'vpc_id = "vpc-1" # mine\n# max_workers = 9\nmax_workers=2\nworker_spot = true\n'
        "discord_application_id = 123456789012345678\n"
        'worker_instance_types = [\n  "g6.xlarge",\n  "g4dn.xlarge",\n]\n'
    )
    environment = {"TF_VAR_vpc_id": "vpc-2", "TF_VAR_discord_bot_secret": "MTA.x.y", "PATH": "/bin"}
    assert terraform_inputs.read(tmp_path, environment) == {
        "vpc_id": "vpc-1",
        "max_workers": 2,
        "worker_spot": True,
        "discord_application_id": "123456789012345678",
        "worker_instance_types": ["g6.xlarge", "g4dn.xlarge"],
        "discord_bot_secret": "MTA.x.y",
    }


def test_right_inputs_are_fine() -> None:
    assert {finding.status for finding in checks.inputs(RIGHT)} == {OK}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("value", ["", "wrong-value"])
def test_a_wrong_input_is_named_and_never_shown(name: str, value: str) -> None:
    wrong = [finding for finding in checks.inputs(RIGHT | {name: value}) if finding.status == MISSING]
    assert [finding.what for finding in wrong] == [name]
    assert wrong[0].command
    assert "wrong-value" not in checks.text(wrong)


def test_the_forms_are_those_that_terraform_checks() -> None:
    conditions = dict(re.findall(r'can\(regex\("\^(.+?)\$", var\.(\w+)\)\)', MODULE.read_text()))
    ours = {form: name for name, (form, _) in checks.REQUIRED.items() if name != "django_secret_key"}
    assert ours.items() <= conditions.items()


@pytest.mark.parametrize(("name", "default"), [("max_workers", str(checks.DEFAULT_MAX_WORKERS))])
def test_defaults_are_terraforms(name: str, default: str) -> None:
    found = re.search(rf'variable "{name}" {{.*?default += (\S+)', MODULE.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == default


# Tools.


@pytest.mark.parametrize(("version", "status"), [(None, MISSING), ("1.9.8", MISSING), ("1.11.0", OK), ("2.0.1", OK)])
def test_terraform_must_know_write_only_arguments(version: str | None, status: str) -> None:
    assert checks.terraform(version).status == status


def test_packages_are_made_by_one_command() -> None:
    finding = checks.packages({"build/lambda.zip": True, "build/source.zip": False})
    assert (finding.status, finding.command) == (MISSING, "./dev package")
    assert "source.zip" in finding.detail


# The network.


def test_untagged_subnets_are_tagged_by_the_command() -> None:
    listed = [subnet("1", "a"), subnet("2", "b", public=False), subnet("3", "b"), subnet("4", "a", public=False)]
    finding = checks.public_subnets("vpc-1", listed)
    assert finding.status == MISSING
    assert finding.command == "aws ec2 create-tags --resources subnet-1 subnet-3 --tags Key=Tier,Value=Public"


def test_two_tagged_subnets_in_one_zone_are_one_zone() -> None:
    listed = [subnet("1", "a", tier="Public"), subnet("2", "a", tier="Public"), subnet("3", "b")]
    finding = checks.public_subnets("vpc-1", listed)
    assert finding.status == MISSING
    assert "--resources subnet-3 " in finding.command
    assert checks.public_subnets("vpc-1", [*listed[:2], subnet("3", "b", tier="Public")]).status == OK


def test_a_vpc_of_one_zone_and_one_of_another_region_differ() -> None:
    assert "create-subnet" in checks.public_subnets("vpc-1", [subnet("1", "a")]).command
    assert "describe-vpcs" in checks.public_subnets("vpc-1", []).command


def test_the_gpu_type_is_looked_for_in_the_zones_of_the_subnets() -> None:
    zones = {"us-east-1a", "us-east-1b"}
    types = ["g6.xlarge", "g4dn.xlarge"]
    assert checks.gpu_zones(types, {"g6.xlarge": {"us-east-1b"}}, zones).status == OK
    other = checks.gpu_zones(types, {"g6.xlarge": {"us-east-1c"}, "g4dn.xlarge": {"us-east-1a"}}, zones)
    assert (other.status, other.command) == (MISSING, 'worker_instance_types = ["g4dn.xlarge"] in terraform.tfvars')
    elsewhere = checks.gpu_zones(types, {"g6.xlarge": {"us-east-1c"}}, zones)
    assert elsewhere.status == MISSING
    assert "us-east-1c" in elsewhere.command
    assert "describe-instance-type-offerings" in checks.gpu_zones(types, {"g6.xlarge": set()}, zones).command


# Quotas.


@pytest.mark.parametrize(("value", "status", "asks"), [(0, MISSING, True), (4, OK, True), (32, OK, False)])
def test_a_gpu_quota_must_hold_one_worker(value: float, status: str, asks: bool) -> None:
    finding = checks.gpu_quota(code="L-DB2E81BA", value=value, vcpus=4, workers=8, region="us-east-1")
    assert finding.status == status
    assert ("--quota-code L-DB2E81BA --desired-value 32 --region us-east-1" in finding.command) == asks


def test_reserved_executions_need_a_higher_lambda_quota() -> None:
    assert checks.lambda_quota(value=10, reserved=0, region="r").status == OK
    finding = checks.lambda_quota(value=10, reserved=40, region="r")
    assert finding.status == MISSING
    assert "--desired-value 50" in finding.command


def test_a_new_account_may_allow_no_build() -> None:
    finding = checks.build_quota("BUILD_GENERAL1_LARGE", ("L-123", 0), "eu-west-1")
    assert finding.status == MISSING
    assert "--service-code codebuild --quota-code L-123 --desired-value 1 --region eu-west-1" in finding.command
    assert checks.build_quota("BUILD_GENERAL1_LARGE", ("L-123", 1), "r").status == OK
    assert checks.build_quota("OTHER", None, "r").status == UNKNOWN


def test_an_account_without_a_quota_of_its_own_has_awss() -> None:
    client = boto3.client("service-quotas", **KEYS)
    with Stubber(client) as stub:
        stub.add_client_error("get_service_quota", "NoSuchResourceException")
        stub.add_response("get_aws_default_service_quota", {"Quota": {"Value": 0.0}})
        assert account.quota(client, "ec2", "L-DB2E81BA") == 0
        quotas = [
            {"QuotaCode": "L-1", "QuotaName": "Other", "Value": 1.0},
            {"QuotaCode": "L-2", "QuotaName": "Ours", "Value": 0.0},
        ]
        stub.add_response("list_service_quotas", {"Quotas": quotas})
        assert account.quota_named(client, "codebuild", "Ours") == ("L-2", 0.0)
        stub.add_response("list_service_quotas", {"Quotas": quotas})
        assert account.quota_named(client, "codebuild", "Neither") is None


def test_offerings_are_listed_by_zone() -> None:
    client = boto3.client("ec2", **KEYS)
    offering = {"InstanceType": "g6.xlarge", "LocationType": "availability-zone", "Location": "us-east-1a"}
    with Stubber(client) as stub:
        stub.add_response("describe_instance_type_offerings", {"InstanceTypeOfferings": [offering]})
        zones = account.zones_by_type(client, ["g6.xlarge", "g5.xlarge"])
    assert zones == {"g6.xlarge": {"us-east-1a"}, "g5.xlarge": set()}


# The account: the emulator has EC2 and STS, and no Service Quotas.


@pytest.fixture(scope="module")
def emulator() -> Iterator[dict[str, str]]:
    with processes_of_the_run(), ministack({"SERVICES": "ec2,sts", "LOG_LEVEL": "ERROR"}) as endpoint:
        yield {"endpoint_url": endpoint, **KEYS}


@pytest.mark.emulator
def test_in_an_account_what_cannot_be_asked_is_said_to_be_unchecked(emulator: dict[str, str]) -> None:
    ec2 = boto3.client("ec2", **emulator)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]

    def aws(service: str) -> Any:
        return boto3.client(service, **emulator)

    def found() -> dict[str, Finding]:
        values = {**RIGHT, "vpc_id": vpc, "discord_bot_secret": ""}
        return {finding.what: finding for finding in doctor.examine(values, aws=aws, region="us-east-1")}

    before = found()
    assert before["AWS credentials"].status == OK
    assert before["Public subnets"].status == MISSING
    assert set(re.findall(r"subnet-\w+", before["Public subnets"].command)) == set(made)
    assert before["Lambda quota"].status == UNKNOWN
    assert "Discord application" not in before
    ec2.create_tags(Resources=made, Tags=[{"Key": "Tier", "Value": "Public"}])
    assert found()["Public subnets"].status == OK


def test_without_credentials_nothing_else_of_the_account_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    session = boto3.session.Session(region_name="us-east-1")
    found = {
        finding.what: finding for finding in doctor._account({}, {"vpc_id"}, aws=session.client, region="us-east-1")
    }
    assert list(found) == ["AWS credentials"]
    assert found["AWS credentials"].command.startswith("aws configure")


# Discord.


@pytest.fixture
def look(db: None, settings: Any) -> Callable[..., Finding]:
    """Look at the application with these values, on the simulator."""
    seed_data.make_servers(now=timezone.now())

    def look(**changes: str) -> Finding:
        values = {
            "discord_application_id": str(settings.DISCORD_APPLICATION_ID),
            "discord_public_key": settings.DISCORD_PUBLIC_KEY,
            "discord_bot_secret": settings.DISCORD_BOT_TOKEN,
            "discord_api_base": "http://testserver/simulator/api/v10",
        }
        (finding,) = doctor.discord(values | changes, transport=SiteTransport(), sleep=lambda _: None)
        return finding

    return look


def test_the_three_values_of_one_application_are_fine(look: Callable[..., Finding]) -> None:
    assert look().status == OK


@pytest.mark.parametrize(
    ("changes", "detail", "repair"),
    [
        ({"discord_bot_secret": "z" * 60}, "refuses the bot token", "Reset Token"),
        ({"discord_public_key": "ab" * 32}, "not the public key", "General Information"),
        ({"discord_application_id": "2000000000000000002"}, "belongs to application 1000", "General Information"),
    ],
)
def test_a_wrong_value_of_discords_is_found(
    look: Callable[..., Finding], changes: dict[str, str], detail: str, repair: str
) -> None:
    finding = look(**changes)
    assert finding.status == MISSING
    assert detail in finding.detail
    assert repair in finding.command
    assert "z" * 60 not in checks.text([finding])


# The command.


def test_the_report_ends_with_what_to_do() -> None:
    missing = Finding(what="Packages", status=MISSING, detail="no build/lambda.zip", command="./dev package")
    fine = Finding(what="Terraform", status=OK, detail="1.11.0")
    assert checks.text([fine, missing]).splitlines() == [
        "ok          Terraform: 1.11.0",
        "missing     Packages: no build/lambda.zip",
        "            -> ./dev package",
        "1 of 2 missing. Run the commands after ->, then ./dev doctor again.",
    ]
    assert "terraform apply" in checks.text([fine])


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["--folder", str(tmp_path / "none")])
    assert "none doesn't exist" in capsys.readouterr().err
