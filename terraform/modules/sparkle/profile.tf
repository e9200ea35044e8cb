# What an input that was left out takes from `profile`. docs/decisions says what each saving gives up.
locals {
  small = var.profile == "small"

  worker_spot           = var.worker_spot == null ? local.small : var.worker_spot
  worker_warm_pool_size = var.worker_warm_pool_size == null ? (local.worker_spot || local.small ? 0 : 1) : var.worker_warm_pool_size
  # On spot, the cheapest type of enough memory comes first.
  worker_instance_types = coalesce(var.worker_instance_types, local.worker_spot ? ["g5.xlarge", "g6.xlarge", "g4dn.xlarge"] : ["g6.xlarge", "g5.xlarge", "g4dn.xlarge"])
  # A start from the warm pool is paid twice, with its refill; so a worker waits longer for the next request.
  idle_seconds      = coalesce(var.idle_seconds, local.worker_warm_pool_size > 0 ? 90 : 20)
  disk_throughput   = local.small ? 125 : 250
  web_memory        = coalesce(var.web_memory, local.small ? 512 : 1024)
  lambda_memory     = coalesce(var.lambda_memory, local.small ? 512 : 1024)
  route_metrics     = !local.small
  kept_images       = local.small ? 3 : 10
  ipv6_egress       = !local.has_nat && coalesce(var.function_egress, local.small ? "ipv6" : "endpoints") == "ipv6"
  needs_endpoints   = !local.has_nat && !local.ipv6_egress
  subnets_sans_ipv6 = [for id in local.function_subnet_ids : id if coalesce(local.inner_subnets[id].ipv6_cidr_block, "-") == "-"]
}

resource "terraform_data" "ipv6" {
  lifecycle {
    precondition {
      condition     = !local.ipv6_egress || length(local.subnets_sans_ipv6) == 0
      error_message = "The functions reach AWS by IPv6, and ${join(", ", local.subnets_sans_ipv6)} ${length(local.subnets_sans_ipv6) == 1 ? "has" : "have"} no IPv6 addresses. Give the VPC and these subnets an IPv6 range and a route of ::/0 to the internet gateway (both are free), or set function_egress = \"endpoints\" (14.60 US dollars a month)."
    }
  }
}
