# ---------------------------------------------------------------- Required

variable "project_id" {
  description = "Name of the project. With unique_id, it is the prefix of all resource names."
  type        = string
  default     = "discord-diffusion"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.project_id))
    error_message = "project_id: 3 to 24 lower-case letters, digits and hyphens, starting with a letter (it becomes part of bucket names)."
  }
}

variable "unique_id" {
  description = "Distinguishes deployments in one account, such as prod and staging."
  type        = string
  default     = "prod"

  validation {
    condition     = can(regex("^[a-z0-9]{1,12}$", var.unique_id))
    error_message = "unique_id: 1 to 12 lower-case letters and digits."
  }
}

variable "profile" {
  description = "What inputs that are left out are tuned for. small: half the cost at rest, but workers on spot capacity start cold, and the functions need subnets with IPv6. standard: workers on demand, one kept warm."
  type        = string
  default     = "standard"

  validation {
    condition     = contains(["small", "standard"], var.profile)
    error_message = "profile: small or standard."
  }
}

variable "vpc_id" {
  description = "An existing VPC with at least two subnets tagged Tier = Public, in two availability zones."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]{8,17}$", var.vpc_id))
    error_message = "vpc_id: use a VPC id such as vpc-0123456789abcdef0 (`aws ec2 describe-vpcs` lists them)."
  }
}

variable "discord_application_id" {
  description = "Application ID, from General Information in Discord's developer portal."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{17,20}$", var.discord_application_id))
    error_message = "discord_application_id: 17 to 20 digits, from General Information in Discord's developer portal."
  }
}

variable "discord_public_key" {
  description = "Public key, from General Information in Discord's developer portal."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-fA-F]{64}$", var.discord_public_key))
    error_message = "discord_public_key: 64 hexadecimal digits, from General Information in Discord's developer portal (not the bot token, not the client secret)."
  }
}

# Secrets are ephemeral: Terraform stores them neither in the plan nor in the state.
# Set them with environment variables such as TF_VAR_discord_bot_secret. After a change, increase secrets_version.

variable "discord_bot_secret" {
  description = "Bot token, from Bot in Discord's developer portal. Set it with TF_VAR_discord_bot_secret."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]{50,120}$", var.discord_bot_secret))
    error_message = "discord_bot_secret: the bot's token (50 to 120 letters, digits, dots, hyphens), from Bot in Discord's developer portal."
  }
}

variable "discord_client_secret" {
  description = "OAuth2 client secret, for signing in to the site with Discord. Empty allows password sign-in only."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true
}

variable "django_secret_key" {
  description = "Django's SECRET_KEY: at least 50 random characters. Set it with TF_VAR_django_secret_key=$(openssl rand -base64 48), and keep a copy: a restored deployment needs the same key."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = length(var.django_secret_key) >= 50
    error_message = "django_secret_key: at least 50 characters, such as the output of `openssl rand -base64 48`."
  }
}

variable "huggingface_token" {
  description = "Hugging Face read token, for gated models. Empty allows public models only. It replaces the sample's user name and password, which Hugging Face no longer accepts."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.huggingface_token == "" || can(regex("^hf_[A-Za-z0-9]{20,}$", var.huggingface_token))
    error_message = "huggingface_token: a token that starts with hf_ (huggingface.co/settings/tokens, role Read)."
  }
}

variable "huggingface_username" {
  description = "Unused; kept so that the AWS sample's tfvars still work. Set huggingface_token instead."
  type        = string
  default     = ""
}

variable "huggingface_password" {
  description = "Unused; kept so that the AWS sample's tfvars still work. Set huggingface_token instead."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true
}

variable "secrets_version" {
  description = "Version of the secrets. Increase it when a secret changes; otherwise the new value is not written."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1 && floor(var.secrets_version) == var.secrets_version
    error_message = "secrets_version: a whole number of at least 1."
  }
}

# ---------------------------------------------------------------- Code and images

variable "lambda_package" {
  description = "The Lambda functions' zip file, built by `./dev package`."
  type        = string
  default     = "../build/lambda.zip"

  validation {
    condition     = fileexists(var.lambda_package)
    error_message = "lambda_package: no such file. Run `./dev package` first; it writes build/lambda.zip."
  }
}

variable "lambda_runtime" {
  description = "Runtime of the Lambda functions. The package contains bytecode for this version."
  type        = string
  default     = "python3.13"

  validation {
    condition     = can(regex("^python3\\.[0-9]+$", var.lambda_runtime))
    error_message = "lambda_runtime: use a name such as python3.13."
  }
}

variable "lambda_architecture" {
  description = "Processor architecture of the Lambda functions: arm64 (cheaper) or x86_64. The package must be built for the same one."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.lambda_architecture)
    error_message = "lambda_architecture: arm64 or x86_64."
  }
}

# ---------------------------------------------------------------- Images

variable "build_images" {
  description = "Build both images in the account during the apply (CodeBuild), migrate the database and connect Discord. With false you do it yourself with Docker."
  type        = bool
  default     = true

  validation {
    condition     = !var.build_images || fileexists(var.source_package == "" ? "${dirname(var.lambda_package)}/source.zip" : var.source_package)
    error_message = "build_images: the source is not packed. Run `./dev package` first; it writes build/source.zip beside build/lambda.zip."
  }
}

variable "source_package" {
  description = "The images' source, packed by `./dev package`. Empty: source.zip in the folder of lambda_package."
  type        = string
  default     = ""
}

variable "build_compute_type" {
  description = "Size of the machine that builds the images. BUILD_GENERAL1_LARGE has 16 GB of memory, enough for SDXL; larger models need BUILD_GENERAL1_XLARGE or BUILD_GENERAL1_2XLARGE."
  type        = string
  default     = "BUILD_GENERAL1_LARGE"

  validation {
    condition     = contains(["BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE", "BUILD_GENERAL1_XLARGE", "BUILD_GENERAL1_2XLARGE"], var.build_compute_type)
    error_message = "build_compute_type: BUILD_GENERAL1_SMALL, _MEDIUM, _LARGE, _XLARGE or _2XLARGE."
  }
}

variable "extra_models" {
  description = "Hugging Face ids of further models to put into the worker's image, for more model profiles."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for model in var.extra_models : can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", model))])
    error_message = "extra_models: ids as Hugging Face has them, such as owner/model."
  }
}

variable "output_check" {
  description = "Put the classifier into the worker's image that servers can have check every image (blur or block)."
  type        = bool
  default     = false
}

variable "web_image_tag" {
  description = "Tag of a site image that is in the registry already, to go back to one or to push your own. Empty: the one that build_images builds; without it, no task runs."
  type        = string
  default     = ""

  validation {
    condition     = var.web_image_tag != "latest"
    error_message = "web_image_tag: use a version, such as the commit hash. `latest` cannot be rolled back."
  }
}

variable "worker_image_tag" {
  description = "Tag of a worker image that is in the registry already, to go back to one or to push your own. Empty: the one that build_images builds; without it, no worker starts."
  type        = string
  default     = ""

  validation {
    condition     = var.worker_image_tag != "latest"
    error_message = "worker_image_tag: use a version, such as the commit hash. `latest` cannot be rolled back."
  }
}

# ---------------------------------------------------------------- Network

variable "private_subnet_ids" {
  description = "Private subnets with a NAT gateway, for the database and the functions. If empty, both use the Tier = Public subnets without public addresses, and interface endpoints are created."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.private_subnet_ids) != 1 && alltrue([for id in var.private_subnet_ids : can(regex("^subnet-[0-9a-f]{8,17}$", id))])
    error_message = "private_subnet_ids: none, or at least two subnet ids in two zones (RDS needs two)."
  }
}

variable "function_egress" {
  description = "How the functions reach SQS and Secrets Manager without private_subnet_ids: endpoints (interface endpoints, 7.30 US dollars a month each) or ipv6 (free; the subnets need IPv6 and a route of ::/0). Null: endpoints, or ipv6 if profile is small."
  type        = string
  default     = null

  validation {
    condition     = contains(["endpoints", "ipv6"], coalesce(var.function_egress, "ipv6"))
    error_message = "function_egress: endpoints or ipv6."
  }
}

variable "unsupported_zone_ids" {
  description = "Ids of availability zones without VPC links, Fargate or Lambda (docs.aws.amazon.com/apigateway: VPC links, availability by region). The site and the functions leave subnets there out."
  type        = list(string)
  default     = ["use1-az3", "usw1-az2", "ape1-az1", "apne1-az3", "apne2-az4", "cac1-az3", "cac1-az4", "euw3-az2"]
}

variable "endpoint_zones" {
  description = "Number of availability zones with interface endpoints. One is cheapest; two survive the loss of a zone."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.endpoint_zones)
    error_message = "endpoint_zones: 1, 2 or 3."
  }
}

variable "upkeep_runs_in" {
  description = "Where upkeep runs each minute. It calls Discord and the HTTP API's webhooks, so it needs internet access: web (in the site's task, which has a public address) or lambda (needs private_subnet_ids with a NAT gateway)."
  type        = string
  default     = "web"

  validation {
    condition     = contains(["web", "lambda"], var.upkeep_runs_in)
    error_message = "upkeep_runs_in: web or lambda."
  }

  validation {
    condition     = var.upkeep_runs_in == "web" || length(var.private_subnet_ids) > 0
    error_message = "upkeep_runs_in: a function reaches Discord and webhooks only through a NAT gateway. Set private_subnet_ids, or upkeep_runs_in = \"web\"."
  }
}

variable "site_gateway" {
  description = "Create the VPC link and the Cloud Map service that connect the API to the site. Without them, the site cannot be reached."
  type        = bool
  default     = true
}

variable "domain_name" {
  description = "Custom domain of the site, such as sparkle.example.org. Empty uses API Gateway's domain, which also has HTTPS."
  type        = string
  default     = ""

  validation {
    condition     = var.domain_name == "" || can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain_name))
    error_message = "domain_name: a name such as sparkle.example.org, without https:// and without a path."
  }
}

variable "domain_certificate_arn" {
  description = "ARN of the ACM certificate for domain_name, in the same region."
  type        = string
  default     = ""

  validation {
    condition     = (var.domain_name == "") == (var.domain_certificate_arn == "")
    error_message = "domain_certificate_arn: set it if and only if domain_name is set."
  }
}

variable "discord_api_base" {
  description = "Base URL of Discord's REST API. Change it for tests only."
  type        = string
  default     = "https://discord.com/api/v10"
}

# ---------------------------------------------------------------- Workers

variable "worker_instance_types" {
  description = "GPU instance types with one GPU per task, the preferred one first. If AWS has none of the first, on-demand capacity takes the next; spot capacity may take any. A warm pool holds the first one only (Auto Scaling refuses it for several types). Null: g6.xlarge, g5.xlarge, g4dn.xlarge; on spot g5.xlarge first."
  type        = list(string)
  default     = null

  validation {
    condition     = length(coalesce(var.worker_instance_types, ["-"])) > 0 && alltrue([for type in coalesce(var.worker_instance_types, []) : can(regex("^(g4dn|g5|g6|g6e)\\.(2|4|8|16)?xlarge$", type))])
    error_message = "worker_instance_types: NVIDIA instance types with one GPU, such as [\"g6.xlarge\", \"g5.xlarge\", \"g4dn.xlarge\"]. A worker uses one GPU, so larger sizes (g5.12xlarge, p4d.24xlarge) would leave the others unused."
  }
}

variable "check_instance_types" {
  description = "Check during plan which zones offer worker_instance_types, and use their subnets alone. Turn it off only if the EC2 API is not available."
  type        = bool
  default     = true
}

variable "worker_spot" {
  description = "Run workers on spot capacity. It costs a half to three quarters, has no warm pool, and may interrupt a job, which is then retried. Null: true if profile is small."
  type        = bool
  default     = null
}

variable "worker_warm_pool_size" {
  description = "Number of stopped instances kept ready, so that the first image takes two minutes instead of six. They cost their disks, and each start boots another instance that refills the pool. Filled once worker_image_tag is set. 0 turns it off. Null: 1, or 0 if profile is small or workers are on spot."
  type        = number
  default     = null

  validation {
    condition     = coalesce(var.worker_warm_pool_size, 0) >= 0 && coalesce(var.worker_warm_pool_size, 0) <= var.max_workers
    error_message = "worker_warm_pool_size: from 0 to max_workers."
  }

  validation {
    condition     = !(coalesce(var.worker_spot, var.profile == "small") && coalesce(var.worker_warm_pool_size, 0) > 0)
    error_message = "worker_warm_pool_size: spot capacity cannot be kept warm. Set it to 0, or worker_spot to false."
  }
}

variable "max_workers" {
  description = "Maximum number of GPU workers. Check the quota \"Running On-Demand G and VT instances\" (vCPUs) first, and choose a database_instance_class with enough connections: plan says how many are needed."
  type        = number
  default     = 4

  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 20 && floor(var.max_workers) == var.max_workers
    error_message = "max_workers: a whole number from 1 to 20."
  }
}

variable "jobs_per_worker" {
  description = "Number of queued requests per worker before another worker is started (explained in jobs/scaling.py)."
  type        = number
  default     = 32

  validation {
    condition     = var.jobs_per_worker >= 1 && var.jobs_per_worker <= 1000
    error_message = "jobs_per_worker: 1 to 1000."
  }
}

variable "idle_seconds" {
  description = "Seconds that workers must be surplus before they are stopped. The last one stays up to ten minutes longer while requests keep coming (jobs/scaling.py). Null: 90 with a warm pool, 20 without."
  type        = number
  default     = null

  validation {
    condition     = coalesce(var.idle_seconds, 20) >= 10 && coalesce(var.idle_seconds, 20) <= 3600 && coalesce(var.idle_seconds, 20) % 10 == 0
    error_message = "idle_seconds: 10 to 3600, a multiple of 10."
  }
}

variable "worker_cpu" {
  description = "CPU units of a worker's task. Leave some of the instance for the ECS agent."
  type        = number
  default     = 3584
}

variable "worker_memory" {
  description = "Memory of a worker's task in MiB: that of the smallest instance type minus 1.5 GiB."
  type        = number
  default     = 14336
}

variable "worker_disk_gib" {
  description = "Size of a GPU instance's root disk in GiB, for the system, the container image and the model weights."
  type        = number
  default     = 60

  validation {
    condition     = var.worker_disk_gib >= 30
    error_message = "worker_disk_gib: at least 30, the size of the GPU machine image."
  }
}

variable "worker_network_mode" {
  description = "Network mode of the worker's task. bridge uses the instance's public address; awsvpc needs a NAT gateway."
  type        = string
  default     = "bridge"

  validation {
    condition     = contains(["bridge", "host", "awsvpc"], var.worker_network_mode)
    error_message = "worker_network_mode: bridge, host or awsvpc."
  }
}

variable "worker_ami_parameter" {
  description = "SSM parameter that holds the id of the ECS GPU machine image."
  type        = string
  default     = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
}

variable "model_id" {
  description = "Pipeline that workers load: a Hugging Face id or a folder in the container image."
  type        = string
  default     = "stable-diffusion-v1-5/stable-diffusion-v1-5"

  validation {
    condition     = length(var.model_id) > 0
    error_message = "model_id: a Hugging Face id, such as stable-diffusion-v1-5/stable-diffusion-v1-5, or a folder."
  }
}

variable "worker_downloads_models" {
  description = "Let workers download models that their image does not hold, gated ones with huggingface_token. Otherwise workers use what is in the image and never see the token."
  type        = bool
  default     = false
}

variable "worker_compile" {
  description = "Compile the model in the background (torch.compile). Requests never wait for it."
  type        = bool
  default     = false
}

# ---------------------------------------------------------------- Site

variable "web_tasks" {
  description = "Number of tasks of the Django site."
  type        = number
  default     = 1

  validation {
    condition     = var.web_tasks >= 1 && var.web_tasks <= 10
    error_message = "web_tasks: 1 to 10."
  }
}

variable "web_cpu" {
  description = "CPU units of a site task."
  type        = number
  default     = 256
}

variable "web_memory" {
  description = "Memory of a site task in MiB. Null: 1024, or 512 if profile is small."
  type        = number
  default     = null
}

variable "web_architecture" {
  description = "Processor architecture of the site's image: X86_64, or ARM64, which is a fifth cheaper."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.web_architecture)
    error_message = "web_architecture: X86_64 or ARM64."
  }
}

# ---------------------------------------------------------------- Functions

variable "snapstart" {
  description = "Start the interactions function from a snapshot with Django loaded (Lambda SnapStart)."
  type        = bool
  default     = true
}

variable "lambda_memory" {
  description = "Memory of the interactions function in MiB. CPU is proportional (1,769 MiB is one vCPU). Null: 1024, or 512 if profile is small."
  type        = number
  default     = null
}

variable "s3_gateway_endpoint" {
  description = "Make a gateway endpoint for S3 in the VPC. Set to false where its route tables have one already, as with a second deployment in the same VPC: AWS accepts one per route table."
  type        = bool
  default     = true
}

variable "interactions_concurrency" {
  description = "Most interactions handled at once, reserved for them in the account; each holds one database connection. -1: nothing is reserved. A new account can run 10 functions at once and must keep 10 unreserved, so ask for a higher quota (Lambda, Concurrent executions) before setting this."
  type        = number
  default     = -1

  validation {
    condition     = var.interactions_concurrency == -1 || var.interactions_concurrency >= 5
    error_message = "interactions_concurrency: at least 5, or -1 for the account's limit."
  }
}

variable "api_rate_limit" {
  description = "Sustained rate limit of the API in requests per second."
  type        = number
  default     = 100
}

variable "api_burst_limit" {
  description = "Burst limit of the API in requests."
  type        = number
  default     = 200
}

# ---------------------------------------------------------------- Data

variable "database_instance_class" {
  description = "RDS instance class. It decides how many connections the database allows (db.t4g.micro about 79, db.t4g.small about 192)."
  type        = string
  default     = "db.t4g.micro"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.database_instance_class))
    error_message = "database_instance_class: use a class such as db.t4g.micro."
  }
}

variable "database_storage_gib" {
  description = "Disk of the database in GiB. It grows automatically up to five times this size."
  type        = number
  default     = 20

  validation {
    condition     = var.database_storage_gib >= 20
    error_message = "database_storage_gib: at least 20, the minimum of gp3 storage on RDS."
  }
}

variable "database_multi_az" {
  description = "Keep a standby database in a second availability zone, at twice the price."
  type        = bool
  default     = false
}

variable "database_log_exports" {
  description = "Logs of the database that go to CloudWatch: postgresql, upgrade, or none."
  type        = list(string)
  default     = ["postgresql"]

  validation {
    condition     = length(setsubtract(var.database_log_exports, ["postgresql", "upgrade"])) == 0
    error_message = "database_log_exports: postgresql, upgrade, or an empty list."
  }
}

variable "database_backup_days" {
  description = "Days that automatic backups are kept."
  type        = number
  default     = 7

  validation {
    condition     = var.database_backup_days >= 1 && var.database_backup_days <= 35
    error_message = "database_backup_days: 1 to 35. Backups are required."
  }
}

variable "deletion_protection" {
  description = "Protect the database, and buckets that hold images, from deletion. To destroy the deployment, turn it off and apply first."
  type        = bool
  default     = true
}

variable "image_retention_days" {
  description = "Days after which images are deleted at the latest. A server may choose a shorter retention."
  type        = number
  default     = 365

  validation {
    condition     = var.image_retention_days >= 1
    error_message = "image_retention_days: at least 1."
  }
}

# ---------------------------------------------------------------- Monitoring

variable "alarm_email" {
  description = "Email address for alarms and budget warnings. Empty sends no email; the topic's ARN is an output."
  type        = string
  default     = ""

  validation {
    condition     = var.alarm_email == "" || can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email: an email address."
  }
}

variable "monthly_budget_usd" {
  description = "Monthly budget in US dollars. Warns at 80 % and 100 %, and when the forecast exceeds it."
  type        = number
  default     = 100

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd: more than 0."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days: a value that CloudWatch supports: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "metrics" {
  description = "Serve the site's metrics in Prometheus' text format at /metrics, to callers with metrics_token. The output metrics_command shows how to read them. The token's secret costs 0.40 US dollars a month."
  type        = bool
  default     = false
}

variable "metrics_token" {
  description = "Bearer token for /metrics: at least 32 characters. Set it with TF_VAR_metrics_token=$(openssl rand -hex 32)."
  type        = string
  default     = ""
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = !var.metrics || length(var.metrics_token) >= 32
    error_message = "metrics_token: at least 32 characters, such as the output of `openssl rand -hex 32`, where metrics is true."
  }
}

variable "otlp_endpoint" {
  description = "OpenTelemetry collector for traces (OTLP over HTTP). Functions and workers must reach it from within the VPC. Empty sends no traces."
  type        = string
  default     = ""

  validation {
    condition     = var.otlp_endpoint == "" || can(regex("^https?://[^/]+", var.otlp_endpoint))
    error_message = "otlp_endpoint: use a URL such as http://10.0.1.7:4318, or leave it out."
  }
}

variable "database_url" {
  description = "Database to use instead of the RDS instance with IAM authentication, such as an RDS Proxy, PgBouncer or another PostgreSQL: postgres://user:password@host:5432/name."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition     = var.database_url == "" || can(regex("^postgres(ql)?://", var.database_url))
    error_message = "database_url: use a URL such as postgres://user:password@host:5432/name, or leave it out."
  }
}
