# Each example plans, and shows what it is an example of.

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
  target = module.sparkle.data.aws_subnet.public["subnet-0000000000000000a"]
  values = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1" }
}

override_data {
  target = module.sparkle.data.aws_subnet.public["subnet-0000000000000000b"]
  values = { availability_zone = "us-east-1b", availability_zone_id = "use1-az2" }
}

override_data {
  target = module.sparkle.data.aws_subnet.private["subnet-0000000000000000c"]
  values = { availability_zone = "us-east-1a", availability_zone_id = "use1-az1" }
}

override_data {
  target = module.sparkle.data.aws_subnet.private["subnet-0000000000000000d"]
  values = { availability_zone = "us-east-1b", availability_zone_id = "use1-az2" }
}

variables {
  vpc_id                 = "vpc-0123456789abcdef0"
  discord_application_id = "1234567890123456789"
  discord_public_key     = "0000000000000000000000000000000000000000000000000000000000000000"
  discord_bot_secret     = "AAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  django_secret_key      = "not-a-secret-not-a-secret-not-a-secret-not-a-secret-"
  lambda_package         = "versions.tf"
  source_package         = "versions.tf"
}

run "the_root_passes_its_inputs_on" {
  command = plan
  variables { unique_id = "staging" }

  assert {
    condition     = output.cluster == "discord-diffusion-staging"
    error_message = "The root calls the module with the operator's inputs."
  }
}

run "small" {
  command = plan
  module { source = "./examples/small" }

  assert {
    condition     = output.sparkle.cluster == "discord-diffusion-small"
    error_message = "It has a name of its own, so it may run beside another deployment."
  }
}

run "standard" {
  command = plan
  module { source = "./examples/standard" }
  variables { alarm_email = "you@example.org" }

  assert {
    condition     = output.sparkle.cluster == "discord-diffusion-prod"
    error_message = "The names of a first deployment."
  }
}

run "existing_vpc" {
  command = plan
  module { source = "./examples/existing-vpc" }
  variables { private_subnet_ids = ["subnet-0000000000000000c", "subnet-0000000000000000d"] }

  assert {
    condition     = output.sparkle.cluster == "discord-diffusion-prod"
    error_message = "The names of a first deployment."
  }
}
