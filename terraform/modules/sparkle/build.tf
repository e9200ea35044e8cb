# Builds both images in the account, migrates the database and connects Discord, during the apply (deployment/ has the
# steps). With build_images = false, or an image tag of your own, you do that yourself (docs/how-to/deploy.md).

locals {
  source_package = var.source_package == "" ? "${dirname(var.lambda_package)}/source.zip" : var.source_package
  source_hash    = var.build_images ? filesha256(local.source_package) : ""

  # Everything that the images are made of. An equal release is never built twice.
  release = !var.build_images ? "" : substr(sha256(jsonencode([local.source_hash, var.model_id, var.extra_models, var.output_check])), 0, 12)

  web_image_tag    = var.web_image_tag == "" ? local.release : var.web_image_tag
  worker_image_tag = var.worker_image_tag == "" ? local.release : var.worker_image_tag

  # What the build and `./dev deploy` need to know. No secret.
  deployment = !var.build_images ? null : {
    name                    = local.name
    region                  = local.region
    release                 = local.release
    tags                    = { web = local.web_image_tag, worker = local.worker_image_tag }
    bucket                  = aws_s3_bucket.deployment[0].id
    project                 = "${local.name}-deployment"
    cluster                 = aws_ecs_cluster.this.name
    repositories            = { for image, repository in aws_ecr_repository.this : image => repository.repository_url }
    model_id                = var.model_id
    models                  = var.extra_models
    output_check            = var.output_check
    prepare_task            = aws_ecs_task_definition.prepare.arn
    prepare_subnets         = local.service_subnet_ids
    prepare_security_groups = [aws_security_group.web.id]
    discord_application_id  = var.discord_application_id
    discord_public_key      = var.discord_public_key
    discord_api_base        = var.discord_api_base
    interactions_url        = "${local.site_url}/interactions"
    events_url              = "${local.site_url}/events"
    site_url                = local.site_url
  }

  run_steps = var.build_images ? "'${path.module}/../../../dev' deploy run --project ${aws_codebuild_project.deployment[0].name} --bucket ${aws_s3_bucket.deployment[0].id} --region ${local.region}" : ""

  # View Channels, Send Messages, Embed Links, Attach Files.
  invite_permissions = 52224
}

# Before any function, task or instance of this version: they find their image, and a database that has its columns.
resource "terraform_data" "images" {
  count = var.build_images ? 1 : 0

  triggers_replace = [local.web_image_tag, local.worker_image_tag]

  provisioner "local-exec" {
    command = "${local.run_steps} --steps 'images migrate'"
  }

  depends_on = [
    aws_cloudwatch_log_group.task,
    aws_db_instance.this,
    aws_iam_role_policy.build,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.task,
    aws_secretsmanager_secret_version.discord_bot,
    aws_secretsmanager_secret_version.discord_client,
    aws_secretsmanager_secret_version.django,
    aws_secretsmanager_secret_version.huggingface,
    aws_secretsmanager_secret_version.metrics,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_egress_rule.to_database,
    aws_vpc_security_group_ingress_rule.database,
  ]
}

# After the API serves this version: Discord sends a PING to a new endpoint before it saves it.
resource "terraform_data" "discord" {
  count = var.build_images ? 1 : 0

  triggers_replace = [local.deployment.interactions_url, local.deployment.events_url, var.discord_application_id, var.discord_public_key, local.source_hash, var.secrets_version]

  provisioner "local-exec" {
    command = "${local.run_steps} --steps connect"
  }

  depends_on = [
    aws_apigatewayv2_api_mapping.this,
    aws_apigatewayv2_route.interactions,
    aws_lambda_alias.live,
    aws_lambda_permission.api,
    terraform_data.images,
  ]
}

resource "aws_codebuild_project" "deployment" {
  count = var.build_images ? 1 : 0

  name           = local.deployment.project
  description    = "Builds and pushes the images, migrates the database, connects Discord."
  service_role   = aws_iam_role.build[0].arn
  build_timeout  = 120
  queued_timeout = 60

  source {
    type      = "S3"
    location  = "${aws_s3_bucket.deployment[0].id}/${aws_s3_object.source[0].key}"
    buildspec = "deployment/buildspec.yml"
  }

  artifacts {
    type = "NO_ARTIFACTS"
  }

  # Layers that an earlier build left on the same host.
  cache {
    type  = "LOCAL"
    modes = ["LOCAL_DOCKER_LAYER_CACHE"]
  }

  environment {
    type            = "LINUX_CONTAINER"
    image           = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
    compute_type    = var.build_compute_type
    privileged_mode = true # Docker.

    environment_variable {
      name  = "SPARKLE_DEPLOYMENT"
      value = jsonencode(local.deployment)
    }

    environment_variable {
      name  = "SPARKLE_STEPS"
      value = "images migrate connect"
    }

    environment_variable {
      name  = "DISCORD_BOT_TOKEN"
      type  = "SECRETS_MANAGER"
      value = aws_secretsmanager_secret.this["discord-bot-token"].arn
    }

    environment_variable {
      name  = "HUGGINGFACE_TOKEN"
      type  = "SECRETS_MANAGER"
      value = aws_secretsmanager_secret.this["huggingface-token"].arn
    }
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.build[0].name
    }
  }

  lifecycle {
    precondition {
      condition     = var.web_architecture == "X86_64"
      error_message = "build_images builds for X86_64. Set web_architecture = \"X86_64\", or build_images = false and build the ARM64 image yourself."
    }
  }
}

resource "aws_cloudwatch_log_group" "build" {
  count = var.build_images ? 1 : 0

  name              = "/aws/codebuild/${local.name}-deployment"
  retention_in_days = var.log_retention_days
}

# ---------------------------------------------------------------- Source and reports

resource "aws_s3_bucket" "deployment" {
  count = var.build_images ? 1 : 0

  bucket = "${local.name}-deployment-${local.account_id}"
  # The source and the reports can be made again.
  force_destroy = true
}

resource "aws_s3_object" "source" {
  count = var.build_images ? 1 : 0

  bucket = aws_s3_bucket.deployment[0].id
  key    = "source/${local.source_hash}.zip"
  source = local.source_package

  depends_on = [aws_s3_bucket_ownership_controls.deployment, aws_s3_bucket_server_side_encryption_configuration.deployment]
}

resource "aws_s3_bucket_public_access_block" "deployment" {
  count = var.build_images ? 1 : 0

  bucket                  = aws_s3_bucket.deployment[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "deployment" {
  count = var.build_images ? 1 : 0

  bucket = aws_s3_bucket.deployment[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "deployment" {
  count = var.build_images ? 1 : 0

  bucket = aws_s3_bucket.deployment[0].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "deployment" {
  count = var.build_images ? 1 : 0

  bucket = aws_s3_bucket.deployment[0].id

  rule {
    id     = "reports"
    status = "Enabled"

    filter {
      prefix = "reports/"
    }

    expiration {
      days = 90
    }
  }

  rule {
    id     = "incomplete-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

data "aws_iam_policy_document" "deployment_tls" {
  count = var.build_images ? 1 : 0

  statement {
    sid       = "TLSOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.deployment[0].arn, "${aws_s3_bucket.deployment[0].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "deployment" {
  count = var.build_images ? 1 : 0

  bucket     = aws_s3_bucket.deployment[0].id
  policy     = data.aws_iam_policy_document.deployment_tls[0].json
  depends_on = [aws_s3_bucket_public_access_block.deployment]
}

# ---------------------------------------------------------------- Permissions

data "aws_iam_policy_document" "build_assume" {
  count = var.build_images ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["codebuild.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role" "build" {
  count = var.build_images ? 1 : 0

  name               = "${local.name}-build"
  description        = "Permissions of the deployment's build."
  assume_role_policy = data.aws_iam_policy_document.build_assume[0].json
}

data "aws_iam_policy_document" "build" {
  count = var.build_images ? 1 : 0

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.build[0].arn}:*"]
  }

  statement {
    sid       = "ReadTheSource"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.deployment[0].arn}/source/*"]
  }

  statement {
    sid       = "WriteTheReport"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.deployment[0].arn}/reports/*"]
  }

  # This action knows no resources.
  statement {
    sid       = "LogInToTheRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "PushImages"
    actions = [
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
    ]
    resources = [for repository in aws_ecr_repository.this : repository.arn]
  }

  statement {
    sid       = "RunThePrepareTask"
    actions   = ["ecs:RunTask"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account_id}:task-definition/${aws_ecs_task_definition.prepare.family}:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.this.arn]
    }
  }

  statement {
    sid       = "WatchIt"
    actions   = ["ecs:DescribeTasks"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account_id}:task/${aws_ecs_cluster.this.name}/*"]
  }

  statement {
    sid       = "GiveItItsRoles"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.execution["prepare"].arn, aws_iam_role.task["prepare"].arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  statement {
    sid       = "ReadTwoSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.this["discord-bot-token"].arn, aws_secretsmanager_secret.this["huggingface-token"].arn]
  }
}

resource "aws_iam_role_policy" "build" {
  count = var.build_images ? 1 : 0

  name   = "build"
  role   = aws_iam_role.build[0].id
  policy = data.aws_iam_policy_document.build[0].json
}
