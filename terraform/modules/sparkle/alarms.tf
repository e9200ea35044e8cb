resource "aws_sns_topic" "alarms" {
  name = "${local.name}-alarms"
}

data "aws_iam_policy_document" "alarms_topic" {
  statement {
    sid       = "AlarmsAndBudgets"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms_topic.json
}

resource "aws_sns_topic_subscription" "mail" {
  count     = var.alarm_email == "" ? 0 : 1
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

locals {
  # What the operator should know, and what to do first.
  alarms = {
    dead-letters = {
      description = "Workers failed to process a message ten times. Check the worker's log, then redrive the dead-letter queue."
      namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = aws_sqs_queue.dead.name }
      statistic   = "Maximum", operator = "GreaterThanThreshold", threshold = 0, period = 60, periods = 1
    }
    work-waits = {
      description = "A request has waited for half an hour. Check that workers start (events of the ECS service worker, EC2 quotas)."
      namespace   = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", dimensions = { QueueName = aws_sqs_queue.jobs.name }
      statistic   = "Maximum", operator = "GreaterThanThreshold", threshold = 1800, period = 60, periods = 5
    }
    scaling-silent = {
      description = "No scaling metric for five minutes. Check the logs of the workflow and the scaling function."
      namespace   = local.metric_namespace, metric = "WorkersShort", dimensions = { Deployment = local.name }
      statistic   = "SampleCount", operator = "LessThanThreshold", threshold = 1, period = 60, periods = 5, missing = "breaching"
    }
    interactions-errors = {
      description = "The interactions function fails, so Discord shows \"did not respond\". Check its log. To roll back, point the alias `live` at the previous version."
      namespace   = "AWS/Lambda", metric = "Errors", dimensions = { FunctionName = "${local.name}-interactions" }
      statistic   = "Sum", operator = "GreaterThanThreshold", threshold = 2, period = 60, periods = 2
    }
    interactions-throttled = {
      description = "Interactions are throttled. Increase interactions_concurrency, and the database's size with it."
      namespace   = "AWS/Lambda", metric = "Throttles", dimensions = { FunctionName = "${local.name}-interactions" }
      statistic   = "Sum", operator = "GreaterThanThreshold", threshold = 0, period = 60, periods = 2
    }
    interactions-slow = {
      description = "1 % of interactions take over two of Discord's three seconds. Check the database load."
      namespace   = "AWS/Lambda", metric = "Duration", dimensions = { FunctionName = "${local.name}-interactions" }
      statistic   = "p99", operator = "GreaterThanThreshold", threshold = 2000, period = 60, periods = 5
    }
    api-errors = {
      description = "The API returns 5xx responses. Check its access log for the route."
      namespace   = "AWS/ApiGateway", metric = "5xx", dimensions = { ApiId = aws_apigatewayv2_api.this.id }
      statistic   = "Sum", operator = "GreaterThanThreshold", threshold = 5, period = 300, periods = 1
    }
    database-cpu = {
      description = "The database's CPU is at its limit. Choose a larger database_instance_class."
      namespace   = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = local.name }
      statistic   = "Average", operator = "GreaterThanThreshold", threshold = 80, period = 300, periods = 3
    }
    database-disk = {
      description = "The database has less than 2 GiB of free disk space. Increase database_storage_gib."
      namespace   = "AWS/RDS", metric = "FreeStorageSpace", dimensions = { DBInstanceIdentifier = local.name }
      statistic   = "Minimum", operator = "LessThanThreshold", threshold = 2147483648, period = 300, periods = 1
    }
    database-connections = {
      description = "80 % of the connections that the database's class allows are in use. Lower interactions_concurrency or choose a larger database_instance_class."
      namespace   = "AWS/RDS", metric = "DatabaseConnections", dimensions = { DBInstanceIdentifier = local.name }
      statistic   = "Maximum", operator = "GreaterThanThreshold", threshold = floor(local.connections_limit * 0.8), period = 60, periods = 5
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "watch" {
  for_each = local.alarms

  alarm_name          = "${local.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = lookup(each.value, "missing", "notBreaching")
  # Before the site's image is set there is no database role either, so the schedules fail as they must.
  actions_enabled = local.web_image_tag != ""
  alarm_actions   = [aws_sns_topic.alarms.arn]
  ok_actions      = [aws_sns_topic.alarms.arn]

  # A silent metric counts as an alarm, so the first apply must have its schedule and its database before the alarm.
  depends_on = [aws_cloudwatch_event_target.scaling, terraform_data.discord]
}

resource "aws_budgets_budget" "month" {
  name         = "${local.name}-month"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  dynamic "notification" {
    for_each = [
      { threshold = 80, type = "ACTUAL" },
      { threshold = 100, type = "ACTUAL" },
      { threshold = 100, type = "FORECASTED" },
    ]

    content {
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value.threshold
      threshold_type            = "PERCENTAGE"
      notification_type         = notification.value.type
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alarms]
}
