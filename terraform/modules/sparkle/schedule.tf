# The shortest period of EventBridge is a minute, so an Express workflow makes six ticks of it. Each tick asks ECS for
# the desired count, lets the function decide from the database, publishes the metric and sets the number of instances.
# The workflow makes the calls to AWS itself, so the function in the VPC needs no access to those services.

locals {
  tick_seconds     = 10
  metric_namespace = "Sparkle"

  again = [{ ErrorEquals = ["States.ALL"], IntervalSeconds = 1, MaxAttempts = 1 }]
  # A failed tick is a missing data point; the next one follows in ten seconds.
  skip = [{ ErrorEquals = ["States.ALL"], ResultPath = null, Next = "Skip" }]
}

resource "aws_sfn_state_machine" "scaling" {
  name     = "${local.name}-scaling"
  type     = "EXPRESS"
  role_arn = aws_iam_role.scaling_workflow.arn

  definition = jsonencode({
    Comment        = "Publishes every ten seconds how many workers are short."
    StartAt        = "Offsets"
    TimeoutSeconds = 90
    States = {
      Offsets = {
        Type   = "Pass"
        Result = [for tick in range(6) : { after = tick * local.tick_seconds }]
        Next   = "Ticks"
      }
      Ticks = {
        Type = "Map"
        End  = true
        ItemProcessor = {
          ProcessorConfig = { Mode = "INLINE" }
          StartAt         = "Until"
          States = {
            Until = { Type = "Wait", SecondsPath = "$.after", Next = "Look" }
            Look = {
              Type       = "Task"
              Resource   = "arn:${local.partition}:states:::aws-sdk:ecs:describeServices"
              Parameters = { Cluster = aws_ecs_cluster.this.arn, Services = [aws_ecs_service.worker.id] }
              ResultSelector = {
                "workers_wanted.$"  = "$.Services[0].DesiredCount"
                "workers_running.$" = "$.Services[0].RunningCount"
              }
              TimeoutSeconds = 5
              Retry          = local.again
              Catch          = local.skip
              Next           = "Decide"
            }
            Decide = {
              Type           = "Task"
              Resource       = "arn:${local.partition}:states:::lambda:invoke"
              Parameters     = { FunctionName = aws_lambda_alias.live["scaling"].arn, "Payload.$" = "$" }
              ResultSelector = { "metric_data.$" = "$.Payload.metric_data", "instances.$" = "$.Payload.instances" }
              TimeoutSeconds = 10
              Retry          = local.again
              Catch          = local.skip
              Next           = "Publish"
            }
            Publish = {
              Type           = "Task"
              Resource       = "arn:${local.partition}:states:::aws-sdk:cloudwatch:putMetricData"
              Parameters     = { Namespace = local.metric_namespace, "MetricData.$" = "$.metric_data" }
              ResultPath     = null
              TimeoutSeconds = 5
              Retry          = local.again
              # Set the number of instances even if CloudWatch fails.
              Catch = [{ ErrorEquals = ["States.ALL"], ResultPath = null, Next = "Follow" }]
              Next  = "Follow"
            }
            # Instances follow the workers: missing ones are added at once, surplus ones removed when their task has
            # ended. The absolute number is set each time, so an error lasts one tick at most.
            Follow = {
              Type     = "Task"
              Resource = "arn:${local.partition}:states:::aws-sdk:autoscaling:setDesiredCapacity"
              Parameters = {
                AutoScalingGroupName = aws_autoscaling_group.worker.name
                "DesiredCapacity.$"  = "$.instances"
                HonorCooldown        = false
              }
              TimeoutSeconds = 5
              Retry          = local.again
              Catch          = local.skip
              End            = true
            }
            Skip = { Type = "Succeed" }
          }
        }
      }
    }
  })

  logging_configuration {
    log_destination        = "${aws_cloudwatch_log_group.scaling_workflow.arn}:*"
    include_execution_data = false
    level                  = "ERROR"
  }

  depends_on = [aws_iam_role_policy.scaling_workflow]
}

resource "aws_cloudwatch_log_group" "scaling_workflow" {
  name              = "/aws/vendedlogs/states/${local.name}-scaling"
  retention_in_days = var.log_retention_days
}

data "aws_iam_policy_document" "states_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role" "scaling_workflow" {
  name               = "${local.name}-scaling-workflow"
  description        = "Permissions of the workflow that publishes the scaling metric."
  assume_role_policy = data.aws_iam_policy_document.states_assume.json
}

data "aws_iam_policy_document" "scaling_workflow" {
  statement {
    sid       = "Decide"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_alias.live["scaling"].arn]
  }

  statement {
    sid       = "Look"
    actions   = ["ecs:DescribeServices"]
    resources = [aws_ecs_service.worker.id]
  }

  statement {
    sid       = "Follow"
    actions   = ["autoscaling:SetDesiredCapacity"]
    resources = [aws_autoscaling_group.worker.arn]
  }

  # This action supports no resources, only a condition on the namespace.
  statement {
    sid       = "Publish"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [local.metric_namespace]
    }
  }

  # The workflow's role sets up log delivery. These actions do not support resource-level permissions.
  statement {
    sid = "DeliverItsLog"
    actions = [
      "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries",
      "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "scaling_workflow" {
  name   = "own"
  role   = aws_iam_role.scaling_workflow.id
  policy = data.aws_iam_policy_document.scaling_workflow.json
}

# ---------------------------------------------------------------- Schedules

resource "aws_cloudwatch_event_rule" "scaling" {
  name                = "${local.name}-scaling"
  description         = "Starts the scaling workflow each minute (six ticks)."
  schedule_expression = "rate(1 minute)"
}

resource "aws_cloudwatch_event_target" "scaling" {
  rule     = aws_cloudwatch_event_rule.scaling.name
  arn      = aws_sfn_state_machine.scaling.arn
  role_arn = aws_iam_role.events.arn
  input    = "{}"

  # A missed minute is not repeated: its data would be stale.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 1
  }
}

data "aws_iam_policy_document" "events_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role" "events" {
  name               = "${local.name}-events"
  description        = "Lets EventBridge start the scaling workflow."
  assume_role_policy = data.aws_iam_policy_document.events_assume.json
}

data "aws_iam_policy_document" "events" {
  statement {
    sid       = "StartTheScaling"
    actions   = ["states:StartExecution"]
    resources = [aws_sfn_state_machine.scaling.arn]
  }
}

resource "aws_iam_role_policy" "events" {
  name   = "own"
  role   = aws_iam_role.events.id
  policy = data.aws_iam_policy_document.events.json
}

resource "aws_cloudwatch_event_rule" "upkeep" {
  count               = var.upkeep_runs_in == "lambda" ? 1 : 0
  name                = "${local.name}-upkeep"
  description         = "Runs upkeep each minute."
  schedule_expression = "rate(1 minute)"
}

resource "aws_cloudwatch_event_target" "upkeep" {
  count = length(aws_cloudwatch_event_rule.upkeep)
  rule  = aws_cloudwatch_event_rule.upkeep[0].name
  arn   = aws_lambda_alias.live["upkeep"].arn

  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

resource "aws_lambda_permission" "upkeep" {
  count         = length(aws_cloudwatch_event_rule.upkeep)
  statement_id  = "Schedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["upkeep"].function_name
  qualifier     = aws_lambda_alias.live["upkeep"].name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.upkeep[0].arn
}
