# One package, three functions: interactions (respond to Discord within three seconds), scaling (how many workers to
# run), and upkeep if the VPC has a NAT gateway.

data "aws_iam_policy_document" "lambda_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

locals {
  functions = merge(
    {
      interactions = {
        description = "Verifies Discord's interactions and events, admits requests and responds."
        handler     = "interactions_lambda.handler.handler"
        memory      = local.lambda_memory
        timeout     = 10
        concurrency = var.interactions_concurrency
      }
      scaling = {
        description = "Counts the jobs that can run now and decides how many workers to run."
        handler     = "interactions_lambda.scheduled_functions.scaling"
        memory      = 512
        timeout     = 9
        concurrency = var.interactions_concurrency == -1 ? -1 : 2
      }
    },
    var.upkeep_runs_in == "lambda" ? {
      upkeep = {
        description = "Each minute: resends lost messages, reclaims expired leases, expires and refunds jobs, notifies members, deletes old data."
        handler     = "interactions_lambda.scheduled_functions.upkeep"
        memory      = 512
        timeout     = 55
        concurrency = var.interactions_concurrency == -1 ? -1 : 1
      }
    } : {},
  )

  # No secret is in the environment: the functions fetch them by ARN when first needed.
  function_environment = merge(local.environment, local.endpoint_environment, {
    DJANGO_SETTINGS_MODULE = "sparkle_site.settings.headless"
    DJANGO_SECRET_KEY_ARN  = aws_secretsmanager_secret.this["django-secret-key"].arn
    # Without an image no worker can start, so no instance must be started either.
    WORKERS_MAX     = tostring(local.worker_image_tag == "" ? 0 : var.max_workers)
    JOBS_PER_WORKER = tostring(var.jobs_per_worker)
  })
}

resource "aws_cloudwatch_log_group" "function" {
  for_each = local.functions

  name              = "/aws/lambda/${local.name}-${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "this" {
  for_each = local.functions

  function_name    = "${local.name}-${each.key}"
  description      = each.value.description
  role             = aws_iam_role.function[each.key].arn
  runtime          = var.lambda_runtime
  architectures    = [var.lambda_architecture]
  handler          = each.value.handler
  filename         = var.lambda_package
  source_code_hash = filebase64sha256(var.lambda_package)
  memory_size      = each.value.memory
  timeout          = each.value.timeout
  publish          = true

  reserved_concurrent_executions = each.value.concurrency

  environment {
    # Only upkeep calls Discord.
    variables = merge(local.function_environment, each.key == "upkeep" ? { DISCORD_BOT_TOKEN_ARN = aws_secretsmanager_secret.this["discord-bot-token"].arn } : {})
  }

  vpc_config {
    subnet_ids                  = local.function_subnet_ids
    security_group_ids          = [aws_security_group.functions.id]
    ipv6_allowed_for_dual_stack = local.ipv6_egress
  }

  dynamic "snap_start" {
    for_each = var.snapstart && each.key == "interactions" ? [1] : []

    content {
      apply_on = "PublishedVersions"
    }
  }

  tracing_config {
    mode = "PassThrough"
  }

  lifecycle {
    precondition {
      condition     = length(local.function_subnet_ids) > 0
      error_message = "Every subnet for the functions ${local.no_service_zone}"
    }
  }

  depends_on = [
    aws_cloudwatch_log_group.function,
    aws_iam_role_policy.function,
    aws_iam_role_policy_attachment.function_vpc,
    # Publishing takes a snapshot, which already reads the secret, over the network. A snapshot that fails cannot be
    # taken again by the next apply (docs/how-to/runbooks/snapstart.md).
    aws_secretsmanager_secret_version.django,
    aws_vpc_endpoint.interface,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_egress_rule.to_database,
    aws_vpc_security_group_ingress_rule.database,
    aws_vpc_security_group_ingress_rule.endpoints,
    # The database is migrated before the new code runs.
    terraform_data.images,
  ]
}

# The alias `live` points at the published version. To roll back, point it at the previous one.
resource "aws_lambda_alias" "live" {
  for_each = local.functions

  name             = "live"
  description      = "The version that is invoked."
  function_name    = aws_lambda_function.this[each.key].function_name
  function_version = aws_lambda_function.this[each.key].version
}

# ---------------------------------------------------------------- Permissions

resource "aws_iam_role" "function" {
  for_each = local.functions

  name               = "${local.name}-${each.key}"
  description        = "Permissions of the ${each.key} function."
  assume_role_policy = data.aws_iam_policy_document.lambda_assume.json
}

resource "aws_iam_role_policy_attachment" "function_vpc" {
  for_each = local.functions

  role       = aws_iam_role.function[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

data "aws_iam_policy_document" "function" {
  for_each = local.functions

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
  }

  statement {
    sid       = "LogIntoTheDatabase"
    actions   = ["rds-db:connect"]
    resources = [local.database_login_arn]
  }

  statement {
    sid       = "ReadItsSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = concat([aws_secretsmanager_secret.this["django-secret-key"].arn], each.key == "upkeep" ? [aws_secretsmanager_secret.this["discord-bot-token"].arn] : [])
  }

  dynamic "statement" {
    for_each = each.key == "scaling" ? [] : [1]

    content {
      sid       = "RingTheDoorbell"
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.jobs.arn]
    }
  }

  # A signed image URL has the permissions of the role that signs it. A member's delete button deletes at once.
  dynamic "statement" {
    for_each = each.key == "scaling" ? [] : [1]

    content {
      sid       = "ShowAndDeleteImages"
      actions   = ["s3:GetObject", "s3:DeleteObject"]
      resources = ["${aws_s3_bucket.images.arn}/*"]
    }
  }

  # Without it, S3 answers 403 instead of 404 for a missing image.
  dynamic "statement" {
    for_each = each.key == "upkeep" ? [1] : []

    content {
      sid       = "TellGoneFromForbidden"
      actions   = ["s3:ListBucket"]
      resources = [aws_s3_bucket.images.arn]
    }
  }
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions

  name   = "own"
  role   = aws_iam_role.function[each.key].id
  policy = data.aws_iam_policy_document.function[each.key].json
}

locals {
  database_login_arn = "arn:${local.partition}:rds-db:${local.region}:${local.account_id}:dbuser:${aws_db_instance.this.resource_id}/${local.database_user}"
}
