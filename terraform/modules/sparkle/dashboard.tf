locals {
  sparkle = [for metric in ["WorkersShort", "WorkersRunning", "RunnableJobs"] : [local.metric_namespace, metric, "Deployment", local.name]]

  widgets = [
    { title = "Work and workers", period = 10, stat = "Maximum", metrics = local.sparkle },
    { title = "Queue", period = 60, stat = "Maximum", metrics = [
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.jobs.name],
      ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", aws_sqs_queue.jobs.name],
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.dead.name, { label = "dead letters" }],
    ] },
    { title = "Oldest message (s)", period = 60, stat = "Maximum", metrics = [
      ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.jobs.name],
    ] },
    { title = "Interactions (ms; Discord waits 3,000)", period = 60, stat = "p99", metrics = [
      ["AWS/Lambda", "Duration", "FunctionName", "${local.name}-interactions"],
      ["AWS/Lambda", "Duration", "FunctionName", "${local.name}-interactions", { stat = "p50" }],
    ] },
    { title = "Interactions", period = 60, stat = "Sum", metrics = [
      ["AWS/Lambda", "Invocations", "FunctionName", "${local.name}-interactions"],
      ["AWS/Lambda", "Errors", "FunctionName", "${local.name}-interactions"],
      ["AWS/Lambda", "Throttles", "FunctionName", "${local.name}-interactions"],
    ] },
    # Metrics that the log lines carry (telemetry/logs.py).
    { title = "Requests", period = 60, stat = "Sum", metrics = [
      for metric in ["JobsSubmitted", "JobsRefused", "JobsFailed", "ImagesMade"] : [local.metric_namespace, metric, "Deployment", local.name]
    ] },
    { title = "From the request to the image (s)", period = 60, stat = "p95", metrics = [
      [local.metric_namespace, "RequestTime", "Deployment", local.name],
      [local.metric_namespace, "RequestTime", "Deployment", local.name, { stat = "p50" }],
    ] },
    { title = "API", period = 60, stat = "Sum", metrics = [
      ["AWS/ApiGateway", "Count", "ApiId", aws_apigatewayv2_api.this.id],
      ["AWS/ApiGateway", "4xx", "ApiId", aws_apigatewayv2_api.this.id],
      ["AWS/ApiGateway", "5xx", "ApiId", aws_apigatewayv2_api.this.id],
    ] },
    { title = "Database", period = 60, stat = "Average", metrics = [
      ["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", local.name],
      ["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", local.name],
    ] },
    { title = "Site", period = 60, stat = "Average", metrics = [
      ["AWS/ECS", "CPUUtilization", "ClusterName", local.name, "ServiceName", "web"],
      ["AWS/ECS", "MemoryUtilization", "ClusterName", local.name, "ServiceName", "web"],
    ] },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = local.name

  dashboard_body = jsonencode({
    widgets = [for place, widget in local.widgets : {
      type   = "metric"
      x      = place % 2 * 12
      y      = floor(place / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = widget.title
        region  = local.region
        view    = "timeSeries"
        period  = widget.period
        stat    = widget.stat
        metrics = widget.metrics
      }
    }]
  })
}
