# The metric is a difference: how many workers are short (positive) or too many (negative). So one step brings the
# service to where it is wanted, and the next data point, ten seconds later, says zero again.

resource "aws_appautoscaling_target" "worker" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.worker.name}"
  min_capacity       = 0
  max_capacity       = var.worker_image_tag == "" ? 0 : var.max_workers
}

resource "aws_appautoscaling_policy" "up" {
  name               = "${local.name}-up"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    # Long enough that a data point from before the step does not step again; more than before still steps up.
    cooldown = 20

    # Bounds are relative to the alarm's threshold of 1: short by k adds k.
    dynamic "step_adjustment" {
      for_each = range(1, var.max_workers + 1)

      content {
        metric_interval_lower_bound = step_adjustment.value - 1
        metric_interval_upper_bound = step_adjustment.value == var.max_workers ? null : step_adjustment.value
        scaling_adjustment          = step_adjustment.value
      }
    }
  }
}

resource "aws_appautoscaling_policy" "down" {
  name               = "${local.name}-down"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    # Too many by k takes k away: those that idle, since tasks protect themselves while they work.
    dynamic "step_adjustment" {
      for_each = range(1, var.max_workers + 1)

      content {
        metric_interval_lower_bound = step_adjustment.value == var.max_workers ? null : -step_adjustment.value
        metric_interval_upper_bound = 1 - step_adjustment.value
        scaling_adjustment          = -step_adjustment.value
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "up" {
  alarm_name          = "${local.name}-workers-short"
  alarm_description   = "More work can run than workers are wanted: add them, at the first data point."
  namespace           = local.metric_namespace
  metric_name         = "WorkersShort"
  dimensions          = { Deployment = local.name }
  statistic           = "Maximum"
  period              = local.tick_seconds
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.up.arn]
}

resource "aws_cloudwatch_metric_alarm" "down" {
  alarm_name          = "${local.name}-workers-idle"
  alarm_description   = "For ${var.idle_seconds} seconds without a break more workers than work: take them away."
  namespace           = local.metric_namespace
  metric_name         = "WorkersShort"
  dimensions          = { Deployment = local.name }
  statistic           = "Maximum"
  period              = local.tick_seconds
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = -1
  evaluation_periods  = var.idle_seconds / local.tick_seconds
  datapoints_to_alarm = ceil(var.idle_seconds / local.tick_seconds * 0.9)
  # A tick that failed says nothing about work: nobody is taken away for it.
  treat_missing_data = "notBreaching"
  alarm_actions      = [aws_appautoscaling_policy.down.arn]
}
