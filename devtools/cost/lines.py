"""What each resource of a plan costs: a quantity and a price for each line of the bill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import workload
from .plan import Plan, Resource
from .prices import CostError
from .workload import HOURS, Month


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`quantity` units of the price called `price`, in a month."""

    line: str
    price: str
    quantity: float


Rule = Callable[[Resource, Plan, Month], Iterator[Item]]

# Free, or billed by what another resource says.
FREE = frozenset({
    "aws_apigatewayv2_api", "aws_apigatewayv2_api_mapping", "aws_apigatewayv2_domain_name",
    "aws_apigatewayv2_integration", "aws_apigatewayv2_route", "aws_apigatewayv2_vpc_link",
    "aws_appautoscaling_policy", "aws_appautoscaling_target",
    "aws_autoscaling_lifecycle_hook", "aws_budgets_budget", "aws_cloudwatch_event_target", "aws_cloudwatch_log_group",
    "aws_db_parameter_group", "aws_db_subnet_group", "aws_ecr_repository", "aws_ecs_capacity_provider",
    "aws_ecs_cluster_capacity_providers", "aws_ecs_task_definition", "aws_iam_instance_profile", "aws_iam_role",
    "aws_iam_role_policy", "aws_iam_role_policy_attachment", "aws_lambda_alias", "aws_lambda_permission",
    "aws_launch_template", "aws_s3_bucket_lifecycle_configuration", "aws_s3_bucket_ownership_controls",
    "aws_s3_bucket_policy", "aws_s3_bucket_public_access_block", "aws_s3_bucket_server_side_encryption_configuration",
    "aws_secretsmanager_secret_version", "aws_security_group", "aws_service_discovery_service", "aws_sns_topic",
    "aws_sns_topic_policy", "aws_sns_topic_subscription", "aws_sqs_queue_policy", "aws_sqs_queue_redrive_allow_policy",
    "aws_vpc_security_group_egress_rule", "aws_vpc_security_group_ingress_rule", "terraform_data",
    # EventBridge bills no scheduled rule; API Gateway is billed by its API.
    "aws_cloudwatch_event_rule",
})  # fmt: skip


def items(plan: Plan, month: Month) -> list[Item]:
    """Return the items of all resources. Raises CostError for a resource whose cost is not known."""
    found: list[Item] = []
    for resource in plan.resources:
        if resource.type in FREE:
            continue
        rule = RULES.get(resource.type)
        if rule is None:
            raise CostError(f"{resource.address}: no rule says what {resource.type} costs; add one to lines.py.")
        found += rule(resource, plan, month)
    return found


def fleet(plan: Plan) -> str:
    """Return the name of the simulation's fleet that starts as the plan's does."""
    for group in plan.of_type("aws_autoscaling_group"):
        if _is_spot(group):
            return "spot"
        if group.has("warm_pool"):
            return "warm"
    return "cold"


def _database(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    zones = 2 if resource.values.get("multi_az") else 1
    size = resource.get("instance_class")
    if resource.get("storage_type") != "gp3":
        raise CostError(f"{resource.address}: only gp3 storage has a price.")
    yield Item(line=f"RDS {size}", price=size.replace(".", "-"), quantity=HOURS * zones)
    yield Item(line="RDS storage", price="rds-gp3", quantity=resource.get("allocated_storage") * zones)
    if resource.values.get("manage_master_user_password"):
        yield Item(line="Secrets", price="secrets", quantity=1)


def _service(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    if resource.values.get("launch_type") != "FARGATE":
        # Its instances are the Auto Scaling group's.
        return
    tasks = resource.values.get("desired_count") or 0
    task = next(each for each in plan.of_type("aws_ecs_task_definition") if each.name == resource.name)
    kind = {"ARM64": "arm", "X86_64": "x86"}[task.get("runtime_platform.cpu_architecture")]
    cpu, memory = int(task.get("cpu")) / 1024, int(task.get("memory")) / 1024
    yield Item(line="Site on Fargate: CPU", price=f"fargate-cpu-{kind}", quantity=tasks * cpu * HOURS)
    yield Item(line="Site on Fargate: memory", price=f"fargate-memory-{kind}", quantity=tasks * memory * HOURS)
    if resource.get("network_configuration.assign_public_ip"):
        yield Item(line="Site's public address", price="public-ipv4", quantity=tasks * HOURS)


def _endpoint(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    if resource.values.get("vpc_endpoint_type") == "Interface":
        zones = len(resource.get("subnet_ids"))
        yield Item(line="Interface endpoints", price="interface-endpoint", quantity=zones * HOURS)


def _workers(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    template = next(each for each in plan.of_type("aws_launch_template") if each.name == resource.name)
    kind = template.get("instance_type").replace(".", "-")
    price = f"{'spot' if _is_spot(resource) else 'ec2'}-{kind}"
    gigabytes = template.get("block_device_mappings.ebs.volume_size")
    above = max(0, template.get("block_device_mappings.ebs.throughput") - 125)
    yield Item(line="GPU instances", price=price, quantity=month.gpu_hours)
    yield Item(line="GPU instances: public address", price="public-ipv4", quantity=month.gpu_hours)
    stopped = resource.get("warm_pool.min_size") if resource.has("warm_pool") else 0
    if stopped:
        yield Item(line="Warm pool: refills", price=price, quantity=month.refill_hours)
        yield Item(line="Warm pool: disk", price="ebs-gp3", quantity=stopped * gigabytes)
        yield Item(line="Warm pool: disk throughput", price="ebs-gp3-throughput", quantity=stopped * above)
    share = (month.gpu_hours + month.refill_hours) / HOURS
    yield Item(line="GPU instances: disk", price="ebs-gp3", quantity=share * gigabytes)
    yield Item(line="GPU instances: disk throughput", price="ebs-gp3-throughput", quantity=share * above)


def _is_spot(group: Resource) -> bool:
    """Several types may be on demand too: then each instance costs at most the first type's price."""
    path = "mixed_instances_policy.instances_distribution.on_demand_percentage_above_base_capacity"
    return group.has("mixed_instances_policy") and not group.has(path)


def _alarm(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    fast = resource.get("period") < 60
    yield Item(
        line="Alarms of ten seconds" if fast else "Alarms",
        price="alarms-high-resolution" if fast else "alarms",
        quantity=1,
    )


def _cluster(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    for setting in resource.get("setting"):
        if setting["name"] == "containerInsights" and setting["value"] != "disabled":
            raise CostError(f"{resource.address}: Container Insights has no price here; set it to disabled.")
    # The deployment's own metrics have no resource, but each deployment has one cluster.
    yield Item(line="Metrics of its own", price="metrics", quantity=workload.OWN_METRICS)
    logs = workload.LOG_GB_AT_REST + workload.LOG_GB * month.requests
    yield Item(line="Logs", price="logs", quantity=logs)
    yield Item(line="Images to Discord", price="data-out", quantity=workload.IMAGE_GB * month.requests)


def _stage(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    calls = month.requests * (workload.INTERACTIONS + workload.SITE_VIEWS)
    yield Item(line="API Gateway", price="http-api", quantity=calls)
    if resource.has("default_route_settings.detailed_metrics_enabled"):
        routes = len(plan.of_type("aws_apigatewayv2_route"))
        yield Item(line="Route metrics", price="metrics", quantity=routes * workload.ROUTE_METRICS)


def _workflow(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    if resource.get("type") != "EXPRESS":
        raise CostError(f"{resource.address}: only Express workflows have a price.")
    gb_hours = workload.WORKFLOWS * workload.WORKFLOW_S * workload.WORKFLOW_GB / 3600
    yield Item(line="Scaling workflow", price="workflow-starts", quantity=workload.WORKFLOWS)
    yield Item(line="Scaling workflow: memory", price="workflow-memory", quantity=gb_hours)
    yield Item(line="PutMetricData", price="metric-calls", quantity=workload.TICKS)


def _function(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    gigabytes = resource.get("memory_size") / 1024
    key = resource.address.rpartition('["')[2].rstrip('"]')
    calls, seconds = {
        "interactions": (month.requests * workload.INTERACTIONS, workload.INTERACTION_S),
        "scaling": (workload.TICKS, workload.SCALING_S),
        "upkeep": (workload.HOURS * 60, 2.0),
    }[key]
    kind = {"arm64": "arm", "x86_64": "x86"}[resource.get("architectures")[0]]
    yield Item(line="Lambda: calls", price="lambda-calls", quantity=calls)
    yield Item(line="Lambda: time", price=f"lambda-{kind}", quantity=calls * seconds * gigabytes)
    if resource.has("snap_start"):
        restored = min(month.requests, workload.RESTORES) * gigabytes
        yield Item(line="SnapStart: cache", price="snapstart-cache", quantity=gigabytes * HOURS * 3600)
        yield Item(line="SnapStart: restores", price="snapstart-restore", quantity=restored)


def _queue(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    if resource.name == "jobs":
        calls = month.requests * workload.MESSAGES + month.gpu_hours * workload.POLLS
        yield Item(line="SQS", price="sqs-fifo", quantity=calls)


def _bucket(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    # On average an image of the first month is stored for half of it.
    yield Item(line="Stored images, the first month", price="s3", quantity=workload.IMAGE_GB * month.requests / 2)
    yield Item(line="Stored images: writes", price="s3-puts", quantity=4.0 * month.requests)


def _registry(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
    rules = [rule["selection"] for rule in json.loads(resource.get("policy"))["rules"]]
    older = next(each["countNumber"] for each in rules if each["countType"] == "imageCountMoreThan") - 1
    repositories = len(plan.of_type("aws_ecr_lifecycle_policy"))
    gigabytes = (workload.IMAGES_GB + workload.LAYERS_GB * older) / repositories
    yield Item(line="Container images", price="ecr", quantity=gigabytes)


def _one(line: str, price: str, quantity: float = 1) -> Rule:
    def rule(resource: Resource, plan: Plan, month: Month) -> Iterator[Item]:
        yield Item(line=line, price=price, quantity=quantity)

    return rule


RULES: dict[str, Rule] = {
    "aws_apigatewayv2_stage": _stage,
    "aws_autoscaling_group": _workers,
    "aws_cloudwatch_dashboard": _one("Dashboard", "dashboards"),
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_db_instance": _database,
    "aws_ecr_lifecycle_policy": _registry,
    "aws_ecs_cluster": _cluster,
    "aws_ecs_service": _service,
    "aws_lambda_function": _function,
    "aws_s3_bucket": _bucket,
    "aws_secretsmanager_secret": _one("Secrets", "secrets"),
    "aws_service_discovery_private_dns_namespace": _one("Site's private zone", "hosted-zone"),
    "aws_sfn_state_machine": _workflow,
    "aws_sqs_queue": _queue,
    "aws_vpc_endpoint": _endpoint,
}
