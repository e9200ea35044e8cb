# The metric is a difference: how many workers are missing (positive) or surplus (negative). One step therefore reaches
# the desired count, and the next data point, ten seconds later, is zero again.

resource "aws_appautoscaling_target" "worker" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.worker.name}"
  min_capacity       = 0
  max_capacity       = local.worker_image_tag == "" ? 0 : var.max_workers
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
    # Long enough that a data point from before the step does not cause another one. A larger value still scales out.
    cooldown = 20

    # Bounds are relative to the alarm's threshold of 1: k missing workers add k.
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

    # k surplus workers stop k tasks. Only idle ones stop, since tasks protect themselves while they work.
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
  alarm_description   = "Work is waiting for workers. Adds them at the first data point."
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
  alarm_description   = "More workers than work for ${local.idle_seconds} seconds without a break. Stops them."
  namespace           = local.metric_namespace
  metric_name         = "WorkersShort"
  dimensions          = { Deployment = local.name }
  statistic           = "Maximum"
  period              = local.tick_seconds
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = -1
  evaluation_periods  = local.idle_seconds / local.tick_seconds
  datapoints_to_alarm = ceil(local.idle_seconds / local.tick_seconds * 0.9)
  # A failed tick says nothing about the work, so it must not stop workers.
  treat_missing_data = "notBreaching"
  alarm_actions      = [aws_appautoscaling_policy.down.arn]
}
