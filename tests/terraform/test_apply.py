"""The whole platform, applied: the real configuration on an emulator, the packaged zip, a real PostgreSQL behind it.

What the emulator (ministack) cannot run, and what therefore stands behind a variable whose default is AWS's:
- VPC links, so the site is not reached through the API (site_gateway);
- warm pools (worker_warm_pool_size) and which instance types a region has (check_instance_types);
- ECS services in bridge mode (worker_network_mode), and ECS starts no containers: the worker runs beside it;
- the public parameter with the GPU machine image (worker_ami_parameter);
- arm64 and other Pythons: the functions run in the emulator's own, from a zip built for it (lambda_*);
- interface endpoints' names, so the functions are as in a VPC with a NAT (private_subnet_ids, upkeep_runs_in);
- log exports of RDS, which it forgets, so that each apply would wait for the instance again (database_log_exports);
- SnapStart, and RDS: it only stores the instance, and the functions are led to a PostgreSQL of ours (database_url);
- the workflow's call to the group of instances (its engine knows no Auto Scaling): the step fails and is caught, as it
  is where AWS refuses it; that the workflow asks for the right number is in test_schedule.py;
- Application Auto Scaling: a stand-in keeps what is registered. That an alarm runs a step policy is AWS's part.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from interactions_lambda import packaging

from . import application_auto_scaling, checkers
from .conftest import ARCHITECTURE, PYTHON
from .terraform import FOLDER, Terraform

pytestmark = [pytest.mark.slow, pytest.mark.terraform]

NAME = "sparkle-e2e"
MODULE = "module.sparkle."
REGION = "us-east-1"
BOT_TOKEN = "t" * 60
SECRET_KEY = "k" * 60

# What a second plan shows although nothing changed, because the emulator does not give back what it was told.
DRIFT = {
    "aws_appautoscaling_target": "the stand-in keeps no tags",
    "aws_autoscaling_group": "capacity reservations are not kept",
    "aws_cloudwatch_metric_alarm": "description, dimensions and actions are not read back",
    "aws_ecs_capacity_provider": "managed draining is not kept",
    "aws_ecs_service": "availability_zone_rebalancing is not kept",
    "aws_iam_role_policy": "known only after what they depend on was changed again",
    "aws_launch_template": "network interfaces are kept in part",
    "aws_vpc_security_group_egress_rule": "descriptions are not kept",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], Any], *, what: str, within_s: float) -> Any:
    """Return the first true answer of `found`."""
    deadline = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(1)
    return answer


@contextmanager
def emulator(folder: Path) -> Iterator[str]:
    """Run ministack with nothing of ours in its environment, so that the functions have what Terraform gave them."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "AWS_ENDPOINT_URL": endpoint,
        "MINISTACK_REGION": REGION,
    }
    with (folder / "ministack.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            until(lambda: answers(endpoint), what="ministack", within_s=300)
            yield endpoint
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                # Nothing of it is kept; what the test found out is what should be told.
                process.kill()
                process.wait(30)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def worker(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """The worker's own entry point, with an engine that needs no weights."""
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "gpu_worker"], env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(30) == 0, "the worker leaves when it is told to"


class Cloud:
    """What Terraform made, as AWS's own clients see it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 3}),
        )

    def vpc(self) -> tuple[str, list[str]]:
        """What is there before us: a VPC with two tagged subnets, and the machine image's parameter."""
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        tags = [{"ResourceType": "subnet", "Tags": [{"Key": "Tier", "Value": "Public"}]}]
        subnets = [
            ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"{REGION}{zone}", TagSpecifications=tags
            )["Subnet"]["SubnetId"]
            for n, zone in enumerate("ab")
        ]
        self.client("ssm").put_parameter(Name="/test/ami", Value="ami-0123456789abcdef0", Type="String")
        return vpc, subnets

    def alarm(self, name: str) -> str:
        found = self.client("cloudwatch").describe_alarms(AlarmNames=[f"{NAME}-test-{name}"])["MetricAlarms"]
        return str(found[0]["StateValue"])

    def import_id(self, address: str, name: str) -> str:
        """Return what `terraform import` asks for: most are known by their name, these by an id."""
        ec2 = self.client("ec2")
        kind = address.removeprefix(MODULE).split(".", maxsplit=1)[0]
        if kind == "aws_launch_template":
            found = ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"]
            return str(found[0]["LaunchTemplateId"])
        if kind == "aws_budgets_budget":
            return f"{self.client('sts').get_caller_identity()['Account']}:{name}"
        if kind == "aws_security_group":
            filters = [{"Name": "group-name", "Values": [name]}]
            return str(ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"])
        return name

    def ours(self) -> list[str]:
        """Everything that has the deployment's name."""
        names = [
            *(each["FunctionName"] for each in self.client("lambda").list_functions()["Functions"]),
            *self.client("sqs").list_queues().get("QueueUrls", []),
            *(each["Name"] for each in self.client("s3").list_buckets()["Buckets"]),
            *(each["RoleName"] for each in self.client("iam").list_roles()["Roles"]),
            *(each["logGroupName"] for each in self.client("logs").describe_log_groups()["logGroups"]),
            *(each["Name"] for each in self.client("secretsmanager").list_secrets()["SecretList"]),
            *(each["DBInstanceIdentifier"] for each in self.client("rds").describe_db_instances()["DBInstances"]),
            *(each["Name"] for each in self.client("events").list_rules()["Rules"]),
            *(each["name"] for each in self.client("stepfunctions").list_state_machines()["stateMachines"]),
            *(each["AlarmName"] for each in self.client("cloudwatch").describe_alarms()["MetricAlarms"]),
            *(each["Name"] for each in self.client("apigatewayv2").get_apis()["Items"]),
            *(each["repositoryName"] for each in self.client("ecr").describe_repositories()["repositories"]),
            *(each["TopicArn"] for each in self.client("sns").list_topics()["Topics"]),
            *(each["GroupName"] for each in self.client("ec2").describe_security_groups()["SecurityGroups"]),
        ]
        return [name for name in names if NAME in name]


def through(endpoint: str, host: str) -> Callable[[dict[str, Any], object], dict[str, Any]]:
    """A handler for the simulator that sends its events over HTTP to the deployed API, as Discord does."""

    def send(event: dict[str, Any], context: object) -> dict[str, Any]:
        request = urllib.request.Request(
            endpoint + event["rawPath"], data=event["body"].encode(), headers=event["headers"] | {"Host": host}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, headers, body = answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            status, headers, body = error.code, dict(error.headers), error.read()
        lowered = {name.lower(): value for name, value in headers.items()}
        return {"statusCode": status, "headers": lowered, "body": body.decode(), "isBase64Encoded": False}

    return send


def refusal(terraform: Terraform, *arguments: str) -> str:
    """Return what a command says that must fail, on one line."""
    with pytest.raises(AssertionError) as refused:
        terraform.run(*arguments)
    return " ".join(str(refused.value).replace("│", " ").split())


def interrupted(terraform: Terraform, where: tuple[str, ...], *, after: int) -> tuple[str, str]:
    """Apply, and press Ctrl-C when `after` resources are there; return what apply said, and what a second one said.

    The second one was started beside the first, which held the state.
    """
    command = terraform.command("apply", "-auto-approve", *where)
    with subprocess.Popen(
        command, cwd=FOLDER, env=terraform.variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said, made, beside = [], 0, ""
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            made += "Creation complete" in line
            if made >= after and not beside:
                beside = refusal(terraform, "apply", "-auto-approve", *where)
                process.send_signal(signal.SIGINT)
        assert process.wait(600) != 0
    return "".join(said), beside


def deployed(terraform: Terraform, state: Path) -> list[dict[str, Any]]:
    """Return the resources in the state; all are the module's."""
    (module,) = terraform.shown(state)["values"]["root_module"]["child_modules"]
    return [each for each in module["resources"] if each["mode"] == "managed"]


def addresses(terraform: Terraform, state: Path) -> set[str]:
    """Return what is deployed."""
    return {each["address"] for each in deployed(terraform, state)}


def spare_the_database(terraform: Terraform, state: Path) -> None:
    """Untaint a database whose creation was interrupted (docs/how-to/deploy.md): Terraform would replace it."""
    tainted = {each["address"] for each in deployed(terraform, state) if each.get("tainted")}
    database = f"{MODULE}aws_db_instance.this"
    if database in tainted:
        terraform.run("untaint", f"-state={state}", database)


def refused_once_adopted(terraform: Terraform, cloud: Cloud, where: tuple[str, ...]) -> str:
    """Apply until nothing "already exists" (docs/how-to/deploy.md); return the output of the last apply, which fails.

    What AWS was making at an interrupt exists, and the state does not know it.
    """
    for _ in range(5):
        told = refusal(terraform, "apply", "-auto-approve", *where)
        left = [
            (found[2], found[1])
            for error in told.split("Error: ")[1:]
            if re.search("already ?exists|Duplicate", error, re.IGNORECASE)
            and (found := re.match(r"creating [^(]+\(([^)]+)\).* with (\S+), on ", error))
        ]
        if not left:
            break
        for address, name in left:
            terraform.run("import", *where, address, cloud.import_id(address, name))
    return told


def test_from_apply_to_an_image_to_destroy(
    tmp_path: Path, package: Path, live_server: Any, transactional_db: None, settings: Any
) -> None:
    from django.db import connection

    from devtools.simulator import client, seed_data
    from devtools.simulator.models import SimChannel, SimInteraction, SimUser
    from jobs.job_status import Status
    from jobs.models import Job

    settings.SITE_URL = live_server.url
    settings.DISCORD_API_BASE = f"{live_server.url}/simulator/api/v10"
    settings.DISCORD_BOT_TOKEN = BOT_TOKEN
    of = connection.settings_dict
    database_url = f"postgres://{of['USER']}:{of['PASSWORD']}@{of['HOST']}:{of['PORT']}/{of['NAME']}"

    with emulator(tmp_path) as endpoint, application_auto_scaling.running() as (scaling_endpoint, registered):
        cloud = Cloud(endpoint)
        vpc, subnets = cloud.vpc()
        state, variables = tmp_path / "terraform.tfstate", tmp_path / "e2e.tfvars.json"
        variables.write_text(
            json.dumps(
                {
                    "project_id": NAME,
                    "unique_id": "test",
                    "region": REGION,
                    "vpc_id": vpc,
                    "private_subnet_ids": subnets,
                    "upkeep_runs_in": "lambda",
                    "discord_application_id": str(settings.DISCORD_APPLICATION_ID),
                    "discord_public_key": settings.DISCORD_PUBLIC_KEY,
                    "discord_api_base": settings.DISCORD_API_BASE,
                    "database_url": database_url,
                    "database_log_exports": [],
                    "lambda_package": str(package),
                    "build_images": False,
                    "lambda_architecture": ARCHITECTURE,
                    "lambda_runtime": f"python{PYTHON}",
                    "snapstart": False,
                    "web_image_tag": "v1",
                    "worker_image_tag": "v1",
                    "worker_network_mode": "awsvpc",
                    "worker_warm_pool_size": 0,
                    "worker_ami_parameter": "/test/ami",
                    "check_instance_types": False,
                    "site_gateway": False,
                }
            )
        )
        terraform = Terraform(
            data=tmp_path / "data",
            environment={
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING": scaling_endpoint,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "TF_VAR_discord_bot_secret": BOT_TOKEN,
                "TF_VAR_django_secret_key": SECRET_KEY,
            },
        )
        terraform.init()
        where = ("-input=false", f"-state={state}", f"-var-file={variables}")

        # A VPC that nobody prepared is refused by plan, with what to do.
        bare = cloud.client("ec2").create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
        told = refusal(terraform, "plan", *where, f"-var=vpc_id={bare}")
        assert f"{bare} has 0 subnets tagged Tier = Public" in told
        assert "aws ec2 create-tags" in told

        # An apply that is interrupted halfway, one beside it, one that AWS stops, and one that goes on to the end.
        said, beside = interrupted(terraform, where, after=20)
        assert "Interrupt received" in said
        assert "Error acquiring the state lock" in beside
        spare_the_database(terraform, state)
        registered.refusing = True
        assert "not yet" in refused_once_adopted(terraform, cloud, where)
        registered.refusing = False
        terraform.run("apply", "-auto-approve", *where)
        outputs = {
            name: each["value"]
            for name, each in json.loads(terraform.run("output", "-json", f"-state={state}")).items()
        }
        assert outputs["discord_interactions_endpoint_url"].endswith("/interactions")
        assert set(registered.policies) == {f"{NAME}-test-up", f"{NAME}-test-down"}

        # No secret reached the state; the policies and the workflow are what AWS would accept.
        text = state.read_text()
        assert BOT_TOKEN not in text
        assert SECRET_KEY not in text
        resources = deployed(terraform, state)
        assert_policies_are_clean(resources, tmp_path)
        assert_workflow_is_valid(resources, tmp_path)

        # Discord asks whether the address answers, once rightly signed and once not.
        host = outputs["site_url"].removeprefix("http://")
        api = through(endpoint, host)
        ping = client.signed_event({"type": 1, "id": "1", "application_id": "1", "token": "t", "version": 1})
        answer = api(ping, None)
        assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"type": 1})
        assert api(ping | {"body": ping["body"] + " "}, None)["statusCode"] == 401

        # A member asks; nobody works yet, so the schedule's metric says so and the alarm turns.
        seed_data.make_servers(now=client.timezone.now())
        seed_data.register_commands(now=client.timezone.now())
        channel = SimChannel.objects.get(name="sparkle")
        member = SimUser.objects.get(username="ada")
        data = {
            "integration_type": 0,
            "user": {"id": str(member.pk)},
            "guild": {"id": str(channel.guild_id), "name": "Pixel Garden"},
        }
        assert api(installed(data), None)["statusCode"] == 204
        asked = client.use_command(
            channel=channel, user=member, name="sparkle", options={"prompt": "a red circle", "count": 1}, handler=api
        )
        assert asked.problem == ""
        assert asked.message is not None
        assert "Submitted to Sparkle" in json.dumps([asked.message.content, asked.message.embeds])
        job = Job.objects.get(interaction_id=asked.interaction_id)
        until(lambda: cloud.alarm("workers-short") == "ALARM", what="the alarm that adds workers", within_s=600)
        published = cloud.client("cloudwatch").list_metrics(Namespace="Sparkle")["Metrics"]
        assert {"WorkersShort", "WorkersRunning", "RunnableJobs"} <= {each["MetricName"] for each in published}

        # The worker that ECS would now start.
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(packaging.__file__).parents[1]),
            "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.headless",
            "DJANGO_SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": database_url,
            "DATABASE_STATEMENT_TIMEOUT_MS": "20000",
            "DISCORD_APPLICATION_ID": str(settings.DISCORD_APPLICATION_ID),
            "DISCORD_PUBLIC_KEY": settings.DISCORD_PUBLIC_KEY,
            "DISCORD_BOT_TOKEN": BOT_TOKEN,
            "DISCORD_API_BASE": settings.DISCORD_API_BASE,
            "SQS_QUEUE_URL": outputs["queue_url"],
            "IMAGE_BUCKET": outputs["image_bucket"],
            "SITE_URL": live_server.url,
            "SPARKLE_ENGINE": "noise",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }
        with worker(tmp_path, environment):
            until(lambda: Job.objects.filter(pk=job.pk, notified_at__isnull=False), what="the image", within_s=600)
            until(lambda: cloud.alarm("workers-short") == "OK", what="the alarm's end", within_s=600)
        job.refresh_from_db()
        assert job.status == Status.COMPLETED
        shown = SimInteraction.objects.get(pk=job.interaction_id).original
        assert shown is not None
        assert "Completed your Sparkle!" in json.dumps([shown.content, shown.embeds])
        assert shown.attachments.filter(content_type__startswith="image/").exists()
        kept = cloud.client("s3").list_objects_v2(Bucket=outputs["image_bucket"])["Contents"]
        assert {each["Key"] for each in kept} >= set(job.images.values_list("key", flat=True))

        # Planned again: nothing but what the emulator forgets.
        plan = tmp_path / "again.tfplan"
        terraform.run("plan", f"-out={plan}", *where)
        changes = [
            each
            for each in terraform.shown(plan)["resource_changes"]
            if each["change"]["actions"] not in (["no-op"], ["read"])
        ]
        assert {tuple(each["change"]["actions"]) for each in changes} <= {("update",)}
        assert {each["type"] for each in changes} <= set(DRIFT)

        # Protected, with an image in the bucket: one sentence, and all is still there.
        before = addresses(terraform, state)
        told = refusal(terraform, "destroy", "-auto-approve", *where)
        assert "deletion_protection is on: nothing was destroyed." in told
        assert "terraform apply -var deletion_protection=false, then terraform destroy" in told
        assert addresses(terraform, state) == before
        assert cloud.client("s3").list_objects_v2(Bucket=outputs["image_bucket"])["KeyCount"] >= 1

        # What that sentence says to do: gone, and the images with it.
        terraform.run("apply", "-auto-approve", *where, "-var=deletion_protection=false")
        terraform.run("destroy", "-auto-approve", *where, "-var=deletion_protection=false")
        assert cloud.ours() == []
        assert registered.policies == {}
        assert registered.targets == {}


def installed(data: dict[str, Any]) -> dict[str, Any]:
    """The webhook event by which Discord tells that a server took the bot in."""
    from devtools.simulator import client

    event = {"type": "APPLICATION_AUTHORIZED", "timestamp": "2026-11-23T12:00:00", "data": data}
    return client.signed_event(
        {"version": 1, "application_id": "1", "type": 1, "event": event}, path=client.EVENTS_PATH
    )


def assert_policies_are_clean(resources: list[dict[str, Any]], folder: Path) -> None:
    """parliament finds nothing in any policy of the state."""
    parliament = checkers.find("parliament")
    if parliament is None:
        assert not checkers.wanted_always(), "CI needs parliament: python -m tests.terraform.static_checks --install"
        print("parliament is not installed: policies are not checked")
        return
    policies = folder / "policies"
    policies.mkdir()
    for resource in resources:
        for attribute in ("policy", "assume_role_policy"):
            document = resource["values"].get(attribute)
            # Who may assume a role, and what a resource lets in, have principals: parliament reads identity policies.
            if isinstance(document, str) and '"Principal"' not in document and '"Statement"' in document:
                name = f"{resource['address']}.json".replace("/", "-")
                (policies / name).write_text(document)
    assert len(list(policies.iterdir())) >= 9
    done = subprocess.run([parliament, "--directory", str(policies)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def assert_workflow_is_valid(resources: list[dict[str, Any]], folder: Path) -> None:
    """asl-validator accepts the state machine."""
    validator = checkers.find("asl-validator")
    if validator is None:
        assert not checkers.wanted_always(), "CI needs asl-validator: python -m tests.terraform.static_checks --install"
        print("asl-validator is not installed: the workflow is not checked")
        return
    definition = next(each["values"]["definition"] for each in resources if each["type"] == "aws_sfn_state_machine")
    file = folder / "workflow.asl.json"
    file.write_text(definition)
    done = subprocess.run([validator, "--json-path", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
