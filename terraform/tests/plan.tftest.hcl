# Plans without an account: `terraform test`. Asserts only values that this configuration sets.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { id = "us-east-1", name = "us-east-1" }
  }

  mock_data "aws_subnets" {
    defaults = { ids = ["subnet-0000000000000000a", "subnet-0000000000000000b"] }
  }

  mock_data "aws_subnet" {
    defaults = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1" }
  }

  mock_data "aws_route_tables" {
    defaults = { ids = ["rtb-00000000000000000"] }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_data "aws_ec2_instance_type_offerings" {
    defaults = {
      instance_types = ["g6.xlarge", "g6.xlarge", "g5.xlarge", "g4dn.xlarge"]
      locations      = ["us-east-1a", "us-east-1b", "us-east-1a", "us-east-1b"]
    }
  }
}

override_data {
  target = data.aws_subnet.public["subnet-0000000000000000a"]
  values = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1" }
}

override_data {
  target = data.aws_subnet.public["subnet-0000000000000000b"]
  values = { availability_zone = "us-east-1b", availability_zone_id = "use1-az2" }
}

override_data {
  target = data.aws_subnet.private["subnet-0000000000000000c"]
  values = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1" }
}

override_data {
  target = data.aws_subnet.private["subnet-0000000000000000d"]
  values = { availability_zone = "us-east-1b", availability_zone_id = "use1-az2" }
}

variables {
  vpc_id                 = "vpc-0123456789abcdef0"
  discord_application_id = "1234567890123456789"
  discord_public_key     = "0000000000000000000000000000000000000000000000000000000000000000"
  discord_bot_secret     = "AAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  django_secret_key      = "not-a-secret-not-a-secret-not-a-secret-not-a-secret-"
  lambda_package         = "versions.tf"
  build_images           = false

}

run "rests_at_zero" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = aws_ecs_service.worker.desired_count == 0 && aws_appautoscaling_target.worker.min_capacity == 0
    error_message = "A deployment at rest runs no GPU worker."
  }

  assert {
    condition     = aws_autoscaling_group.worker.min_size == 0
    error_message = "A deployment at rest runs no GPU instance."
  }

  assert {
    condition     = aws_appautoscaling_target.worker.max_capacity == 0 && aws_ecs_service.web.desired_count == 0
    error_message = "Before images are pushed nothing is started, neither site nor worker."
  }
}

run "takes_a_version_back_whose_tasks_cannot_start" {
  command = plan
  module { source = "./modules/sparkle" }

  assert {
    condition     = alltrue([for service in [aws_ecs_service.web, aws_ecs_service.worker] : service.deployment_circuit_breaker[0].enable && service.deployment_circuit_breaker[0].rollback])
    error_message = "Both services go back to the version that ran."
  }
}

run "scales_by_as_many_as_are_short" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    max_workers             = 5
    database_instance_class = "db.t4g.small"
    worker_image_tag        = "abc"
    idle_seconds            = 300
  }

  assert {
    condition     = aws_appautoscaling_target.worker.max_capacity == 5
    error_message = "max_workers is the service's limit."
  }

  assert {
    condition = sort([
      for step in aws_appautoscaling_policy.up.step_scaling_policy_configuration[0].step_adjustment : "${step.metric_interval_lower_bound}:${step.scaling_adjustment}"
    ]) == tolist(["0:1", "1:2", "2:3", "3:4", "4:5"])
    error_message = "Short by k adds k: the bounds are relative to the threshold of 1."
  }

  assert {
    condition = sort([
      for step in aws_appautoscaling_policy.down.step_scaling_policy_configuration[0].step_adjustment : "${step.metric_interval_upper_bound}:${step.scaling_adjustment}"
    ]) == sort(["0:-1", "-1:-2", "-2:-3", "-3:-4", "-4:-5"])
    error_message = "Too many by k takes k: the bounds are relative to the threshold of -1."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.up.period == 10 && aws_cloudwatch_metric_alarm.up.evaluation_periods == 1 && aws_cloudwatch_metric_alarm.up.threshold == 1
    error_message = "Up at the first data point."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.down.period == 10 && aws_cloudwatch_metric_alarm.down.evaluation_periods == 30 && aws_cloudwatch_metric_alarm.down.threshold == -1
    error_message = "Down after the idle time."
  }

  assert {
    condition     = aws_ecs_capacity_provider.gpu.auto_scaling_group_provider[0].managed_draining == "ENABLED" && aws_ecs_capacity_provider.gpu.auto_scaling_group_provider[0].managed_scaling[0].status == "DISABLED" && !aws_autoscaling_group.worker.protect_from_scale_in
    error_message = "The workflow alone sets how many instances there are, and each is emptied before it goes."
  }
}

run "keeps_a_warm_pool_of_on_demand_instances" {
  command = plan
  module { source = "./modules/sparkle" }
  variables { worker_image_tag = "abc" }

  assert {
    condition     = aws_autoscaling_group.worker.warm_pool[0].pool_state == "Stopped" && length(aws_autoscaling_group.worker.mixed_instances_policy) == 0 && aws_autoscaling_group.worker.max_size == 4
    error_message = "On demand: one type, one stopped instance ready."
  }

  assert {
    condition     = output.left_out_instance_types == ["g5.xlarge", "g4dn.xlarge"]
    error_message = "The operator is told that a warm pool holds one type."
  }

  assert {
    condition     = one(aws_autoscaling_group.worker.initial_lifecycle_hook).default_result == "ABANDON" && one(aws_autoscaling_group.worker.initial_lifecycle_hook).lifecycle_transition == "autoscaling:EC2_INSTANCE_LAUNCHING"
    error_message = "An instance that never reports itself ready is replaced."
  }
}

run "starts_no_gpu_before_an_image_was_pushed" {
  command = plan
  module { source = "./modules/sparkle" }

  assert {
    condition     = length(aws_autoscaling_group.worker.warm_pool) == 0 && aws_autoscaling_group.worker.max_size == 0
    error_message = "The warm pool would start an instance, and bill it, for nothing."
  }
}

run "runs_on_spot_of_several_types" {
  command = plan
  module { source = "./modules/sparkle" }

  variables {
    worker_spot           = true
    worker_warm_pool_size = 0
  }

  assert {
    condition     = length(aws_autoscaling_group.worker.warm_pool) == 0 && length(aws_autoscaling_group.worker.mixed_instances_policy[0].launch_template[0].override) == 3
    error_message = "Spot: every type named, no warm pool."
  }
}

run "falls_back_to_the_next_type_on_demand" {
  command = plan
  module { source = "./modules/sparkle" }
  variables { worker_warm_pool_size = 0 }

  override_data {
    target = data.aws_ec2_instance_type_offerings.worker[0]
    values = { instance_types = ["g5.xlarge", "g6.xlarge"], locations = ["us-east-1a", "us-east-1a"] }
  }

  assert {
    condition = (
      aws_autoscaling_group.worker.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 100
      && aws_autoscaling_group.worker.mixed_instances_policy[0].instances_distribution[0].on_demand_allocation_strategy == "prioritized"
      && aws_autoscaling_group.worker.mixed_instances_policy[0].launch_template[0].override[*].instance_type == tolist(["g6.xlarge", "g5.xlarge"])
    )
    error_message = "On demand, in the operator's order, and only types that the region has."
  }

  assert {
    condition     = output.left_out_instance_types == ["g4dn.xlarge"]
    error_message = "The operator is told which type the region lacks."
  }
}

run "uses_only_subnets_in_zones_that_have_what_is_needed" {
  command = plan
  module { source = "./modules/sparkle" }

  override_data {
    target = data.aws_subnets.public
    values = { ids = ["subnet-0000000000000000a", "subnet-0000000000000000b", "subnet-0000000000000000e"] }
  }

  override_data {
    target = data.aws_subnet.public["subnet-0000000000000000e"]
    values = { availability_zone = "us-east-1e", availability_zone_id = "use1-az3" }
  }

  override_data {
    target = data.aws_ec2_instance_type_offerings.worker[0]
    values = { instance_types = ["g6.xlarge", "g6.xlarge"], locations = ["us-east-1b", "us-east-1e"] }
  }

  assert {
    condition     = aws_apigatewayv2_vpc_link.web[0].subnet_ids == toset(["subnet-0000000000000000a", "subnet-0000000000000000b"]) && aws_lambda_function.this["interactions"].vpc_config[0].subnet_ids == toset(["subnet-0000000000000000a", "subnet-0000000000000000b"])
    error_message = "No VPC link and no function in use1-az3."
  }

  assert {
    condition     = toset(aws_ecs_service.web.network_configuration[0].subnets) == toset(["subnet-0000000000000000a", "subnet-0000000000000000b"])
    error_message = "No Fargate task in use1-az3."
  }

  assert {
    condition     = toset(aws_autoscaling_group.worker.vpc_zone_identifier) == toset(["subnet-0000000000000000b", "subnet-0000000000000000e"])
    error_message = "GPU instances only where the type is offered."
  }

  assert {
    condition = output.left_out_subnets == {
      subnet-0000000000000000a = "us-east-1a does not offer g6.xlarge"
      subnet-0000000000000000e = "us-east-1e has no VPC links, Fargate or Lambda"
    }
    error_message = "The operator is told which subnets are left out, and why."
  }
}

run "guards_instances_and_data" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = aws_launch_template.worker.metadata_options[0].http_tokens == "required" && aws_launch_template.worker.block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "IMDSv2 and encrypted disks."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible && aws_db_instance.this.deletion_protection && aws_db_instance.this.backup_retention_period == 7 && aws_db_instance.this.iam_database_authentication_enabled
    error_message = "The database is encrypted, private, protected, backed up, and logged into by IAM."
  }

  assert {
    condition     = !aws_s3_bucket.images.force_destroy && aws_s3_bucket_public_access_block.images.restrict_public_buckets && aws_s3_bucket_public_access_block.images.block_public_policy
    error_message = "Images are private, and a destroy does not take them along."
  }

  assert {
    condition = [
      for rule in aws_s3_bucket_lifecycle_configuration.images.rule : "${try(rule.filter[0].prefix, "")}:${rule.expiration[0].days}" if length(rule.expiration) > 0
    ] == ["jobs/:${var.image_retention_days}"]
    error_message = "Job images alone expire: what was uploaded stays as long as its row."
  }

  assert {
    condition     = aws_sqs_queue.jobs.fifo_throughput_limit == "perMessageGroupId" && aws_sqs_queue.jobs.deduplication_scope == "messageGroup" && aws_sqs_queue.jobs.sqs_managed_sse_enabled && aws_sqs_queue.dead.fifo_queue
    error_message = "A high-throughput FIFO queue, encrypted, with a FIFO dead-letter queue."
  }

  assert {
    condition     = aws_ecr_repository.this["worker"].image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this["worker"].image_scanning_configuration[0].scan_on_push
    error_message = "Images are scanned, and a tag stays what it was."
  }
}

run "answers_discord_through_an_alias_with_snapstart" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = aws_lambda_function.this["interactions"].publish && aws_lambda_function.this["interactions"].snap_start[0].apply_on == "PublishedVersions" && aws_lambda_function.this["interactions"].architectures == tolist(["arm64"])
    error_message = "The interactions function is published, with SnapStart, on arm64."
  }

  assert {
    condition     = toset(keys(aws_apigatewayv2_route.interactions)) == toset(["POST /interactions", "POST /events"]) && aws_apigatewayv2_route.web[0].route_key == "$default"
    error_message = "Interactions and events go to the function, everything else to the site."
  }

  assert {
    condition     = aws_apigatewayv2_api.this.cors_configuration[0].allow_origins == toset(["https://discord.com"])
    error_message = "CORS for Discord, as the sample has it."
  }

  assert {
    condition     = alltrue([for attachment in aws_iam_role_policy_attachment.function_vpc : endswith(attachment.policy_arn, "/service-role/AWSLambdaVPCAccessExecutionRole")])
    error_message = "AWS keeps the network rights of a function up to date in its own policy."
  }

  assert {
    condition     = !strcontains(aws_apigatewayv2_stage.default.access_log_settings[0].format, "query") && !strcontains(aws_apigatewayv2_stage.default.access_log_settings[0].format, "header")
    error_message = "The access log holds neither query strings nor headers."
  }
}

run "runs_upkeep_beside_the_site_where_functions_have_no_way_out" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = toset(keys(aws_lambda_function.this)) == toset(["interactions", "scaling"]) && strcontains(nonsensitive(aws_ecs_task_definition.web.family), "web")
    error_message = "Without a NAT there is no upkeep function."
  }

  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["sqs", "secretsmanager"])
    error_message = "The functions reach the queue and their secret by endpoints."
  }
}

run "refuses_upkeep_as_a_function_without_a_nat" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { upkeep_runs_in = "lambda" }
  expect_failures = [var.upkeep_runs_in]
}

run "gives_the_site_a_token_for_its_metrics" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    metrics       = true
    metrics_token = "0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = contains(keys(aws_secretsmanager_secret.this), "metrics-token") && contains([for secret in local.task_secrets["web"] : secret.name], "METRICS_TOKEN") && !contains([for secret in local.task_secrets["worker"] : secret.name], "METRICS_TOKEN")
    error_message = "The site's task alone gets the token."
  }
}

run "refuses_metrics_without_a_token" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { metrics = true }
  expect_failures = [var.metrics_token]
}

run "makes_no_secret_for_metrics_that_nobody_asked_for" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = !contains(keys(aws_secretsmanager_secret.this), "metrics-token") && length(aws_secretsmanager_secret_version.metrics) == 0 && output.metrics_command == ""
    error_message = "Without metrics there is no token."
  }
}

run "runs_upkeep_as_a_function_where_there_is_a_nat" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    private_subnet_ids = ["subnet-0000000000000000c", "subnet-0000000000000000d"]
    upkeep_runs_in     = "lambda"
  }

  assert {
    condition     = contains(keys(aws_lambda_function.this), "upkeep") && length(aws_vpc_endpoint.interface) == 0 && aws_cloudwatch_event_rule.upkeep[0].schedule_expression == "rate(1 minute)"
    error_message = "With a NAT upkeep is a function of its own, each minute, and no interface endpoint is paid for."
  }
}

run "reserves_no_concurrency_of_a_new_account" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.reserved_concurrent_executions == -1])
    error_message = "A new account may run 10 functions at once, and AWS lets none of them be reserved."
  }
}

run "reserves_concurrency_for_every_function_once_it_is_asked_for" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    interactions_concurrency = 40
    database_instance_class  = "db.t4g.small"
  }

  assert {
    condition     = { for name, function in aws_lambda_function.this : name => function.reserved_concurrent_executions } == { interactions = 40, scaling = 2 }
    error_message = "One variable turns the reservations on."
  }
}

run "makes_the_gateway_endpoint_in_the_tables_of_our_subnets" {
  command = plan
  module { source = "./modules/sparkle" }

  override_data {
    target = data.aws_route_tables.ours
    values = { ids = ["rtb-0000000000000000a"] }
  }

  override_data {
    target = data.aws_route_table.ours["rtb-0000000000000000a"]
    values = { associations = [{ subnet_id = "subnet-0000000000000000a" }, { subnet_id = "subnet-0000000000000000b" }] }
  }

  override_data {
    target = data.aws_route_tables.main
    values = { ids = ["rtb-0000000000000000f"] }
  }

  assert {
    condition     = aws_vpc_endpoint.s3[0].route_table_ids == toset(["rtb-0000000000000000a"])
    error_message = "A table of other subnets may have an endpoint already."
  }
}

run "makes_the_gateway_endpoint_in_the_main_table_of_subnets_without_one" {
  command = plan
  module { source = "./modules/sparkle" }

  override_data {
    target = data.aws_route_tables.ours
    values = { ids = ["rtb-0000000000000000a"] }
  }

  override_data {
    target = data.aws_route_table.ours["rtb-0000000000000000a"]
    values = { associations = [{ subnet_id = "subnet-0000000000000000a" }] }
  }

  override_data {
    target = data.aws_route_tables.main
    values = { ids = ["rtb-0000000000000000f"] }
  }

  assert {
    condition     = aws_vpc_endpoint.s3[0].route_table_ids == toset(["rtb-0000000000000000a", "rtb-0000000000000000f"])
    error_message = "The default VPC's subnets use its main table."
  }
}

run "makes_no_second_gateway_endpoint_where_the_vpc_has_one" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    s3_gateway_endpoint = false
  }

  assert {
    condition     = length(aws_vpc_endpoint.s3) == 0
    error_message = "AWS accepts one gateway endpoint per route table."
  }
}

run "may_be_destroyed_when_protection_is_off" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    deletion_protection = false
  }

  assert {
    condition     = aws_s3_bucket.images.force_destroy && aws_ecr_repository.this["web"].force_delete && !aws_db_instance.this.deletion_protection && aws_secretsmanager_secret.this["discord-bot-token"].recovery_window_in_days == 0
    error_message = "With protection off nothing of ours is left behind."
  }
}

run "watches_the_connections_that_the_class_allows" {
  command = plan
  module { source = "./modules/sparkle" }

  variables {
    database_instance_class = "db.t4g.small"
    max_workers             = 8
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.watch["database-connections"].threshold == 153
    error_message = "The alarm follows the class: 80 % of 192."
  }
}

run "mails_no_alarm_before_there_is_anything_to_run" {
  command = plan
  module { source = "./modules/sparkle" }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.watch : !alarm.actions_enabled])
    error_message = "Before the first push the schedules fail, and nobody needs to be told."
  }
}

run "mails_alarms_once_the_site_runs" {
  command = plan
  module { source = "./modules/sparkle" }
  variables { web_image_tag = "abc" }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.watch : alarm.actions_enabled])
    error_message = "Every alarm mails."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.watch["database-connections"].threshold == 63
    error_message = "80 % of the smallest class's 79 connections."
  }
}

run "keeps_ten_versions_beside_manifests_without_a_tag" {
  command = plan
  module { source = "./modules/sparkle" }

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this["worker"].policy).rules : "${rule.selection.tagStatus} ${rule.selection.countNumber}"] == ["tagged 10", "untagged 7"]
    error_message = "Manifests of attestations do not count as versions."
  }
}

# ---------------------------------------------------------------- Invalid input gives a readable error

run "refuses_a_bad_application_id" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { discord_application_id = "12ab" }
  expect_failures = [var.discord_application_id]
}

run "refuses_a_bad_public_key" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { discord_public_key = "not hexadecimal" }
  expect_failures = [var.discord_public_key]
}

run "refuses_a_bad_bot_token" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { discord_bot_secret = "too short" }
  expect_failures = [var.discord_bot_secret]
}

run "refuses_a_bad_vpc" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { vpc_id = "my-vpc" }
  expect_failures = [var.vpc_id]
}

run "refuses_a_vpc_without_tagged_subnets" {
  module { source = "./modules/sparkle" }
  command = plan

  override_data {
    target = data.aws_subnets.public
    values = { ids = [] }
  }

  expect_failures = [data.aws_subnets.public]
}

run "refuses_subnets_in_one_zone" {
  module { source = "./modules/sparkle" }
  command = plan

  override_data {
    target = data.aws_subnet.public["subnet-0000000000000000b"]
    values = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1" }
  }

  expect_failures = [aws_db_subnet_group.this]
}

run "refuses_zones_without_the_instance_type" {
  command = plan
  module { source = "./modules/sparkle" }

  override_data {
    target = data.aws_ec2_instance_type_offerings.worker[0]
    values = { instance_types = ["g6.xlarge"], locations = ["us-east-1f"] }
  }

  expect_failures = [data.aws_ec2_instance_type_offerings.worker[0]]
}

run "refuses_zones_without_vpc_links" {
  command = plan
  module { source = "./modules/sparkle" }
  variables { unsupported_zone_ids = ["use1-az1", "use1-az2"] }
  expect_failures = [aws_ecs_service.web, aws_lambda_function.this]
}

run "refuses_more_workers_than_the_database_has_connections_for" {
  command = plan
  module { source = "./modules/sparkle" }
  variables { max_workers = 8 }
  expect_failures = [aws_db_instance.this]
}

run "refuses_instances_of_several_gpus" {
  command = plan
  module { source = "./modules/sparkle" }
  variables { worker_instance_types = ["p4d.24xlarge"] }
  expect_failures = [var.worker_instance_types]
}

run "refuses_a_size_of_several_gpus" {
  command = plan
  module { source = "./modules/sparkle" }
  variables { worker_instance_types = ["g5.12xlarge"] }
  expect_failures = [var.worker_instance_types]
}

run "refuses_a_warm_pool_of_spot_instances" {
  module { source = "./modules/sparkle" }
  command = plan
  variables {
    worker_spot           = true
    worker_warm_pool_size = 1
  }
  expect_failures = [var.worker_warm_pool_size]
}

run "refuses_an_unknown_profile" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { profile = "tiny" }
  expect_failures = [var.profile]
}

run "small_needs_subnets_with_ipv6" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { profile = "small" }

  override_data {
    target = data.aws_subnet.public["subnet-0000000000000000a"]
    values = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1", ipv6_cidr_block = "" }
  }

  expect_failures = [terraform_data.ipv6]
}

run "small_with_endpoints_needs_none" {
  module { source = "./modules/sparkle" }
  command = plan
  variables {
    profile         = "small"
    function_egress = "endpoints"
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 2 && aws_lambda_function.this["scaling"].vpc_config[0].ipv6_allowed_for_dual_stack == false
    error_message = "The functions use the endpoints."
  }

  assert {
    condition     = aws_autoscaling_group.worker.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0
    error_message = "A small deployment's workers are on spot capacity."
  }
}

run "an_input_that_is_set_wins_over_the_profile" {
  module { source = "./modules/sparkle" }
  command = plan
  variables {
    profile               = "small"
    function_egress       = "endpoints"
    worker_spot           = false
    worker_warm_pool_size = 1
    web_memory            = 2048
  }

  assert {
    condition     = aws_ecs_task_definition.web.memory == "2048" && length(aws_autoscaling_group.worker.launch_template) == 1
    error_message = "The profile is for inputs that are left out."
  }
}

run "refuses_latest" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { web_image_tag = "latest" }
  expect_failures = [var.web_image_tag]
}

run "refuses_a_missing_package" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { lambda_package = "no-such.zip" }
  expect_failures = [var.lambda_package]
}

run "refuses_a_domain_without_a_certificate" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { domain_name = "sparkle.example.org" }
  expect_failures = [var.domain_certificate_arn]
}

run "refuses_one_private_subnet" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { private_subnet_ids = ["subnet-0000000000000000c"] }
  expect_failures = [var.private_subnet_ids]
}
