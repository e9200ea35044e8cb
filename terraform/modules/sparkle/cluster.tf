resource "aws_ecs_cluster" "this" {
  name = local.name

  setting {
    name  = "containerInsights"
    value = "disabled" # $0.30 per metric; our own dashboard shows what matters
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", aws_ecs_capacity_provider.gpu.name]
}

data "aws_iam_policy_document" "task_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

locals {
  tasks = {
    web     = { secrets = concat(["django-secret-key", "discord-bot-token", "discord-client-secret"], var.metrics ? ["metrics-token"] : []) }
    worker  = { secrets = concat(["django-secret-key", "discord-bot-token"], var.worker_downloads_models ? ["huggingface-token"] : []) }
    prepare = { secrets = ["django-secret-key"] }
  }

  secret_variables = {
    django-secret-key     = "DJANGO_SECRET_KEY"
    discord-bot-token     = "DISCORD_BOT_TOKEN"
    discord-client-secret = "DISCORD_CLIENT_SECRET"
    huggingface-token     = "HF_TOKEN"
    metrics-token         = "METRICS_TOKEN"
  }

  task_secrets = {
    for task, settings in local.tasks : task => [
      for name in settings.secrets : { name = local.secret_variables[name], valueFrom = aws_secretsmanager_secret.this[name].arn }
    ]
  }

  task_log = {
    for task in keys(local.tasks) : task => {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.task[task].name
        awslogs-region        = local.region
        awslogs-stream-prefix = task
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "task" {
  for_each = local.tasks

  name              = "/aws/ecs/${local.name}/${each.key}"
  retention_in_days = var.log_retention_days
}

# ---------------------------------------------------------------- Execution roles, for ECS itself

resource "aws_iam_role" "execution" {
  for_each = local.tasks

  name               = "${local.name}-${each.key}-execution"
  description        = "Lets ECS pull the image, write logs and read secrets for ${each.key}."
  assume_role_policy = data.aws_iam_policy_document.task_assume.json
}

data "aws_iam_policy_document" "execution" {
  for_each = local.tasks

  # This action does not support resource-level permissions.
  statement {
    sid       = "EnterTheRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "PullItsImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.this[each.key == "worker" ? "worker" : "web"].arn]
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.task[each.key].arn}:*"]
  }

  statement {
    sid     = "ReadItsSecrets"
    actions = ["secretsmanager:GetSecretValue"]
    resources = concat(
      [for name in each.value.secrets : aws_secretsmanager_secret.this[name].arn],
      each.key == "prepare" ? aws_db_instance.this.master_user_secret[*].secret_arn : [],
    )
  }
}

resource "aws_iam_role_policy" "execution" {
  for_each = local.tasks

  name   = "own"
  role   = aws_iam_role.execution[each.key].id
  policy = data.aws_iam_policy_document.execution[each.key].json
}

# ---------------------------------------------------------------- Task roles, for our code

resource "aws_iam_role" "task" {
  for_each = local.tasks

  name               = "${local.name}-${each.key}-task"
  description        = "Permissions of the code in ${each.key}."
  assume_role_policy = data.aws_iam_policy_document.task_assume.json
}

data "aws_iam_policy_document" "task" {
  for_each = local.tasks

  statement {
    sid       = "LogIntoTheDatabase"
    actions   = ["rds-db:connect"]
    resources = [local.database_login_arn]
  }

  dynamic "statement" {
    for_each = each.key == "worker" ? [1] : []

    content {
      sid       = "AnswerTheDoorbell"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
      resources = [aws_sqs_queue.jobs.arn]
    }
  }

  # Ending a job promotes the next one, which sends a message. Workers and the site do so too.
  dynamic "statement" {
    for_each = contains(["web", "worker"], each.key) ? [1] : []

    content {
      sid       = "RingTheDoorbell"
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.jobs.arn]
    }
  }

  dynamic "statement" {
    for_each = each.key == "web" ? [1] : []

    content {
      sid       = "SendDeadLettersAgain"
      actions   = ["sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage"]
      resources = [aws_sqs_queue.dead.arn]
    }
  }

  dynamic "statement" {
    for_each = contains(["web", "worker"], each.key) ? [1] : []

    content {
      sid       = "KeepImages"
      actions   = concat(["s3:GetObject", "s3:DeleteObject"], each.key == "worker" ? ["s3:PutObject"] : [])
      resources = ["${aws_s3_bucket.images.arn}/*"]
    }
  }

  # Files uploaded on the site are stored under this prefix (guilds/image_uploads.py, guilds/masks.py).
  dynamic "statement" {
    for_each = each.key == "web" ? [1] : []

    content {
      sid       = "KeepUploads"
      actions   = ["s3:PutObject"]
      resources = ["${aws_s3_bucket.images.arn}/uploads/*"]
    }
  }

  # Without it, S3 answers 403 instead of 404 for a missing image.
  dynamic "statement" {
    for_each = contains(["web", "worker"], each.key) ? [1] : []

    content {
      sid       = "TellMissingFromForbidden"
      actions   = ["s3:ListBucket"]
      resources = [aws_s3_bucket.images.arn]
    }
  }

  dynamic "statement" {
    for_each = each.key == "worker" ? [1] : []

    content {
      sid       = "ProtectItselfWhileItWorks"
      actions   = ["ecs:UpdateTaskProtection"]
      resources = ["arn:${local.partition}:ecs:${local.region}:${local.account_id}:task/${local.name}/*"]
    }
  }

  # A busy worker lets itself be replaced by a newer version (gpu_worker/ecs_rollout.py).
  dynamic "statement" {
    for_each = each.key == "worker" ? [1] : []

    content {
      sid       = "SeeItsDeployment"
      actions   = ["ecs:DescribeServices"]
      resources = ["arn:${local.partition}:ecs:${local.region}:${local.account_id}:service/${local.name}/worker"]
    }
  }
}

resource "aws_iam_role_policy" "task" {
  for_each = local.tasks

  name   = "own"
  role   = aws_iam_role.task[each.key].id
  policy = data.aws_iam_policy_document.task[each.key].json
}
