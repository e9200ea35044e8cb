# One apply builds everything: plans of build.tf without an account.

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

variables {
  vpc_id                 = "vpc-0123456789abcdef0"
  discord_application_id = "1234567890123456789"
  discord_public_key     = "0000000000000000000000000000000000000000000000000000000000000000"
  discord_bot_secret     = "AAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  django_secret_key      = "not-a-secret-not-a-secret-not-a-secret-not-a-secret-"
  lambda_package         = "versions.tf"
  source_package         = "versions.tf"

}

run "builds_in_the_account" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = aws_codebuild_project.deployment[0].environment[0].privileged_mode && aws_codebuild_project.deployment[0].environment[0].compute_type == "BUILD_GENERAL1_LARGE"
    error_message = "The build needs Docker, and memory for the weights of SDXL."
  }

  assert {
    condition     = aws_codebuild_project.deployment[0].source[0].buildspec == "deployment/buildspec.yml"
    error_message = "The build runs the repository's own steps."
  }

  assert {
    condition     = aws_s3_object.source[0].key == "source/${filesha256("versions.tf")}.zip"
    error_message = "The source's name is its content, so that an older one stays what it was."
  }

  assert {
    condition     = alltrue([for variable in aws_codebuild_project.deployment[0].environment[0].environment_variable : variable.type == "SECRETS_MANAGER" if contains(["DISCORD_BOT_TOKEN", "HUGGINGFACE_TOKEN"], variable.name)])
    error_message = "A token reaches the build from Secrets Manager alone."
  }

  assert {
    condition     = terraform_data.images[0].triggers_replace == [local.release, local.release] && length(local.release) == 12
    error_message = "A new release is built and migrated before anything else changes."
  }

  assert {
    condition     = aws_ecs_service.web.desired_count == 1 && aws_appautoscaling_target.worker.max_capacity == var.max_workers
    error_message = "After one apply the site runs and workers may start."
  }

  assert {
    condition     = output.discord_invite_url == "https://discord.com/oauth2/authorize?client_id=1234567890123456789&scope=bot+applications.commands&permissions=52224"
    error_message = "The apply prints the link that adds the bot."
  }
}

run "the_build_may_little" {
  module { source = "./modules/sparkle" }
  command = plan

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.build[0].statement : !contains(statement.actions, "*") && alltrue([for action in statement.actions : !endswith(action, ":*")])])
    error_message = "No wildcard of actions."
  }

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.build[0].statement : length(statement.condition) == 1 if contains(["RunThePrepareTask", "GiveItItsRoles"], statement.sid)])
    error_message = "A task is started in this cluster alone, and a role is passed to ECS alone."
  }
}

run "another_model_is_another_release" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    model_id     = "owner/model"
    extra_models = ["owner/other"]
    output_check = true
  }

  assert {
    condition     = local.release == substr(sha256(jsonencode([filesha256("versions.tf"), "owner/model", ["owner/other"], true])), 0, 12)
    error_message = "What is built into an image is part of its tag."
  }
}

run "a_chosen_tag_is_kept" {
  module { source = "./modules/sparkle" }
  command = plan

  variables { web_image_tag = "v1" }

  assert {
    condition     = terraform_data.images[0].triggers_replace == ["v1", local.release]
    error_message = "An older image can be put back, and the other one is still built."
  }
}

run "with_docker_at_home_nothing_is_built" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    build_images   = false
    source_package = "no-such.zip"
  }

  assert {
    condition     = length(aws_codebuild_project.deployment) == 0 && length(aws_s3_bucket.deployment) == 0 && length(terraform_data.images) == 0 && length(terraform_data.discord) == 0
    error_message = "Nothing of the build is created."
  }

  assert {
    condition     = aws_ecs_service.web.desired_count == 0 && output.deployment == null
    error_message = "Without a tag no task runs."
  }
}

run "the_source_must_be_packed" {
  module { source = "./modules/sparkle" }
  command = plan

  variables { source_package = "no-such.zip" }

  expect_failures = [var.build_images]
}

run "arm_is_not_built" {
  module { source = "./modules/sparkle" }
  command = plan

  variables { web_architecture = "ARM64" }

  expect_failures = [aws_codebuild_project.deployment]
}

run "wrong_models_and_sizes_are_refused" {
  module { source = "./modules/sparkle" }
  command = plan

  variables {
    build_compute_type = "LARGE"
    extra_models       = ["not a model"]
  }

  expect_failures = [var.build_compute_type, var.extra_models]
}
