# The plans that `./dev cost` calculates. tests/terraform/cost_plans.py writes them to devtools/cost/plans.

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
  web_image_tag          = "v1"
  worker_image_tag       = "v1"
}

run "small" {
  module { source = "./modules/sparkle" }
  command = plan
  variables { profile = "small" }

  override_data {
    target = data.aws_subnet.public["subnet-0000000000000000a"]
    values = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1", ipv6_cidr_block = "2600:1f18::/64" }
  }

  override_data {
    target = data.aws_subnet.public["subnet-0000000000000000b"]
    values = { availability_zone = "us-east-1b", availability_zone_id = "use1-az2", ipv6_cidr_block = "2600:1f18:0:1::/64" }
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && aws_lambda_function.this["interactions"].vpc_config[0].ipv6_allowed_for_dual_stack
    error_message = "The functions of a small deployment reach AWS by IPv6, without endpoints."
  }
}

run "standard" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = aws_ecs_service.web.desired_count == 1
    error_message = "The bill is that of a deployment whose site runs."
  }
}
