# Applies without an account, with mocked resources, so that the values computed from them are known.
# tests/terraform/test_definitions.py reads the resulting state.

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

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:123456789012:alarms" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:some" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/some" }
  }

  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/some" }
  }

  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:us-east-1:123456789012:function:some" }
  }

  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:us-east-1:123456789012:function:some:live" }
  }

  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:0:autoScalingGroupName/some" }
  }

  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:0:some" }
  }

  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:us-east-1:123456789012:cluster/some" }
  }

  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:us-east-1:123456789012:task-definition/some:1" }
  }

  mock_resource "aws_sfn_state_machine" {
    defaults = { arn = "arn:aws:states:us-east-1:123456789012:stateMachine:some" }
  }

  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-some" }
  }

  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:us-east-1:123456789012:rule/some" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::images" }
  }

  mock_resource "aws_vpc_endpoint" {
    defaults = { dns_entry = [{ dns_name = "vpce.example", hosted_zone_id = "Z0" }] }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-00000000000000000" }
  }

  mock_resource "aws_apigatewayv2_api" {
    defaults = { api_endpoint = "https://api.example", execution_arn = "arn:aws:execute-api:us-east-1:123456789012:some" }
  }

  mock_resource "aws_db_instance" {
    defaults = {
      address            = "db.example"
      port               = 5432
      resource_id        = "db-SOME"
      master_user_secret = [{ kms_key_id = "", secret_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:master", secret_status = "active" }]
    }
  }
}

override_resource {
  target = aws_sqs_queue.jobs
  values = { arn = "arn:aws:sqs:us-east-1:123456789012:jobs.fifo", url = "https://sqs.us-east-1.amazonaws.com/123456789012/jobs.fifo" }
}

override_resource {
  target = aws_sqs_queue.dead
  values = { arn = "arn:aws:sqs:us-east-1:123456789012:jobs-dead.fifo", url = "https://sqs.us-east-1.amazonaws.com/123456789012/jobs-dead.fifo" }
}

override_resource {
  target = aws_secretsmanager_secret.this["django-secret-key"]
  values = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:django-secret-key" }
}

override_resource {
  target = aws_secretsmanager_secret.this["discord-bot-token"]
  values = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:discord-bot-token" }
}

override_resource {
  target = aws_secretsmanager_secret.this["discord-client-secret"]
  values = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:discord-client-secret" }
}

override_resource {
  target = aws_secretsmanager_secret.this["huggingface-token"]
  values = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:huggingface-token" }
}

override_resource {
  target = aws_ecr_repository.this["web"]
  values = { arn = "arn:aws:ecr:us-east-1:123456789012:repository/web", repository_url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sparkle-test/web" }
}

override_resource {
  target = aws_ecr_repository.this["worker"]
  values = { arn = "arn:aws:ecr:us-east-1:123456789012:repository/worker", repository_url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sparkle-test/worker" }
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
  project_id             = "sparkle"
  unique_id              = "test"
  vpc_id                 = "vpc-0123456789abcdef0"
  discord_application_id = "1234567890123456789"
  discord_public_key     = "0000000000000000000000000000000000000000000000000000000000000000"
  discord_bot_secret     = "AAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  django_secret_key      = "not-a-secret-not-a-secret-not-a-secret-not-a-secret-"
  discord_client_secret  = "oauth"
  huggingface_token      = ""
  huggingface_password   = ""
  metrics_token          = ""
  lambda_package         = "versions.tf"
  build_images           = false
  web_image_tag          = "v1"
  worker_image_tag       = "v1"
  deletion_protection    = false
}

run "as_it_comes" {
  module { source = "./modules/sparkle" }
  assert {
    condition     = output.discord_interactions_endpoint_url == "https://api.example/interactions"
    error_message = "The address to paste is the API's own."
  }
}

run "with_a_nat" {
  module { source = "./modules/sparkle" }
  variables {
    private_subnet_ids = ["subnet-0000000000000000c", "subnet-0000000000000000d"]
    upkeep_runs_in     = "lambda"

    worker_downloads_models = true

    metrics       = true
    metrics_token = "0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = output.metrics_command == "curl --fail --silent --header \"Authorization: Bearer $(aws secretsmanager get-secret-value --region us-east-1 --secret-id sparkle-test/metrics-token --query SecretString --output text)\" https://api.example/metrics"
    error_message = "The output says how to read the metrics."
  }

  assert {
    condition     = !strcontains(nonsensitive(aws_ecs_task_definition.web.container_definitions), "upkeep")
    error_message = "Upkeep runs once: as a function or beside the site."
  }
}
