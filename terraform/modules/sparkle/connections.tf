# How many database connections the parts may hold at once, and how many the instance class allows.

locals {
  # RDS allows one for each 9,531,392 bytes of DBInstanceClassMemory, which is the class's memory without what the system
  # itself uses; 300 MiB are taken for that.
  class_parts       = split(".", var.database_instance_class)
  class_memory_gib  = lookup({ micro = 1, small = 2, medium = 4, large = 8, xlarge = 16, "2xlarge" = 32 }, local.class_parts[2], 64) * (startswith(local.class_parts[1], "r") ? 2 : 1)
  connections_limit = min(5000, floor((local.class_memory_gib * 1024 - 300) * 1048576 / 9531392))

  web_pool_size = 8
  connections = {
    # One for each interaction at once. Without a reservation the API's rate limit bounds them, at 0.2 s each.
    interactions = var.interactions_concurrency == -1 ? ceil(var.api_rate_limit * 0.2) : var.interactions_concurrency
    scheduled    = 3
    # During a deployment the old tasks still run beside the new ones.
    site = var.web_tasks * 2 * (local.web_pool_size + 1)
    # Of each worker's threads: four that deliver, one each for engine, heartbeat and queue, and one to spare.
    workers = var.max_workers * 8
    # Kept by PostgreSQL for its superusers.
    reserved = 3
  }
  connections_needed = sum(values(local.connections))
}
