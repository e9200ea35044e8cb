data "aws_vpc" "this" {
  id = var.vpc_id
}

data "aws_subnets" "public" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.this.id]
  }

  tags = {
    Tier = "Public"
  }

  lifecycle {
    postcondition {
      condition     = length(self.ids) >= 2
      error_message = "The VPC ${var.vpc_id} has ${length(self.ids)} subnets tagged Tier = Public, but two in two zones are needed. Tag them with: aws ec2 create-tags --resources subnet-... --tags Key=Tier,Value=Public"
    }
  }
}

data "aws_subnet" "public" {
  for_each = toset(data.aws_subnets.public.ids)
  id       = each.value
}

data "aws_subnet" "private" {
  for_each = toset(var.private_subnet_ids)
  id       = each.value
}

data "aws_route_tables" "ours" {
  vpc_id = data.aws_vpc.this.id

  filter {
    name   = "association.subnet-id"
    values = keys(local.zone_of_subnet)
  }
}

data "aws_route_table" "ours" {
  for_each       = toset(data.aws_route_tables.ours.ids)
  route_table_id = each.value
}

# Of the subnets that name no table of their own.
data "aws_route_tables" "main" {
  vpc_id = data.aws_vpc.this.id

  filter {
    name   = "association.main"
    values = ["true"]
  }
}

locals {
  public_subnet_ids = sort(data.aws_subnets.public.ids)
  has_nat           = length(var.private_subnet_ids) > 0
  inner_subnets     = local.has_nat ? data.aws_subnet.private : data.aws_subnet.public
  inner_subnet_ids  = local.has_nat ? var.private_subnet_ids : local.public_subnet_ids
  zone_of_subnet    = merge(data.aws_subnet.public, data.aws_subnet.private)

  subnets_of_main_table = setsubtract(keys(local.zone_of_subnet), flatten([for table in data.aws_route_table.ours : table.associations[*].subnet_id]))
  route_table_ids       = distinct(concat(data.aws_route_tables.ours.ids, length(local.subnets_of_main_table) > 0 ? data.aws_route_tables.main.ids : []))

  # API Gateway's VPC links, Fargate and Lambda are not in every zone. A zone's id, unlike its name, means the same in
  # every account.
  service_subnet_ids  = [for id in local.public_subnet_ids : id if !contains(var.unsupported_zone_ids, data.aws_subnet.public[id].availability_zone_id)]
  no_service_zone     = "is in a zone without VPC links, Fargate and Lambda (${join(", ", var.unsupported_zone_ids)}). Tag a subnet in another zone with Tier = Public (or add one to private_subnet_ids)."
  function_subnet_ids = [for id in local.inner_subnet_ids : id if !contains(var.unsupported_zone_ids, local.inner_subnets[id].availability_zone_id)]

  # One subnet per zone, in the order of the zones: an interface endpoint allows no more.
  inner_subnet_by_zone    = { for zone, ids in { for id in local.inner_subnet_ids : local.inner_subnets[id].availability_zone => id... } : zone => sort(ids)[0] }
  function_subnet_by_zone = { for zone, id in local.inner_subnet_by_zone : zone => id if contains(local.function_subnet_ids, id) }
  endpoint_subnet_ids     = slice([for zone in sort(keys(local.function_subnet_by_zone)) : local.function_subnet_by_zone[zone]], 0, min(var.endpoint_zones, length(local.function_subnet_by_zone)))
}

# ---------------------------------------------------------------- Security groups

resource "aws_security_group" "functions" {
  name        = "${local.name}-functions"
  description = "Lambda functions: outbound to the database, the endpoints and AWS."
  vpc_id      = data.aws_vpc.this.id
  tags        = { Name = "${local.name}-functions" }
}

resource "aws_security_group" "workers" {
  name        = "${local.name}-workers"
  description = "GPU instances: no inbound traffic, outbound HTTPS and PostgreSQL."
  vpc_id      = data.aws_vpc.this.id
  tags        = { Name = "${local.name}-workers" }
}

resource "aws_security_group" "web" {
  name        = "${local.name}-web"
  description = "Django site: inbound from the VPC link only."
  vpc_id      = data.aws_vpc.this.id
  tags        = { Name = "${local.name}-web" }
}

resource "aws_security_group" "vpc_link" {
  name        = "${local.name}-vpc-link"
  description = "VPC link from API Gateway to the Django site."
  vpc_id      = data.aws_vpc.this.id
  tags        = { Name = "${local.name}-vpc-link" }
}

resource "aws_security_group" "database" {
  name        = "${local.name}-database"
  description = "PostgreSQL: inbound from functions, workers and site."
  vpc_id      = data.aws_vpc.this.id
  tags        = { Name = "${local.name}-database" }
}

resource "aws_security_group" "endpoints" {
  count       = local.needs_endpoints ? 1 : 0
  name        = "${local.name}-endpoints"
  description = "Interface endpoints: inbound HTTPS from the functions."
  vpc_id      = data.aws_vpc.this.id
  tags        = { Name = "${local.name}-endpoints" }
}

locals {
  database_clients = {
    functions = aws_security_group.functions.id
    workers   = aws_security_group.workers.id
    web       = aws_security_group.web.id
  }
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each = local.database_clients

  security_group_id            = aws_security_group.database.id
  referenced_security_group_id = each.value
  description                  = "PostgreSQL from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_egress_rule" "to_database" {
  for_each = local.database_clients

  security_group_id            = each.value
  referenced_security_group_id = aws_security_group.database.id
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

# Discord, Hugging Face and AWS have no fixed addresses, so HTTPS is allowed to anywhere, and nothing else is.
resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = local.database_clients

  security_group_id = each.value
  description       = "HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  security_group_id            = aws_security_group.web.id
  referenced_security_group_id = aws_security_group.vpc_link.id
  description                  = "HTTP from the VPC link"
  ip_protocol                  = "tcp"
  from_port                    = local.web_port
  to_port                      = local.web_port
}

resource "aws_vpc_security_group_egress_rule" "vpc_link" {
  security_group_id            = aws_security_group.vpc_link.id
  referenced_security_group_id = aws_security_group.web.id
  description                  = "HTTP to the site"
  ip_protocol                  = "tcp"
  from_port                    = local.web_port
  to_port                      = local.web_port
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = local.needs_endpoints ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  referenced_security_group_id = aws_security_group.functions.id
  description                  = "HTTPS from the functions"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

# A client prefers IPv6 where it has it: without this rule it would wait for its timeout.
resource "aws_vpc_security_group_egress_rule" "https_ipv6" {
  for_each = local.ipv6_egress ? local.database_clients : {}

  security_group_id = each.value
  description       = "HTTPS"
  cidr_ipv6         = "::/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

moved {
  from = aws_vpc_security_group_egress_rule.https_ipv6[0]
  to   = aws_vpc_security_group_egress_rule.https_ipv6["functions"]
}

# ---------------------------------------------------------------- VPC endpoints

# Free, and image traffic of workers and site stays off the internet.
resource "aws_vpc_endpoint" "s3" {
  count = var.s3_gateway_endpoint ? 1 : 0

  vpc_id            = data.aws_vpc.this.id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.route_table_ids
  tags              = { Name = "${local.name}-s3" }
}

# A function in a VPC has no public address, and the functions call two services: SQS, and Secrets Manager at the
# start. (The state machine calls CloudWatch and ECS from outside the VPC: schedule.tf.) Private DNS is off, so that
# other traffic of the VPC does not use these endpoints; the functions get their addresses from the environment.
resource "aws_vpc_endpoint" "interface" {
  for_each = local.needs_endpoints ? toset(["sqs", "secretsmanager"]) : toset([])

  vpc_id              = data.aws_vpc.this.id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = false
  subnet_ids          = local.endpoint_subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  policy              = data.aws_iam_policy_document.endpoint[each.key].json
  tags                = { Name = "${local.name}-${each.key}" }
}

locals {
  # The services' usual names have IPv4 addresses only.
  endpoint_environment = local.ipv6_egress ? { AWS_USE_DUALSTACK_ENDPOINT = "true" } : local.has_nat ? {} : {
    AWS_ENDPOINT_URL_SQS             = "https://${aws_vpc_endpoint.interface["sqs"].dns_entry[0].dns_name}"
    AWS_ENDPOINT_URL_SECRETS_MANAGER = "https://${aws_vpc_endpoint.interface["secretsmanager"].dns_entry[0].dns_name}"
  }
}

data "aws_iam_policy_document" "endpoint" {
  for_each = {
    sqs            = { actions = ["sqs:SendMessage"], resources = [aws_sqs_queue.jobs.arn] }
    secretsmanager = { actions = ["secretsmanager:GetSecretValue"], resources = [for secret in aws_secretsmanager_secret.this : secret.arn] }
  }

  statement {
    sid       = "OursAlone"
    actions   = each.value.actions
    resources = each.value.resources

    principals {
      type        = "AWS"
      identifiers = [local.account_id]
    }
  }
}
