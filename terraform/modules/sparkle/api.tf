resource "aws_apigatewayv2_api" "this" {
  name          = local.name
  description   = "Routes Discord's interactions and events to the function, everything else to the Django site."
  protocol_type = "HTTP"

  cors_configuration {
    allow_origins = ["https://discord.com"]
    allow_methods = ["POST"]
    allow_headers = ["content-type", "x-signature-ed25519", "x-signature-timestamp"]
    max_age       = 3600
  }
}

resource "aws_apigatewayv2_integration" "interactions" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = aws_lambda_alias.live["interactions"].invoke_arn
  payload_format_version = "2.0"
  # Discord times out after three seconds.
  timeout_milliseconds = 5000
}

resource "aws_apigatewayv2_route" "interactions" {
  for_each = toset(["POST /interactions", "POST /events"])

  api_id    = aws_apigatewayv2_api.this.id
  route_key = each.value
  target    = "integrations/${aws_apigatewayv2_integration.interactions.id}"
}

resource "aws_lambda_permission" "api" {
  statement_id  = "Api"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["interactions"].function_name
  qualifier     = aws_lambda_alias.live["interactions"].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*"
}

# ---------------------------------------------------------------- The site, through the VPC link

resource "aws_apigatewayv2_vpc_link" "web" {
  count = var.site_gateway ? 1 : 0

  # A VPC link is immutable: after a change of the subnets the API keeps the old one until the new one is there.
  name               = "${local.name}-${substr(sha1(join(",", local.service_subnet_ids)), 0, 6)}"
  subnet_ids         = local.service_subnet_ids
  security_group_ids = [aws_security_group.vpc_link.id]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_apigatewayv2_integration" "web" {
  count = var.site_gateway ? 1 : 0

  api_id             = aws_apigatewayv2_api.this.id
  integration_type   = "HTTP_PROXY"
  integration_method = "ANY"
  integration_uri    = aws_service_discovery_service.web[0].arn
  connection_type    = "VPC_LINK"
  connection_id      = aws_apigatewayv2_vpc_link.web[0].id

  # The gateway rewrites Host and reserves X-Forwarded-*, so the site gets its own headers. They overwrite what a
  # client sends, and the site's security group admits only the gateway.
  request_parameters = {
    "overwrite:header.x-sparkle-proto"  = "https"
    "overwrite:header.x-sparkle-host"   = "$context.domainName"
    "overwrite:header.x-sparkle-client" = "$context.identity.sourceIp"
    # A named stage would be part of the path; $default is not.
    "overwrite:path" = "$request.path"
  }
}

resource "aws_apigatewayv2_route" "web" {
  count = var.site_gateway ? 1 : 0

  api_id    = aws_apigatewayv2_api.this.id
  route_key = "$default"
  target    = "integrations/${aws_apigatewayv2_integration.web[0].id}"
}

# ---------------------------------------------------------------- Stage and domain

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/apigateway/${local.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.api_rate_limit
    throttling_burst_limit = var.api_burst_limit
    # Six metrics a route, 0.30 US dollars a month each.
    detailed_metrics_enabled = local.route_metrics
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    # No path, query string or body: they hold the signatures of image URLs, sign-in codes and interaction tokens. The
    # site's access log has the path without its signature.
    format = jsonencode({
      at                = "$context.requestTimeEpoch"
      request_id        = "$context.requestId"
      route             = "$context.routeKey"
      status            = "$context.status"
      latency_ms        = "$context.responseLatency"
      integration_ms    = "$context.integrationLatency"
      integration_error = "$context.integrationErrorMessage"
      bytes             = "$context.responseLength"
    })
  }
}

resource "aws_apigatewayv2_domain_name" "this" {
  count       = var.domain_name == "" ? 0 : 1
  domain_name = var.domain_name

  domain_name_configuration {
    certificate_arn = var.domain_certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "this" {
  count       = var.domain_name == "" ? 0 : 1
  api_id      = aws_apigatewayv2_api.this.id
  domain_name = aws_apigatewayv2_domain_name.this[0].id
  stage       = aws_apigatewayv2_stage.default.id
}
