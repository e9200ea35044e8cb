"""`./dev cost`: the bill of a plan, redone by hand, and what it refuses to calculate."""

import json
from datetime import date, timedelta

import pytest

from benchmarks import scaling
from devtools.cost import __main__ as command
from devtools.cost import bill, docs, lines, plan, prices, workload
from devtools.cost.prices import CostError
from devtools.cost.workload import Month

TODAY = prices.newest()
DATABASE = {
    "instance_class": "db.t4g.micro",
    "storage_type": "gp3",
    "allocated_storage": 20,
    "manage_master_user_password": True,
}


def document(*resources, region="us-east-1", version="1.2"):
    """A plan with resources given as (type, name, values)."""
    return {
        "format_version": version,
        "resource_changes": [
            {
                "address": f"module.sparkle.{kind}.{name}",
                "mode": "managed",
                "type": kind,
                "name": name,
                "change": {"after": values},
            }
            for kind, name, values in resources
        ],
        "prior_state": {
            "values": {
                "root_module": {
                    "child_modules": [{"resources": [{"type": "aws_region", "values": {"name": region}}]}],
                }
            }
        },
    }


def calculate(*resources, month=None, today=TODAY):
    found = plan.parse(document(*resources))
    return bill.calculate(found, [month or Month(requests=0)], prices.read(found.region, today=today))


def test_a_database_costs_its_hours_its_storage_and_its_secret():
    # 730 x 0.016 + 20 x 0.115 + 0.40
    assert calculate(("aws_db_instance", "this", DATABASE)).totals == (pytest.approx(11.68 + 2.30 + 0.40),)


def test_two_zones_double_a_database():
    found = calculate(("aws_db_instance", "this", {**DATABASE, "multi_az": True}))
    assert found.totals == (pytest.approx(2 * (11.68 + 2.30) + 0.40),)


def test_each_start_from_the_warm_pool_pays_for_its_refill():
    template = {
        "instance_type": "g6.xlarge",
        "block_device_mappings": [{"ebs": [{"volume_size": 73, "throughput": 125}]}],
    }
    group = {"warm_pool": [{"min_size": 1}]}
    found = calculate(
        ("aws_launch_template", "worker", template),
        ("aws_autoscaling_group", "worker", group),
        month=Month(requests=1, gpu_hours=10, refill_hours=5),
    )
    # 15 hours of the instance, 10 of its address, the pool's disk, and 15 hours of a disk.
    assert found.totals == (pytest.approx(15 * 0.8048 + 10 * 0.005 + 73 * 0.08 + 15 / 730 * 73 * 0.08),)


@pytest.mark.parametrize(("on_demand_percent", "price"), [(100, 0.8048), (0, 0.605)])
def test_several_types_are_on_demand_or_spot_as_the_group_says(on_demand_percent, price):
    template = {
        "instance_type": "g6.xlarge",
        "block_device_mappings": [{"ebs": [{"volume_size": 73, "throughput": 125}]}],
    }
    distribution = {"on_demand_percentage_above_base_capacity": on_demand_percent}
    found = calculate(
        ("aws_launch_template", "worker", template),
        ("aws_autoscaling_group", "worker", {"mixed_instances_policy": [{"instances_distribution": [distribution]}]}),
        month=Month(requests=1, gpu_hours=10),
    )
    assert found.totals == (pytest.approx(10 * (price + 0.005) + 10 / 730 * 73 * 0.08),)


def test_free_units_are_taken_off_once_for_all_lines_of_a_price():
    alarms = [("aws_cloudwatch_metric_alarm", f"a{number}", {"period": 60}) for number in range(12)]
    assert calculate(*alarms).totals == (pytest.approx(2 * 0.10),)
    routes = [("aws_apigatewayv2_route", f"r{number}", {}) for number in range(3)]
    stage = ("aws_apigatewayv2_stage", "default", {"default_route_settings": [{"detailed_metrics_enabled": True}]})
    cluster = ("aws_ecs_cluster", "this", {"setting": [{"name": "containerInsights", "value": "disabled"}]})
    metrics = 3 * workload.ROUTE_METRICS + workload.OWN_METRICS
    assert calculate(*routes, stage, cluster).totals == (pytest.approx((metrics - 10) * 0.30),)


def test_a_resource_that_is_destroyed_costs_nothing():
    found = document(("aws_db_instance", "this", DATABASE), ("aws_secretsmanager_secret", "old", None))
    assert [each.type for each in plan.parse(found).resources] == ["aws_db_instance"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("PK\x03\x04", "is not JSON"),
        ("[]", "not the JSON of a Terraform plan"),
        (json.dumps({"format_version": "2.0", "resource_changes": []}), "format version 2.0"),
        (json.dumps({"format_version": "1.0", "values": {}}), "JSON of a state"),
        (json.dumps(document()), "no resources"),
        (json.dumps({"format_version": "1.2", "resource_changes": [{"mode": "managed"}]}), "not as Terraform writes"),
        (json.dumps(document(("aws_db_instance", "this", DATABASE), region="")), "add --region"),
        (json.dumps(document(("aws_db_instance", "this", DATABASE), region="eu-north-1")), "no prices for eu-north-1"),
        (json.dumps(document(("aws_nat_gateway", "this", {}))), "no rule says what aws_nat_gateway costs"),
        (
            json.dumps(document(("aws_db_instance", "this", {**DATABASE, "instance_class": "db.r8g.large"}))),
            'no price "db-r8g-large"',
        ),
        (
            json.dumps(document(("aws_db_instance", "this", {**DATABASE, "instance_class": None}))),
            "does not say instance_class of module.sparkle.aws_db_instance.this",
        ),
    ],
)
def test_one_sentence_and_no_sum_for_a_plan_that_cannot_be_calculated(tmp_path, capsys, text, sentence):
    file = tmp_path / "plan.json"
    file.write_text(text)
    assert command.main(["--plan", str(file)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert told.err.count("\n") == 1


def test_a_price_is_refused_a_year_after_its_date():
    listed = prices.read("us-east-1", today=TODAY)
    price = listed.find("rds-gp3")
    later = prices.read("us-east-1", today=price.as_of + timedelta(days=365))
    assert later.find("rds-gp3") == price
    with pytest.raises(CostError, match="more than a year ago"):
        prices.read("us-east-1", today=price.as_of + timedelta(days=366)).find("rds-gp3")


def test_prices_that_will_soon_be_refused_are_named_and_fail_nothing():
    used = [prices.read("us-east-1", today=TODAY).find(name) for name in ("http-api", "db-t4g-micro", "rds-gp3")]
    assert prices.expiring(used, today=date(2026, 9, 1)) == []
    (sentence,) = prices.expiring(used, today=date(2026, 12, 1))
    assert sentence.startswith(
        "After 2027-01-01 these prices are refused, because they are a year old: db-t4g-micro, http-api."
    )
    assert len(prices.expiring(used, today=date(2027, 5, 1))) == 2


def test_a_price_that_was_not_found_is_never_taken_for_zero():
    with pytest.raises(CostError, match="spot-g4dn-xlarge"):
        prices.read("us-east-1", today=TODAY).find("spot-g4dn-xlarge")


@pytest.mark.parametrize(
    "entry", ["usd = 1.0\nunit = 'hour'", "usd = 1.0\nunit = 'hour'\nas_of = 2026-01-01", "usd = 1"]
)
def test_a_price_without_its_source_and_date_is_refused(tmp_path, entry):
    file = tmp_path / "prices.toml"
    file.write_text(f"[here.thing]\n{entry}\n")
    with pytest.raises(CostError, match="needs a unit, a source and a date"):
        prices.read("here", today=date(2026, 1, 2), file=file)


def test_the_months_are_those_of_the_simulation():
    kept = json.loads(workload.SIMULATION.read_text())["detail"]["bill"]
    for fleet, runs in scaling.bill_months((1_000,)).items():
        assert kept[fleet]["1000"] == runs["1000"], "run: ./dev bench scaling --save"


@pytest.mark.parametrize("profile", docs.profiles())
def test_each_kept_plan_has_a_price_for_every_line(profile):
    found = docs.bill_of(profile)
    assert found.totals[0] < found.totals[1] < found.totals[2]
    listed = plan.read(docs.PLANS / f"{profile}.json")
    assert {each.type for each in listed.resources} <= lines.FREE | lines.RULES.keys()
